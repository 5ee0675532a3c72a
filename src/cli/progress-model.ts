import type { LayerProgress } from '../pull/index.ts';
import type { CopyProgress } from '../transfer/index.ts';

/** Of a pull or of a copy. */
export type LayerEvent = LayerProgress | CopyProgress;
export type LayerState = LayerEvent['state'];

/** The last seconds that the rate is averaged over: long enough to be readable, short enough to show a stall. */
const rateWindowMs = 3000;
/** Chunks come a thousand times a second: those within this time are one sample. */
const sampleMs = 50;

/** Bytes per second over the last seconds. */
export class RateMeter {
  readonly #samples: Array<{ atMs: number; bytes: number }> = [];

  /** @param bytes the count so far; less than before starts anew */
  add(bytes: number, atMs: number): void {
    const last = this.#samples.at(-1);
    if (last && bytes < last.bytes) this.#samples.length = 0;
    const before = this.#samples.at(-2);
    if (before && atMs - before.atMs < sampleMs) this.#samples.pop();
    this.#samples.push({ atMs, bytes });
    // One sample outside the window stays: it is where the window begins.
    while (this.#samples.length > 2 && this.#samples[1]!.atMs <= atMs - rateWindowMs) this.#samples.shift();
  }

  /** Undefined until there is something to compare. */
  bytesPerSecond(nowMs: number): number | undefined {
    const first = this.#samples[0];
    const last = this.#samples.at(-1);
    if (!first || !last || nowMs <= first.atMs) return undefined;
    return ((last.bytes - first.bytes) * 1000) / (nowMs - first.atMs);
  }
}

export interface LayerLine {
  readonly digest: string;
  /** Bytes of the blob. */
  readonly size: number;
  readonly state: LayerState;
  /** Of the blob: fetched so far; while unpacking, unpacked so far. */
  readonly bytes: number;
  readonly rate: RateMeter;
}

/** Bytes are on their way. */
export function isMoving(state: LayerState): boolean {
  return state === 'downloading' || state === 'copying';
}

/** What is known of one pull or copy: its layers in the order in which they were heard of, the bottom layer first. */
export class ImageProgress {
  readonly name: string;
  readonly layers = new Map<string, LayerLine>();

  constructor(name: string) {
    this.name = name;
  }

  /** @returns whether the layer has come to another state */
  update(event: LayerEvent, nowMs: number): boolean {
    const before = this.layers.get(event.layer);
    const rate = before?.rate ?? new RateMeter();
    if (isMoving(event.state)) rate.add(event.bytes, nowMs);
    const { layer: digest, size, state, bytes } = event;
    this.layers.set(digest, { digest, size, state, bytes, rate });
    return before?.state !== event.state;
  }

  /** Over the layers that are not here already. */
  fetched(): { bytes: number; ofBytes: number } {
    let bytes = 0;
    let ofBytes = 0;
    for (const layer of this.layers.values()) {
      if (layer.state === 'exists') continue;
      bytes += layer.state === 'waiting' || isMoving(layer.state) ? layer.bytes : layer.size;
      ofBytes += layer.size;
    }
    return { bytes, ofBytes };
  }

  /** Of the downloads that are under way. */
  bytesPerSecond(nowMs: number): number {
    let sum = 0;
    for (const { state, rate } of this.layers.values()) {
      if (isMoving(state)) sum += rate.bytesPerSecond(nowMs) ?? 0;
    }
    return sum;
  }
}
