import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { debugLog } from '../lib/debug.ts';
import { errorCode } from '../lib/errors.ts';
import type { Descriptor } from '../oci/descriptor.ts';
import type { Reference } from '../oci/reference.ts';
import { codingOf, decoderFor } from './content-coding.ts';
import { isRestOf, parseContentRange } from './content-range.ts';
import type { Endpoint } from './endpoint.ts';
import type { CallOptions, RegistryResponse, Requester } from './requester.ts';
import { repositoryScope } from './scope.ts';
import { type Asked, contentError, faultError } from './status-error.ts';
import { headerLines, headerOf } from './transport.ts';
import { TransportFault } from './transport-fault.ts';

export interface BlobDownload {
  /** Position of the first byte of `body` in the blob: what was asked for, or 0 where the server cannot resume. */
  readonly offset: number;
  /** The raw stored bytes from `offset` to the end. Iterate it to the end, leave the loop, or abort the signal. */
  readonly body: AsyncIterable<Uint8Array>;
}

export interface DownloadOptions extends CallOptions {
  /** Bytes of the blob that are there already. Default 0. */
  readonly offset?: number;
}

/** Bytes that may be received and thrown away, where a server ignores Range, before a restart is the better deal. */
const maxSkippedBytes = 8 * 1024 * 1024;
/** A connection that brought this much was a good one: the count of attempts begins anew. */
const progressBytes = 1024 * 1024;

const log = debugLog('registry');

/**
 * Opens a blob at an offset. The body never has more than the descriptor's size in total, and goes on after a cut or a
 * stall with a new request to the registry (storage URLs that it redirects to are short-lived). It is not verified
 * here: that is for whoever keeps the bytes.
 * @see registry.md 8.3
 */
export async function downloadBlob(
  requester: Requester,
  endpoint: Endpoint,
  reference: Reference,
  descriptor: Descriptor,
  { offset = 0, ...options }: DownloadOptions,
): Promise<BlobDownload> {
  if (offset === descriptor.size) return { offset, body: nothing() };
  const opener = new BlobOpener(requester, endpoint, reference, descriptor, options);
  const first = await opener.open(offset < descriptor.size ? offset : 0, 'may-restart');
  return { offset: first.offset, body: resuming(opener, first) };
}

async function* nothing(): AsyncGenerator<Uint8Array> {}

/** One answer with the bytes of the blob from `offset` on. */
interface OpenedBlob {
  readonly offset: number;
  readonly bytes: AsyncIterable<Uint8Array>;
  readonly resumable: boolean;
  readonly asked: Asked;
}

async function* resuming(opener: BlobOpener, first: OpenedBlob): AsyncGenerator<Uint8Array, void, undefined> {
  const { size } = opener.descriptor;
  const { retrier } = opener.requester;
  let position = first.offset;
  let opened = first;
  let failures = 0;
  let mark = position;
  for (;;) {
    let fault: TransportFault;
    try {
      for await (const chunk of opened.bytes) {
        if (position + chunk.byteLength > size) throw sizeError(opened.asked, `more than the ${size} bytes`);
        position += chunk.byteLength;
        yield chunk;
      }
      if (position === size) return;
      fault = new TransportFault('truncated', `the body ended at ${position} of ${size} bytes`, true, undefined);
    } catch (error) {
      if (!(error instanceof TransportFault)) throw error;
      fault = error;
      if (position === size) return;
    }
    if (position - mark >= progressBytes) failures = 0;
    mark = position;
    failures += 1;
    log('%s: %s at %d of %d bytes, failure %d', opened.asked.what, fault.message, position, size, failures);
    if (!fault.retryable || !opened.resumable || failures >= retrier.attempts) {
      throw faultError(opened.asked, cutAt(fault, position, size));
    }
    await retrier.sleep(retrier.backoffMs(failures), opener.options.signal);
    opened = await opener.open(position, 'must-continue');
  }
}

function cutAt(fault: TransportFault, position: number, size: number): TransportFault {
  const kind = fault.kind === 'timeout' ? 'timeout' : 'truncated';
  const message = fault.kind === 'truncated' ? fault.message : `${fault.message} at ${position} of ${size} bytes`;
  return new TransportFault(kind, message, fault.retryable, fault.cause);
}

/** Asks for a blob from an offset on, and checks that the answer is that and nothing else. */
class BlobOpener {
  readonly requester: Requester;
  readonly descriptor: Descriptor;
  readonly options: CallOptions;
  readonly #endpoint: Endpoint;
  readonly #reference: Reference;
  /** The server answered a Range with something else than the range; it is not asked for one again. */
  #noRanges = false;

  constructor(
    requester: Requester,
    endpoint: Endpoint,
    reference: Reference,
    descriptor: Descriptor,
    options: CallOptions,
  ) {
    this.requester = requester;
    this.#endpoint = endpoint;
    this.#reference = reference;
    this.descriptor = descriptor;
    this.options = options;
  }

  /**
   * `may-restart`: the result may begin at 0 although more was asked. `must-continue`: it begins at `offset`, if need
   * be by reading and dropping what comes before.
   */
  async open(offset: number, mode: 'may-restart' | 'must-continue'): Promise<OpenedBlob> {
    const { size } = this.descriptor;
    if (offset > 0 && !this.#noRanges) {
      const response = await this.#request(offset);
      if (response.status === 206) {
        const ranges = headerLines(response, 'content-range');
        if (isRestOf(parseContentRange(ranges), offset, size) && hasLength(response, size - offset)) {
          return { offset, bytes: response.body, resumable: true, asked: response.asked };
        }
        log('%s: asked from %d on, got Content-Range %s', response.asked.what, offset, ranges.join(', '));
      }
      this.#noRanges = true;
      if (response.status === 200) return this.#skip(this.#whole(response), offset, mode);
      await response.body.discard();
    }
    return this.#skip(this.#whole(await this.#request(0)), offset, mode);
  }

  async #request(offset: number): Promise<RegistryResponse> {
    const { repository } = this.#reference;
    const { digest } = this.descriptor;
    return this.requester.send(
      this.#endpoint,
      {
        method: 'GET',
        target: `/${repository}/blobs/${digest}`,
        headers: offset > 0 ? { range: `bytes=${offset}-` } : {},
        kind: 'blob',
        what: `the blob ${digest} of ${repository}`,
        scopes: [repositoryScope(repository, 'pull')],
        accept: offset > 0 ? [200, 206, 416] : [200],
        repeatable: true,
      },
      this.options,
    );
  }

  /** A complete answer, of the declared length; decoded where something encoded it on the way. */
  #whole(response: RegistryResponse): OpenedBlob {
    const { size } = this.descriptor;
    const { asked, body } = response;
    if (headerLines(response, 'content-range').length > 0) {
      body.discard().catch(() => {});
      throw contentError('protocol', asked, 'with a part of it (Content-Range) where all was asked for');
    }
    const coding = codingOf(headerOf(response, 'content-encoding'));
    // A stored object may carry the header too; then its length is that of the stored bytes, which are wanted.
    if (coding !== undefined && headerOf(response, 'content-length') !== String(size)) {
      return { offset: 0, bytes: decoding(body, coding, asked), resumable: false, asked };
    }
    if (!hasLength(response, size)) {
      body.discard().catch(() => {});
      throw sizeError(asked, `${headerOf(response, 'content-length')} bytes instead of the ${size}`);
    }
    return { offset: 0, bytes: body, resumable: true, asked };
  }

  #skip(whole: OpenedBlob, offset: number, mode: 'may-restart' | 'must-continue'): OpenedBlob {
    if (offset === 0 || (mode === 'may-restart' && offset >= maxSkippedBytes)) return whole;
    return { ...whole, offset, bytes: skipping(whole.bytes, offset) };
  }
}

/** Without a Content-Length there is nothing to check yet; the bytes are counted. */
function hasLength(response: RegistryResponse, length: number): boolean {
  return (headerOf(response, 'content-length') ?? String(length)) === String(length);
}

async function* skipping(bytes: AsyncIterable<Uint8Array>, count: number): AsyncGenerator<Uint8Array> {
  let rest = count;
  for await (const chunk of bytes) {
    if (rest < chunk.byteLength) yield rest === 0 ? chunk : chunk.subarray(rest);
    rest = Math.max(0, rest - chunk.byteLength);
  }
}

async function* decoding(bytes: AsyncIterable<Uint8Array>, coding: string, asked: Asked): AsyncGenerator<Uint8Array> {
  const decoder = decoderFor(coding);
  const piped = pipeline(Readable.from(bytes, { objectMode: false }), decoder).catch(() => {}); // shows in the decoder
  try {
    yield* decoder as AsyncIterable<Uint8Array>;
  } catch (error) {
    if (!/^Z(?:STD)?_/.test(errorCode(error) ?? '')) throw error;
    throw contentError('protocol', asked, `it is not encoded in ${coding}, as it is declared`);
  } finally {
    decoder.destroy();
    await piped;
  }
}

function sizeError(asked: Asked, problem: string) {
  return contentError(
    'digest-mismatch',
    asked,
    `with ${problem} that the manifest declares`,
    'The registry holds damaged or different content under this digest.',
  );
}
