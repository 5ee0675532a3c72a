import type { KubeEvent } from '../agent/index.ts';
import { debugLog } from '../lib/debug.ts';
import { errorMessage } from '../lib/errors.ts';
import type { PullProgress } from '../pull/index.ts';
import type { NodeEvent, Store } from '../store/index.ts';
import { humanDuration, humanSize } from './human.ts';
import { ImageProgress } from './progress-model.ts';

const log = debugLog('cli');

/** Who watches sees a download move; who looks an hour later finds one event of it, as the same one is counted. */
const tellEveryMs = 2000;

/** What an event about a pull in progress says for programs. */
export type PullProgressData = {
  readonly image: string;
  /** Of the layers that this node lacked when the pull began. */
  readonly bytes: number;
  readonly totalBytes: number;
  readonly bytesPerSecond: number;
  /** Absent while nothing moves. */
  readonly secondsLeft?: number;
  readonly layers: number;
  readonly layersDone: number;
};

interface Pull {
  readonly object: KubeEvent['object'];
  readonly startedMs: number;
  progress: ImageProgress | undefined;
}

/** Keeps an event about each pull that takes longer, every few seconds: `PullProgress`, with bytes, rate and time left. */
export class PullEvents {
  readonly #store: Store;
  /** By pod: the images of one pod are pulled one after another. */
  readonly #pulls = new Map<string, Pull>();
  #timer: NodeJS.Timeout | undefined;

  constructor(store: Store) {
    this.#store = store;
  }

  /** Sees every event of the agent: they say when a pull begins and ends. */
  happened({ reason, object }: KubeEvent): void {
    if (reason === 'Pulling') {
      this.#pulls.set(object.uid, { object, startedMs: Date.now(), progress: undefined });
      this.#timer ??= setInterval(() => this.#tell(), tellEveryMs).unref();
    } else if (reason === 'Pulled' || reason === 'Failed') {
      this.#end(object.uid);
    }
  }

  moved(image: string, progress: PullProgress, podUid: string | undefined): void {
    const pull = podUid === undefined ? undefined : this.#pulls.get(podUid);
    if (!pull || !('layer' in progress)) return;
    if (pull.progress?.name !== image) pull.progress = new ImageProgress(image);
    pull.progress.update(progress, Date.now());
  }

  close(): void {
    for (const uid of this.#pulls.keys()) this.#end(uid);
  }

  #end(uid: string): void {
    this.#pulls.delete(uid);
    if (this.#pulls.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  #tell(): void {
    const nowMs = Date.now();
    for (const { object, startedMs, progress } of this.#pulls.values()) {
      // One that has just begun comes the next time; a timer may be a millisecond early by this clock.
      if (!progress || nowMs - startedMs < tellEveryMs / 2) continue;
      const data = progressData(progress, nowMs);
      const event: NodeEvent = { type: 'Normal', reason: 'PullProgress', message: progressText(data), object, data };
      try {
        this.#store.events.record(event, { sameAs: `progress of ${progress.name}` });
      } catch (error) {
        log('cannot keep the progress of %s: %s', progress.name, errorMessage(error));
      }
    }
  }
}

function progressData(progress: ImageProgress, nowMs: number): PullProgressData {
  const { bytes, ofBytes: totalBytes } = progress.fetched();
  const bytesPerSecond = Math.round(progress.bytesPerSecond(nowMs));
  const layers = [...progress.layers.values()];
  return {
    image: progress.name,
    bytes,
    totalBytes,
    bytesPerSecond,
    ...(bytesPerSecond > 0 ? { secondsLeft: Math.ceil((totalBytes - bytes) / bytesPerSecond) } : {}),
    layers: layers.length,
    layersDone: layers.filter(({ state }) => state === 'done' || state === 'exists').length,
  };
}

function progressText({ image, bytes, totalBytes, bytesPerSecond, secondsLeft }: PullProgressData): string {
  const amount = `${humanSize(bytes)} of ${humanSize(totalBytes)}`;
  if (bytes === totalBytes) return `Pulling image "${image}": ${amount} here, unpacking`;
  const percent = Math.floor((bytes / totalBytes) * 100);
  const left = secondsLeft === undefined ? '' : `, ${humanDuration(secondsLeft * 1000)} left`;
  return `Pulling image "${image}": ${amount} (${percent}%), ${humanSize(bytesPerSecond)}/s${left}`;
}
