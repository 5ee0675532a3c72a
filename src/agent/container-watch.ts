import type { ContainerState } from '../cri/messages.ts';
import type { RuntimeService } from '../cri/services.ts';
import type { Clock } from '../lib/clock.ts';
import { debugLog } from '../lib/debug.ts';
import { errorMessage } from '../lib/errors.ts';

const log = debugLog('agent');

/** How often containers are listed while the runtime gives no events: the kubelet's relist period. */
const relistMs = 1000;
/** How long to go on listing before events are asked for again. */
const listingMs = 10_000;

/**
 * Tells of every container that has ended or is gone: from the runtime's event stream, and while that fails or is not
 * implemented, from the list of containers. It may tell twice.
 */
export class ContainerWatch {
  readonly #runtime: RuntimeService;
  readonly #clock: Clock;
  readonly #onEnd: (containerId: string) => void;
  readonly #stop = new AbortController();
  #states: ReadonlyMap<string, ContainerState> = new Map();
  #running: Promise<void> | undefined;

  constructor(runtime: RuntimeService, clock: Clock, onEnd: (containerId: string) => void) {
    this.#runtime = runtime;
    this.#clock = clock;
    this.#onEnd = onEnd;
  }

  /** From now on; calling it again is harmless. */
  start(): void {
    this.#running ??= this.#run();
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#running;
  }

  async #run(): Promise<void> {
    const { signal } = this.#stop;
    while (!signal.aborted) {
      try {
        for await (const { containerEventType, containerId } of this.#runtime.getContainerEvents({ signal })) {
          if (containerEventType === 'CONTAINER_STOPPED_EVENT' || containerEventType === 'CONTAINER_DELETED_EVENT')
            this.#onEnd(containerId);
        }
        log('the stream of container events has ended');
      } catch (error) {
        log('no container events: %s', errorMessage(error));
      }
      const until = this.#clock.now() + listingMs;
      while (!signal.aborted && this.#clock.now() < until) {
        await this.#relist(signal);
        await this.#clock.sleep(relistMs, signal).catch(() => {});
      }
    }
  }

  async #relist(signal: AbortSignal): Promise<void> {
    try {
      const containers = await this.#runtime.listContainers({}, { signal });
      const states = new Map(containers.map(({ id, state }) => [id, state]));
      const before = this.#states;
      this.#states = states;
      for (const [id, state] of states)
        if (state !== before.get(id) && (state === 'CONTAINER_EXITED' || state === 'CONTAINER_UNKNOWN'))
          this.#onEnd(id);
      for (const id of before.keys()) if (!states.has(id)) this.#onEnd(id);
    } catch (error) {
      log('cannot list containers: %s', errorMessage(error));
    }
  }
}
