import type { Clock } from '../lib/clock.ts';
import { debugLog } from '../lib/debug.ts';
import { type ImageGcPolicy, imageGcIsOff } from '../policy/index.ts';
import { criErrorText } from './cri-error-text.ts';
import type { EventText } from './events.ts';
import type { ImageCollector } from './image-gc.ts';

/** The kubelet's. */
const periodMs = 300_000;

const log = debugLog('agent');

/**
 * Looks which images are used at the start, and collects images every five minutes. The kubelet tries to collect at its
 * start too, and fails, because it has no figures of the disk yet; here it would not fail, and take the images that pods
 * are about to start from. A failure is told of when the one before has failed as well: the event `ImageGCFailed` is about
 * the node.
 * @see pull-policy.md 10
 */
export class ImageGcSchedule {
  readonly #collector: Pick<ImageCollector, 'detect' | 'collect'>;
  readonly #isOff: boolean;
  readonly #clock: Clock;
  readonly #onEvent: (event: EventText) => void;
  readonly #stop = new AbortController();
  #running: Promise<void> | undefined;

  constructor(options: {
    readonly collector: Pick<ImageCollector, 'detect' | 'collect'>;
    readonly policy: ImageGcPolicy;
    readonly clock: Clock;
    readonly onEvent: (event: EventText) => void;
  }) {
    this.#collector = options.collector;
    this.#isOff = imageGcIsOff(options.policy);
    this.#clock = options.clock;
    this.#onEvent = options.onEvent;
  }

  /** From now on; calling it again is harmless. */
  start(): void {
    this.#running ??= this.#run();
  }

  /** A collection that is running ends first. */
  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#running;
  }

  async #run(): Promise<void> {
    const { signal } = this.#stop;
    let failedBefore = false;
    for (let collects = false; !signal.aborted; collects = !this.#isOff) {
      const error = await this.#once(collects);
      if (error === undefined) failedBefore = false;
      else {
        log('image collection has failed: %s', error);
        if (failedBefore) this.#onEvent({ type: 'Warning', reason: 'ImageGCFailed', message: error });
        failedBefore = true;
      }
      await this.#clock.sleep(periodMs, signal).catch(() => {});
    }
  }

  /** @returns the kubelet's text when it failed */
  async #once(collects: boolean): Promise<string | undefined> {
    try {
      if (collects) return (await this.#collector.collect()).error;
      await this.#collector.detect();
    } catch (error) {
      return criErrorText(error);
    }
    return undefined;
  }
}
