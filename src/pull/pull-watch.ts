import { type Clock, systemClock } from '../lib/clock.ts';
import { formatReference, type Reference } from '../oci/index.ts';
import { RegistryError, type RequestWatch } from '../registry/index.ts';

/** @see registry.md 9.1 */
const stallMs = 5 * 60_000;
/** Counted in steps and not by the time of day, which jumps when it is set or the machine has slept. */
const stepMs = 10_000;

/**
 * Ends a pull that brings nothing: time-outs of single requests let it go from one attempt and endpoint to the next for
 * much longer. Only time in which a registry is asked counts, so whoever waits for a free connection, for another
 * process or for the disk is left alone.
 */
export class PullWatch implements RequestWatch {
  readonly #reference: Reference;
  readonly #clock: Clock;
  readonly #stalled = new AbortController();
  #counting: AbortController | undefined;
  #asked = 0;
  #quietMs = 0;

  constructor(reference: Reference, clock: Clock = systemClock) {
    this.#reference = reference;
    this.#clock = clock;
  }

  /** Aborted, with a RegistryError `stalled`, when the pull is to end. */
  get signal(): AbortSignal {
    return this.#stalled.signal;
  }

  asking(): () => void {
    this.#asked += 1;
    if (this.#asked === 1) this.#count();
    let isOver = false;
    return () => {
      if (isOver) return;
      isOver = true;
      this.#asked -= 1;
      if (this.#asked === 0) this.#counting?.abort();
    };
  }

  moved(): void {
    this.#quietMs = 0;
  }

  #count(): void {
    const counting = new AbortController();
    this.#counting = counting;
    const step = async (): Promise<void> => {
      await this.#clock.sleep(stepMs, counting.signal);
      this.#quietMs += stepMs;
      if (this.#quietMs < stallMs) return step();
      this.#stalled.abort(stalledError(this.#reference));
    };
    step().catch(() => {}); // nobody is asked any more
  }
}

function stalledError(reference: Reference): RegistryError {
  return new RegistryError(
    'stalled',
    `the pull of ${formatReference(reference)} has brought nothing for ${stallMs / 60_000} minutes`,
    { registry: reference.registry },
    { hint: 'What came before is kept: pull again to go on with it, once the registry or its mirrors send something.' },
  );
}
