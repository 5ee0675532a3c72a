import { parse } from 'yaml';
import { errorMessage, LadingError } from '../lib/errors.ts';
import { parseGoDuration } from '../lib/go-duration.ts';
import { defaultKubeletConfig, type KubeletConfig, kubeletConfigErrors } from '../policy/index.ts';

/** As they are written. */
export type KubeletConfigurationFields = Readonly<Record<string, unknown>>;

/**
 * The settings about images and restarts, with the kubelet's defaults for those that are not given; other fields are
 * for other parts of a node and are left alone.
 * @param source where the fields stand, for errors
 * @throws LadingError `ERR_LADING_KUBELET_CONFIG` with all problems
 * @see pull-policy.md 13
 */
export function kubeletConfigOf(document: KubeletConfigurationFields, { source }: { source: string }): KubeletConfig {
  const problems: string[] = [];
  const expecting = <T>(
    path: string,
    value: unknown,
    what: string,
    is: (value: unknown) => value is T,
  ): T | undefined => {
    if (value === undefined || value === null) return undefined;
    if (is(value)) return value;
    problems.push(`${path}: expected ${what}, found ${JSON.stringify(value)}`);
    return undefined;
  };
  const integer = (name: string) => expecting(name, document[name], 'a whole number', isInteger);
  const duration = (path: string, value: unknown) => {
    const isDuration = (written: unknown): written is string =>
      typeof written === 'string' && parseGoDuration(written) !== undefined;
    const written = expecting(path, value, 'a duration such as 2m30s', isDuration);
    return written === undefined ? undefined : parseGoDuration(written);
  };
  const crashLoop = expecting('crashLoopBackOff', document.crashLoopBackOff, 'an object', isObject) ?? {};
  const config = defaultKubeletConfig({
    serializeImagePulls: expecting('serializeImagePulls', document.serializeImagePulls, 'true or false', isBoolean),
    maxParallelImagePulls: integer('maxParallelImagePulls'),
    registryPullQPS: integer('registryPullQPS'),
    registryBurst: integer('registryBurst'),
    imagePullCredentialsVerificationPolicy: expecting(
      'imagePullCredentialsVerificationPolicy',
      document.imagePullCredentialsVerificationPolicy,
      'a text',
      isText,
    ),
    preloadedImagesVerificationAllowlist: expecting(
      'preloadedImagesVerificationAllowlist',
      document.preloadedImagesVerificationAllowlist,
      'a list of texts',
      isTextList,
    ),
    imageGCHighThresholdPercent: integer('imageGCHighThresholdPercent'),
    imageGCLowThresholdPercent: integer('imageGCLowThresholdPercent'),
    imageMinimumGCAgeMs: duration('imageMinimumGCAge', document.imageMinimumGCAge),
    imageMaximumGCAgeMs: duration('imageMaximumGCAge', document.imageMaximumGCAge),
    nodeStatusMaxImages: integer('nodeStatusMaxImages'),
    crashLoopBackOffMaxMs: duration('crashLoopBackOff.maxContainerRestartPeriod', crashLoop.maxContainerRestartPeriod),
  });
  problems.push(...kubeletConfigErrors(config));
  if (problems.length > 0) throw configError(`${source} is no usable kubelet configuration: ${problems.join('; ')}`);
  return config;
}

/** The fields of a file, YAML or JSON, as it is. @throws LadingError `ERR_LADING_KUBELET_CONFIG` when it is none of the kubelet's */
export function readKubeletConfiguration(
  text: string,
  { file }: { readonly file: string },
): KubeletConfigurationFields {
  let document: unknown;
  try {
    document = parse(text);
  } catch (error) {
    throw configError(`${file} is not YAML: ${errorMessage(error)}`);
  }
  const { kind, apiVersion } = isObject(document) ? document : {};
  if (kind === 'KubeletConfiguration' && apiVersion === 'kubelet.config.k8s.io/v1beta1')
    return document as KubeletConfigurationFields;
  throw configError(`${file} is no KubeletConfiguration of kubelet.config.k8s.io/v1beta1`);
}

function configError(message: string): LadingError {
  return new LadingError('ERR_LADING_KUBELET_CONFIG', message);
}

const isInteger = (value: unknown): value is number => Number.isInteger(value);
const isBoolean = (value: unknown): value is boolean => typeof value === 'boolean';
const isText = (value: unknown): value is string => typeof value === 'string';
const isTextList = (value: unknown): value is string[] => Array.isArray(value) && value.every(isText);
const isObject = (value: unknown): value is KubeletConfigurationFields =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
