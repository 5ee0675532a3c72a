import { debugLog } from '../lib/debug.ts';
import { mayUseParts, withParts } from './blob-parts.ts';
import { type BlobPlace, type OpenedBlob, sizeError } from './blob-place.ts';
import type { BlobSlots } from './blob-slots.ts';
import type { EndpointWalk } from './endpoint-walk.ts';
import { RegistryError } from './registry-error.ts';
import type { CallOptions } from './requester.ts';
import { faultError } from './status-error.ts';
import { TransportFault } from './transport-fault.ts';

export interface BlobDownload {
  /** Position of the first byte of `body` in the blob: what was asked for, or 0 where the server cannot resume. */
  readonly offset: number;
  /** The raw stored bytes from `offset` to the end. Iterate it to the end, leave the loop, or abort the signal. */
  readonly body: AsyncIterable<Uint8Array>;
  /**
   * Call it when the whole turns out to have another digest: for a while the client takes this blob from other
   * endpoints than those that these bytes came from.
   * @returns whether there are others
   */
  readonly reject: () => boolean;
}

export interface DownloadOptions extends CallOptions {
  /** Bytes of the blob that are there already. Default 0. */
  readonly offset?: number | undefined;
}

/** A connection that brought this much was a good one: the count of attempts begins anew. */
const progressBytes = 1024 * 1024;

const log = debugLog('registry');

/** Where the bytes of a download come from, one place after the other. */
interface Source {
  readonly place: BlobPlace;
  readonly opened: OpenedBlob;
  /** Gives the place among the bodies of its host back. */
  readonly release: () => void;
}

export interface WalkOptions extends CallOptions {
  /** Bytes of the whole blob. */
  readonly size: number;
  readonly offset: number;
  readonly slots: BlobSlots;
}

export interface WalkedDownload {
  readonly offset: number;
  readonly body: AsyncIterable<Uint8Array>;
  /** Those that gave bytes so far. */
  readonly places: ReadonlySet<BlobPlace>;
}

/**
 * Opens a blob at an offset. The body never has more than `size` bytes in total. After a cut or a stall it goes on at
 * the same byte, with a new request to the next place, or to the same one (storage URLs that it redirects to are
 * short-lived). It is not verified here: that is for whoever keeps the bytes.
 * @see registry.md 8.3
 */
export async function downloadBlob(
  walk: EndpointWalk<BlobPlace>,
  { size, offset, slots, ...options }: WalkOptions,
): Promise<WalkedDownload> {
  const places = new Set<BlobPlace>();
  const open = (at: number, mode: 'may-restart' | 'must-continue') =>
    walk.run(async (place, one): Promise<Source> => {
      const release = await slots.acquire(place.host, options);
      try {
        const call = { ...options, ...one };
        const opened = await place.open(at, mode, call);
        places.add(place);
        const parts = { place, size, slots, options: call };
        return { place, opened: mayUseParts(opened, parts) ? withParts(opened, parts) : opened, release };
      } catch (error) {
        release();
        throw error;
      }
    });
  const first = await open(offset < size ? offset : 0, 'may-restart');
  return { offset: first.opened.offset, body: resuming(walk, first, { size, open }), places };
}

async function* resuming(
  walk: EndpointWalk<BlobPlace>,
  first: Source,
  { size, open }: { size: number; open: (at: number, mode: 'must-continue') => Promise<Source> },
): AsyncGenerator<Uint8Array, void, undefined> {
  let position = first.opened.offset;
  let source = first;
  let mark = position;
  for (;;) {
    const { place, opened, release } = source;
    let failure: RegistryError;
    let next: 'again' | 'never' = 'never';
    try {
      for await (const chunk of opened.bytes) {
        if (position + chunk.byteLength > size) throw sizeError(opened.asked, `more than the ${size} bytes`);
        position += chunk.byteLength;
        yield chunk;
      }
      if (position === size) return;
      throw new TransportFault('truncated', `the body ended at ${position} of ${size} bytes`, true, undefined);
    } catch (error) {
      if (error instanceof RegistryError) {
        failure = error;
      } else if (error instanceof TransportFault) {
        if (position === size) return;
        failure = faultError(opened.asked, cutAt(error, position, size));
        if (error.retryable && opened.resumable) next = 'again';
      } else {
        throw error;
      }
    } finally {
      release();
    }
    if (position - mark >= progressBytes) walk.progress();
    mark = position;
    log('%s: %s', opened.asked.what, failure.message);
    walk.fail(place, failure, next);
    source = await open(position, 'must-continue');
  }
}

function cutAt(fault: TransportFault, position: number, size: number): TransportFault {
  const kind = fault.kind === 'timeout' ? 'timeout' : 'truncated';
  const message = fault.kind === 'truncated' ? fault.message : `${fault.message} at ${position} of ${size} bytes`;
  return new TransportFault(kind, message, fault.retryable, fault.cause);
}
