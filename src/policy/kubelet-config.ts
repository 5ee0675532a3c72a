import { goDuration, goQuote } from './go-text.ts';
import { defaultImageGcPolicy, type ImageGcPolicy } from './image-gc.ts';
import { allowlistPatternError, verificationPolicies } from './verification-policy.ts';

/** The kubelet's settings about images and restarts, under its names; durations are milliseconds. @see pull-policy.md 13 */
export interface KubeletConfig {
  readonly serializeImagePulls: boolean;
  /** Undefined: as many as are asked for, unless pulls are serialized. */
  readonly maxParallelImagePulls?: number | undefined;
  /** Pulls per second in the long run; 0 does not limit. */
  readonly registryPullQPS: number;
  /** Pulls at once. */
  readonly registryBurst: number;
  readonly imagePullCredentialsVerificationPolicy: string;
  readonly preloadedImagesVerificationAllowlist?: readonly string[] | undefined;
  readonly imageGCHighThresholdPercent: number;
  readonly imageGCLowThresholdPercent: number;
  readonly imageMinimumGCAgeMs: number;
  /** 0: images do not get too old. */
  readonly imageMaximumGCAgeMs: number;
  /** -1: all. */
  readonly nodeStatusMaxImages: number;
  /** `crashLoopBackOff.maxContainerRestartPeriod`. */
  readonly crashLoopBackOffMaxMs: number;
}

type Given = { readonly [Name in keyof KubeletConfig]?: KubeletConfig[Name] | undefined };

/** What holds when only these settings are given. */
export function defaultKubeletConfig(given: Given = {}): KubeletConfig {
  const { maxParallelImagePulls, preloadedImagesVerificationAllowlist } = given;
  return {
    serializeImagePulls: given.serializeImagePulls ?? (maxParallelImagePulls ?? 1) < 2,
    maxParallelImagePulls,
    registryPullQPS: given.registryPullQPS ?? 5,
    registryBurst: given.registryBurst || 10,
    imagePullCredentialsVerificationPolicy: given.imagePullCredentialsVerificationPolicy || verificationPolicies[0],
    preloadedImagesVerificationAllowlist,
    imageGCHighThresholdPercent: given.imageGCHighThresholdPercent ?? defaultImageGcPolicy.highThresholdPercent,
    imageGCLowThresholdPercent: given.imageGCLowThresholdPercent ?? defaultImageGcPolicy.lowThresholdPercent,
    imageMinimumGCAgeMs: given.imageMinimumGCAgeMs || defaultImageGcPolicy.minAgeMs,
    imageMaximumGCAgeMs: given.imageMaximumGCAgeMs ?? defaultImageGcPolicy.maxAgeMs,
    nodeStatusMaxImages: given.nodeStatusMaxImages ?? 50,
    crashLoopBackOffMaxMs: given.crashLoopBackOffMaxMs ?? 300_000,
  };
}

/** What the kubelet would say against a configuration, one text for each problem. */
export function kubeletConfigErrors(config: KubeletConfig): string[] {
  const problems: string[] = [];
  const demand = (holds: boolean, problem: string) => {
    if (!holds) problems.push(`invalid configuration: ${problem}`);
  };
  const {
    imageGCHighThresholdPercent: high,
    imageGCLowThresholdPercent: low,
    maxParallelImagePulls: parallel,
  } = config;
  const highName = 'imageGCHighThresholdPercent (--image-gc-high-threshold)';
  const lowName = 'imageGCLowThresholdPercent (--image-gc-low-threshold)';
  demand(isPercent(high), `${highName} ${high} must be between 0 and 100, inclusive`);
  demand(isPercent(low), `${lowName} ${low} must be between 0 and 100, inclusive`);
  demand(low < high, `${lowName} ${low} must be less than ${highName} ${high}`);
  const [minimum, maximum] = [config.imageMinimumGCAgeMs, config.imageMaximumGCAgeMs];
  demand(maximum >= 0, `imageMaximumGCAge ${goDuration(maximum)} must not be negative`);
  demand(
    maximum <= 0 || maximum > minimum,
    `imageMaximumGCAge ${goDuration(maximum)} must be greater than imageMinimumGCAge ${goDuration(minimum)}`,
  );
  demand(
    config.nodeStatusMaxImages >= -1,
    `nodeStatusMaxImages (--node-status-max-images) ${config.nodeStatusMaxImages} must be -1 or greater`,
  );
  const notNegative = (value: number, name: string) =>
    demand(value >= 0, `${name} ${value} must not be a negative number`);
  notNegative(config.registryBurst, 'registryBurst (--registry-burst)');
  notNegative(config.registryPullQPS, 'registryPullQPS (--registry-qps)');
  demand(parallel === undefined || parallel >= 1, `maxParallelImagePulls ${parallel} must be a positive number`);
  demand(
    !config.serializeImagePulls || (parallel ?? 1) <= 1,
    'maxParallelImagePulls cannot be larger than 1 unless SerializeImagePulls (--serialize-image-pulls) is set to false',
  );
  const restartMs = config.crashLoopBackOffMaxMs;
  demand(
    restartMs >= 1000 && restartMs <= 300_000,
    `CrashLoopBackOff.MaxContainerRestartPeriod (got: ${restartMs / 1000} seconds) must be set between 1s and 300s`,
  );
  return [...problems, ...verificationErrors(config)];
}

function verificationErrors({
  imagePullCredentialsVerificationPolicy: policy,
  preloadedImagesVerificationAllowlist: allowlist = [],
}: KubeletConfig): string[] {
  const problems: string[] = [];
  const known = ['NeverVerify', 'NeverVerifyPreloadedImages', 'NeverVerifyAllowlistedImages', 'AlwaysVerify'];
  if (!known.includes(policy)) {
    const [a, b, c, d] = known.map(goQuote);
    problems.push(
      `option ${goQuote(policy)} specified for imagePullCredentialsVerificationPolicy. Valid options are ${a}, ${b}, ${c} or ${d}`,
    );
  }
  if (allowlist.length > 0 && policy !== 'NeverVerifyAllowlistedImages') {
    // The kubelet's spelling.
    problems.push(
      'can\'t set `preloadedImagesVerificationAllowlist` if `imagePullCredentialsVertificationPolicy` is not "NeverVerifyAllowlistedImages"',
    );
  } else {
    const problem = allowlist.map(allowlistPatternError).find((error) => error !== undefined);
    if (problem !== undefined)
      problems.push(`invalid image pattern in \`preloadedImagesVerificationAllowlist\`: ${problem}`);
  }
  return problems.map((problem) => `invalid configuration: ${problem}`);
}

/** The thresholds and ages of a configuration. */
export function imageGcPolicyOf(config: KubeletConfig): ImageGcPolicy {
  return {
    highThresholdPercent: config.imageGCHighThresholdPercent,
    lowThresholdPercent: config.imageGCLowThresholdPercent,
    minAgeMs: config.imageMinimumGCAgeMs,
    maxAgeMs: config.imageMaximumGCAgeMs,
  };
}

function isPercent(value: number): boolean {
  return value >= 0 && value <= 100;
}
