import { Backoff } from './backoff.ts';
import type { Reason } from './decision.ts';
import { goDuration } from './go-text.ts';

export type RestartPolicy = 'Always' | 'OnFailure' | 'Never';

export interface RestartRule {
  readonly action: 'Restart' | 'RestartAllContainers';
  readonly operator: 'In' | 'NotIn';
  /** Exit codes. */
  readonly values: readonly number[];
}

export interface RestartFacts {
  readonly podRestartPolicy: RestartPolicy;
  readonly podDeleting: boolean;
  readonly containerRestartPolicy?: RestartPolicy | undefined;
  /** Count only where the container has a restart policy of its own. */
  readonly restartRules?: readonly RestartRule[];
  /** The newest instance of the container; undefined when there was none. */
  readonly newest?:
    | { readonly state: 'created' | 'running' | 'exited' | 'unknown'; readonly exitCode: number }
    | undefined;
}

export interface RestartDecision {
  readonly start: boolean;
  readonly reason: Reason;
}

/** Whether a pod sync starts a container; a yes leads to a new image evaluation. @see pull-policy.md 12.1 */
export function decideRestart(facts: RestartFacts): RestartDecision {
  const { newest } = facts;
  if (facts.podDeleting) return decision(false, 'pod-deleting', 'The pod is being deleted.');
  if (!newest) return decision(true, 'never-started', 'The container has not been started yet.');
  if (newest.state === 'running') return decision(false, 'running', 'The container is running.');
  if (newest.state !== 'exited') return decision(true, 'state-unclear', `The container is ${newest.state}.`);
  return decideAfterExit(facts, newest.exitCode);
}

function decideAfterExit(facts: RestartFacts, exitCode: number): RestartDecision {
  const exited = `The container exited with code ${exitCode}`;
  const { containerRestartPolicy } = facts;
  const rule = containerRestartPolicy && facts.restartRules?.find((candidate) => applies(candidate, exitCode));
  if (rule) {
    const codes = `${rule.operator} [${rule.values.join(', ')}]`;
    return decision(
      true,
      'restart-rule',
      `${exited}, and a rule of the container says ${rule.action} for exit codes ${codes}.`,
    );
  }
  const policy = containerRestartPolicy ?? facts.podRestartPolicy;
  const start = policy === 'Always' || (policy === 'OnFailure' && exitCode !== 0);
  const owner = containerRestartPolicy ? 'container' : 'pod';
  return decision(start, 'restart-policy', `${exited}, and the restart policy of the ${owner} is ${policy}.`);
}

function applies(rule: RestartRule, exitCode: number): boolean {
  return rule.values.includes(exitCode) === (rule.operator === 'In');
}

function decision(start: boolean, fact: string, text: string): RestartDecision {
  return { start, reason: { fact, text } };
}

/** A container's delays start over after this time: a constant of the kubelet. */
const crashLoopExpiryMs = 600_000;

/** The delays of restarting containers; see `checkCrashLoop`. */
export function crashLoopBackOff(delays = crashLoopDelays()): Backoff {
  return new Backoff({ ...delays, expiry: { moreThanMs: crashLoopExpiryMs } });
}

/**
 * First and longest delay between restarts, from the kubelet's configuration `crashLoopBackOff.maxContainerRestartPeriod`
 * and its feature gate `ReduceDefaultCrashLoopBackOffDecay`.
 * @see pull-policy.md 12.2
 */
export function crashLoopDelays(
  options: { readonly maxContainerRestartPeriodMs?: number; readonly reduceDefaultDecay?: boolean } = {},
): { initialMs: number; maxMs: number } {
  const defaults = options.reduceDefaultDecay
    ? { initialMs: 1000, maxMs: 60_000 }
    : { initialMs: 10_000, maxMs: 300_000 };
  const maxMs = options.maxContainerRestartPeriodMs ?? defaults.maxMs;
  return { initialMs: Math.min(defaults.initialMs, maxMs), maxMs };
}

export interface CrashLoopWait {
  readonly error: 'CrashLoopBackOff';
  /** For the waiting state of the container. */
  readonly message: string;
  readonly event: { readonly type: 'Warning'; readonly reason: 'BackOff'; readonly message: string };
  readonly retryAtMs: number;
}

export interface PodIdentity {
  readonly name: string;
  readonly namespace: string;
  readonly uid: string;
}

export interface ContainerIdentity {
  readonly name: string;
  readonly image: string;
  readonly resources?: unknown;
}

/** What a container's delays are counted for: with another image or other resources they start over. @see pull-policy.md 12.2 */
export function crashLoopKey(pod: PodIdentity, { name, image, resources }: ContainerIdentity): string {
  return JSON.stringify([formatPodName(pod), name, image, resources]);
}

function formatPodName({ name, namespace, uid }: PodIdentity): string {
  return `${name}_${namespace}(${uid})`;
}

/**
 * Asked before the image of a container that is to be restarted is looked at: undefined lets the start through, and
 * lengthens the next delay at once, whether the start then works or not.
 * @param lastExitMs when the newest exited instance ended; undefined when none did
 * @see pull-policy.md 12.2
 */
export function checkCrashLoop(
  backOff: Backoff,
  start: {
    readonly pod: PodIdentity;
    readonly container: ContainerIdentity;
    readonly lastExitMs?: number | undefined;
    readonly atMs: number;
  },
): CrashLoopWait | undefined {
  const { pod, container, lastExitMs, atMs } = start;
  if (lastExitMs === undefined) return undefined;
  const podText = formatPodName(pod);
  const key = crashLoopKey(pod, container);
  if (!backOff.isInBackOff(key, atMs, lastExitMs)) {
    backOff.next(key, atMs, lastExitMs);
    return undefined;
  }
  const delayMs = backOff.get(key);
  return {
    error: 'CrashLoopBackOff',
    message: `back-off ${goDuration(delayMs)} restarting failed container=${container.name} pod=${podText}`,
    event: {
      type: 'Warning',
      reason: 'BackOff',
      message: `Back-off restarting failed container ${container.name} in pod ${podText}`,
    },
    retryAtMs: lastExitMs + delayMs,
  };
}
