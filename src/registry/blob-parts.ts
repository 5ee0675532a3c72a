import { anySignal } from '../lib/abort.ts';
import { debugLog } from '../lib/debug.ts';
import { errorMessage } from '../lib/errors.ts';
import type { BlobPlace, OpenedBlob } from './blob-place.ts';
import type { BlobSlots } from './blob-slots.ts';
import type { SendOptions } from './requester.ts';

/** Less is not worth a request. @see registry.md 8.4 */
export const partBytes = 8 * 1024 * 1024;
/** What is left after the first one has shown to be slow. */
const fewestParts = 3;
/**
 * A host that is faster, all its streams together, gains nothing from more of them. Measured on one machine, 256 MiB in windows of four parts: without
 * a limit 570 MiB/s against 640 MiB/s of one stream; with 100 MiB/s for each connection 310 against 100; with 20 MiB/s
 * 77 against 20.
 */
const slowBytesPerMs = (200 * 1024 * 1024) / 1000;

const log = debugLog('registry');

export interface PartsOptions {
  readonly place: BlobPlace;
  /** Bytes of the whole blob. */
  readonly size: number;
  readonly slots: BlobSlots;
  /** For each request. */
  readonly options: SendOptions;
}

/** Whether a blob is large enough for parts, at a place that gives them. */
export function mayUseParts({ hasRanges, offset }: OpenedBlob, { size, slots }: PartsOptions): boolean {
  return slots.perBlob > 1 && hasRanges && size - offset >= (1 + fewestParts) * partBytes;
}

/**
 * An opened blob that gives its bytes in their order. If they come slowly and connections are free, the rest is fetched in
 * several parts at a time; what is not as it must be with a part ends that, and one stream brings the rest.
 */
export function withParts(opened: OpenedBlob, parts: PartsOptions): OpenedBlob {
  return { ...opened, bytes: inParts(opened, parts) };
}

async function* inParts(opened: OpenedBlob, parts: PartsOptions): AsyncGenerator<Uint8Array> {
  const { place, size, slots, options } = parts;
  const begin = opened.offset;
  let position = begin;
  let waitedMs = 0;
  let window: PartWindow | undefined;
  let useParts = false;
  const stream = opened.bytes[Symbol.asyncIterator]();
  try {
    for (;;) {
      // A slow reader is not the connection's fault, nor is a thread that has other work.
      const idleBefore = performance.nodeTiming.idleTime;
      const { done, value } = await stream.next();
      waitedMs += performance.nodeTiming.idleTime - idleBefore;
      if (done) break;
      const until = window?.begin ?? size;
      if (window && position + value.byteLength >= until) {
        // Before anything is yielded: the reader may free its memory.
        const [begun, rest] = [value.subarray(0, until - position), value.subarray(until - position)];
        if (begun.byteLength > 0) yield begun;
        position = until;
        useParts = await window.isAccepted();
        if (useParts) break;
        window = undefined;
        position += rest.byteLength;
        if (rest.byteLength > 0) yield rest;
        continue;
      }
      position += value.byteLength;
      yield value;
      // Other blobs of the same host share what there is, this thread included.
      const bytesPerMs = ((position - begin) / waitedMs) * slots.inUse(place.host);
      const isSlow = position - begin >= partBytes && bytesPerMs < slowBytesPerMs;
      if (!window && isSlow && size - position >= fewestParts * partBytes) {
        window = PartWindow.open(position + partBytes, parts);
      }
    }
    if (!useParts) return;
    await stream.return?.(undefined);
    for await (const chunk of window!) {
      position += chunk.byteLength;
      yield chunk;
    }
    if (position < size) yield* (await place.open(position, 'must-continue', options)).bytes;
  } finally {
    window?.close();
    await stream.return?.(undefined);
  }
}

interface Part {
  readonly accepted: Promise<boolean>;
  /** Undefined when it is not as it must be. */
  readonly chunks: Promise<readonly Uint8Array[] | undefined>;
}

/** Parts under way, in their order; as many as there are free connections for, and not more than each blob may have. */
class PartWindow implements AsyncIterable<Uint8Array> {
  /** Position of the first part in the blob. */
  readonly begin: number;
  readonly #parts: PartsOptions;
  readonly #abort = new AbortController();
  readonly #underWay: Part[] = [];
  #next: number;

  /** Undefined when no connection is free. */
  static open(begin: number, parts: PartsOptions): PartWindow | undefined {
    const window = new PartWindow(begin, parts);
    return window.#start() ? window : undefined;
  }

  constructor(begin: number, parts: PartsOptions) {
    this.begin = begin;
    this.#parts = parts;
    this.#next = begin;
  }

  /** Whether the first part is what was asked for, as far as its headers tell. */
  isAccepted(): Promise<boolean> {
    return this.#underWay[0]!.accepted;
  }

  close(): void {
    this.#abort.abort();
  }

  /** Ends early when a part is not as it must be, or no connection is free. */
  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    for (;;) {
      while (this.#underWay.length < this.#parts.slots.perBlob && this.#start());
      const part = this.#underWay.shift();
      const chunks = await part?.chunks;
      this.#parts.options.signal?.throwIfAborted();
      if (!chunks) return;
      yield* chunks;
    }
  }

  #start(): boolean {
    const { place, size, slots } = this.#parts;
    const first = this.#next;
    const release = first < size ? slots.tryAcquire(place.host) : undefined;
    if (!release) return false;
    const last = Math.min(first + partBytes, size) - 1;
    this.#next = last + 1;
    const accepted = Promise.withResolvers<boolean>();
    const chunks = this.#fetch(first, last, accepted.resolve)
      .catch((error) => {
        if (!this.#abort.signal.aborted) log('part %d-%d of a blob: %s', first, last, errorMessage(error));
        return undefined;
      })
      .finally(() => {
        release();
        accepted.resolve(false);
      });
    this.#underWay.push({ accepted: accepted.promise, chunks });
    return true;
  }

  async #fetch(first: number, last: number, accept: (accepted: boolean) => void): Promise<readonly Uint8Array[]> {
    const { place, options } = this.#parts;
    const { signal: own } = this.#abort;
    const signal = anySignal(options.signal, own);
    const body = await place.openPart(first, last, { ...options, attempts: 1, signal });
    accept(true);
    const chunks: Uint8Array[] = [];
    let rest = last + 1 - first;
    for await (const chunk of body) {
      rest -= chunk.byteLength;
      if (rest < 0) throw new Error('it is longer than the part');
      chunks.push(chunk);
    }
    if (rest > 0) throw new Error(`it ended ${rest} bytes early`);
    return chunks;
  }
}
