import type { Clock } from '../lib/clock.ts';
import { debugLog } from '../lib/debug.ts';
import { LadingError } from '../lib/errors.ts';
import { endpointsError, type Failure, isPassing, isTransportFailure } from './endpoints-error.ts';
import type { Retrier } from './retry.ts';

const log = debugLog('registry');

/** One of several places to get the same from. */
export interface Candidate {
  /** Tells candidates apart. */
  readonly key: string;
  /** Host with optional port. */
  readonly host: string;
}

/** What a try at one candidate may spend. */
export interface Try {
  /** How often a request is sent; undefined for the usual number. */
  readonly attempts?: number;
}

/** An endpoint that could not be reached is asked last for this long. @see registry.md 5.3 */
export const demotionMs = 60_000;

/** Endpoints that could not be reached lately. */
export class Demotions {
  readonly #clock: Clock;
  readonly #until = new Map<string, number>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  add({ key }: Candidate): void {
    this.#until.set(key, this.#clock.now() + demotionMs);
  }

  /** The same candidates, those that could not be reached lately at the end. */
  last<C extends Candidate>(candidates: readonly C[]): readonly C[] {
    const isDemoted = ({ key }: C) => (this.#until.get(key) ?? 0) > this.#clock.now();
    return [...candidates.filter((one) => !isDemoted(one)), ...candidates.filter(isDemoted)];
  }
}

export interface EndpointWalkOptions {
  /** Whose candidates they are, for the error. */
  readonly registry: string;
  /** `reachable-first`: those that could not be reached lately come last. Not for tags, whose meaning may differ. */
  readonly order: 'configured' | 'reachable-first';
  readonly retrier: Retrier;
  readonly demotions: Demotions;
  readonly signal: AbortSignal | undefined;
}

/**
 * Tries candidates one after the other, each once, as long as there is another one; then again those that failed for a
 * reason that passes, with growing pauses between the rounds. A single candidate gets all attempts at once.
 * @see registry.md 5.3, 8.5
 */
export class EndpointWalk<C extends Candidate> {
  readonly #options: EndpointWalkOptions;
  readonly #candidates: readonly C[];
  readonly #several: boolean;
  readonly #failures = new Map<C, Failure>();
  #round: C[];
  #nextRound: C[] = [];
  #roundsWithoutProgress = 1;

  constructor(candidates: readonly C[], options: EndpointWalkOptions) {
    const { order, demotions, retrier } = options;
    this.#options = options;
    this.#candidates = candidates;
    this.#several = candidates.length > 1;
    const ordered = order === 'configured' ? candidates : demotions.last(candidates);
    const pauses = ({ host }: C) => retrier.pauses(host);
    this.#round = [...ordered.filter((one) => !pauses(one)), ...ordered.filter(pauses)];
  }

  /**
   * The first success.
   * @throws RegistryError with all failures, the most telling one first; the error itself when there was one candidate;
   *   what is no LadingError, at once; the signal's reason
   */
  async run<T>(attempt: (candidate: C, options: Try) => Promise<T>): Promise<T> {
    for (;;) {
      const candidate = this.#round.shift();
      if (!candidate) {
        await this.#beginRound();
        continue;
      }
      try {
        return await attempt(candidate, this.#several ? { attempts: 1 } : {});
      } catch (error) {
        this.fail(candidate, error, this.#several && isPassing(error) ? 'again' : 'never');
      }
    }
  }

  /** Notes a failure that showed after the success of `run`; call that again to go on. `again`: this one may be asked again. */
  fail(candidate: C, error: unknown, next: 'again' | 'never'): void {
    this.#options.signal?.throwIfAborted();
    if (!(error instanceof LadingError)) throw error;
    if (this.#several) log('%s: %s', candidate.key, error.message);
    if (isTransportFailure(error)) this.#options.demotions.add(candidate);
    this.#failures.set(candidate, { host: candidate.host, error });
    if (next === 'again') this.#nextRound.push(candidate);
  }

  /** Much was received: what failed before counts no longer. */
  progress(): void {
    this.#roundsWithoutProgress = 1;
  }

  async #beginRound(): Promise<void> {
    const { registry, retrier, signal } = this.#options;
    if (this.#nextRound.length === 0 || this.#roundsWithoutProgress >= retrier.attempts) {
      throw endpointsError(
        registry,
        this.#candidates.flatMap((candidate) => this.#failures.get(candidate) ?? []),
      );
    }
    await retrier.sleep(retrier.backoffMs(this.#roundsWithoutProgress), signal);
    this.#roundsWithoutProgress += 1;
    this.#round = this.#nextRound;
    this.#nextRound = [];
  }
}
