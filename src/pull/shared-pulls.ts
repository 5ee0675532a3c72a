import { formatReference, type Reference } from '../oci/index.ts';
import type { PullDependencies } from './dependencies.ts';
import { type ExecuteOptions, executePull, type PullResult } from './execute.ts';
import { type PlanOptions, type PullPlan, planPull } from './plan.ts';
import type { PullProgress } from './progress.ts';
import { SharedTasks } from './shared-tasks.ts';

/**
 * For so long who asks for a pull that is running already takes the registry's answer to it for its own. Pods that start
 * at once ask within a second also on a busy machine; a download takes minutes, in which a tag can move, so who comes
 * later has the registry asked anew and shares the download only if the answer is the same.
 */
const freshMs = 2000;

/** `onResolved` too is called once for callers that share a pull. */
export interface SharedPullOptions extends ExecuteOptions, Pick<PlanOptions, 'onResolved'> {
  /** Called before anything is fetched, once for callers that share a pull. */
  readonly onPlan?: ((plan: PullPlan) => void) | undefined;
}

/**
 * The pulls of one node. Those of the same reference with the same credentials that run at the same time are one: the
 * registry is asked once, each document and layer is fetched and unpacked once, and all callers have the result, or the
 * failure. With other credentials the registry is asked again; only layers are shared then.
 */
export class SharedPulls {
  readonly #deps: PullDependencies;
  readonly #plans = new SharedTasks<never, PullPlan>({ failures: 'shared' });
  readonly #executions = new SharedTasks<PullProgress, PullResult>({ failures: 'shared' });
  /** Plans that are being carried out, and since when. */
  readonly #running = new Map<string, { readonly plan: PullPlan; readonly atMs: number }>();

  constructor(deps: PullDependencies) {
    this.#deps = deps;
  }

  /** Plans and carries out a pull, see `planPull` and `executePull`; each caller's signal ends its own waiting. */
  async pull(reference: Reference, options: SharedPullOptions = {}): Promise<PullResult> {
    const { signal, credentials, by, onProgress = () => {} } = options;
    // Credentials are compared, and neither kept longer than the pull nor shown.
    const key = JSON.stringify([formatReference(reference), credentials ?? []]);
    const plan = await this.#plan(key, reference, options);
    const execution = async (shared: AbortSignal, emit: (progress: PullProgress) => void) => {
      this.#running.set(key, { plan, atMs: performance.now() });
      try {
        return await executePull(this.#deps, plan, { credentials, by, signal: shared, onProgress: emit });
      } finally {
        this.#running.delete(key);
      }
    };
    const shared = { signal, onEvent: onProgress };
    return (await this.#executions.run(`${plan.target.digest} ${key}`, execution, shared)).result;
  }

  async #plan(key: string, reference: Reference, options: SharedPullOptions): Promise<PullPlan> {
    const { signal, credentials, onResolved, onPlan } = options;
    const running = this.#running.get(key);
    if (running && performance.now() - running.atMs < freshMs) return running.plan;
    const work = async (shared: AbortSignal) => {
      const plan = await planPull(this.#deps, reference, { credentials, signal: shared, onResolved });
      onPlan?.(plan);
      return plan;
    };
    return (await this.#plans.run(key, work, { signal, onEvent: () => {} })).result;
  }
}
