import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { debugLog } from '../lib/debug.ts';
import { errorCode } from '../lib/errors.ts';
import type { Descriptor } from '../oci/descriptor.ts';
import { bareMediaType } from '../oci/media-types.ts';
import type { Reference } from '../oci/reference.ts';
import { codingOf, decoderFor } from './content-coding.ts';
import { isRestOf, parseContentRange } from './content-range.ts';
import { type Endpoint, endpointKey } from './endpoint.ts';
import type { Candidate } from './endpoint-walk.ts';
import type { RegistryResponse, Requester, SendOptions } from './requester.ts';
import { repositoryScope } from './scope.ts';
import { type Asked, contentError } from './status-error.ts';
import { headerLines, headerOf } from './transport.ts';

/** One answer with the bytes of a blob from `offset` on. */
export interface OpenedBlob {
  readonly offset: number;
  readonly bytes: AsyncIterable<Uint8Array>;
  /** A new request for the rest makes sense after a cut. */
  readonly resumable: boolean;
  /** The server says that it sends parts of it. */
  readonly hasRanges: boolean;
  readonly asked: Asked;
}

export interface BlobPlaceOptions {
  readonly requester: Requester;
  readonly endpoint: Endpoint;
  readonly reference: Pick<Reference, 'repository'>;
  readonly descriptor: Descriptor;
  /** Where the manifest says that the content is, for content that registries may not keep. */
  readonly url?: URL;
}

/** Bytes that may be received and thrown away, where a server ignores Range, before a restart is the better deal. */
const maxSkippedBytes = 8 * 1024 * 1024;

const log = debugLog('registry');

/** A place that may have a blob: asks for it from an offset on, and checks that the answer is that and nothing else. */
export class BlobPlace implements Candidate {
  readonly key: string;
  readonly host: string;
  readonly #options: BlobPlaceOptions;
  /** The server answered a Range with something else than the range; it is not asked for one again. */
  #noRanges = false;

  constructor(options: BlobPlaceOptions) {
    const { endpoint, url } = options;
    this.#options = options;
    this.key = url ? url.origin : endpointKey(endpoint);
    this.host = url ? url.host : endpoint.host;
  }

  /**
   * `may-restart`: the result may begin at 0 although more was asked. `must-continue`: it begins at `offset`, if need
   * be by reading and dropping what comes before.
   * @throws RegistryError, and what `Requester.send` throws
   */
  async open(offset: number, mode: 'may-restart' | 'must-continue', options: SendOptions): Promise<OpenedBlob> {
    const { size } = this.#options.descriptor;
    if (offset > 0 && !this.#noRanges) {
      const response = await this.#request(`bytes=${offset}-`, options);
      if (response.status === 206) {
        const ranges = headerLines(response, 'content-range');
        if (isRestOf(parseContentRange(ranges), offset, size) && hasLength(response, size - offset)) {
          return { offset, bytes: response.body, resumable: true, hasRanges: true, asked: response.asked };
        }
        log('%s: asked from %d on, got Content-Range %s', response.asked.what, offset, ranges.join(', '));
      }
      this.#noRanges = true;
      if (response.status === 200) return skipTo(offset, this.#whole(response), mode);
      await response.body.discard();
    }
    return skipTo(offset, this.#whole(await this.#request(undefined, options)), mode);
  }

  /**
   * The bytes from `first` to `last`, both included.
   * @throws RegistryError `protocol` for an answer that is not exactly this; and what `Requester.send` throws
   */
  async openPart(first: number, last: number, options: SendOptions): Promise<AsyncIterable<Uint8Array>> {
    const { size } = this.#options.descriptor;
    const response = await this.#request(`bytes=${first}-${last}`, options);
    const range = parseContentRange(headerLines(response, 'content-range'));
    const isIt = range?.first === first && range.last === last && (range.size ?? size) === size;
    if (response.status === 206 && isIt && hasLength(response, last + 1 - first)) return response.body;
    response.body.discard().catch(() => {});
    throw contentError('protocol', response.asked, `not with the bytes ${first}-${last} that were asked for`);
  }

  #request(range: string | undefined, options: SendOptions): Promise<RegistryResponse> {
    const { requester, endpoint, reference, descriptor, url } = this.#options;
    const { repository } = reference;
    const { digest } = descriptor;
    return requester.send(
      endpoint,
      {
        method: 'GET',
        target: url ?? `/${repository}/blobs/${digest}`,
        repository,
        headers: range === undefined ? {} : { range },
        kind: 'blob',
        what: `the blob ${digest} of ${repository}`,
        scopes: [repositoryScope(repository, 'pull')],
        accept: range === undefined ? [200] : [200, 206, 416],
        repeatable: true,
      },
      options,
    );
  }

  /** A complete answer, of the declared length; decoded where something encoded it on the way. */
  #whole(response: RegistryResponse): OpenedBlob {
    const { descriptor } = this.#options;
    const { size } = descriptor;
    const { asked, body } = response;
    if (headerLines(response, 'content-range').length > 0) {
      body.discard().catch(() => {});
      throw contentError('protocol', asked, 'with a part of it (Content-Range) where all was asked for');
    }
    // With a length it would be refused for that; without one its bytes would be taken for the first ones of the blob.
    if (isWebPage(response, descriptor)) {
      body.discard().catch(() => {});
      throw contentError('protocol', asked, 'it is a web page (text/html), as login pages and proxies send them');
    }
    const coding = codingOf(headerOf(response, 'content-encoding'));
    // A stored object may carry the header too; then its length is that of the stored bytes, which are wanted. Without a
    // length its type tells: what is compressed already is hardly compressed again on the way.
    const isStored = headerOf(response, 'content-length') === String(size) || isCompressedBy(coding, descriptor);
    if (coding !== undefined && !isStored) {
      return { offset: 0, bytes: decoding(body, coding, asked), resumable: false, hasRanges: false, asked };
    }
    if (!hasLength(response, size)) {
      body.discard().catch(() => {});
      throw sizeError(asked, `${headerOf(response, 'content-length')} bytes instead of the ${size}`);
    }
    const hasRanges = headerOf(response, 'accept-ranges') === 'bytes';
    return { offset: 0, bytes: body, resumable: true, hasRanges, asked };
  }
}

function isCompressedBy(coding = 'none', { mediaType }: Descriptor): boolean {
  return bareMediaType(mediaType).endsWith(coding.replace(/^x-/, ''));
}

function isWebPage(response: RegistryResponse, { mediaType }: Descriptor): boolean {
  const isHtml = (type: string) => bareMediaType(type) === 'text/html';
  const declared = headerOf(response, 'content-type') ?? '';
  return headerOf(response, 'content-length') === undefined && isHtml(declared) && !isHtml(mediaType);
}

/** The registry's content is not what its manifest declares. */
export function sizeError(asked: Asked, problem: string) {
  return contentError(
    'digest-mismatch',
    asked,
    `with ${problem} that the manifest declares`,
    'The registry holds damaged or different content under this digest.',
  );
}

function skipTo(offset: number, whole: OpenedBlob, mode: 'may-restart' | 'must-continue'): OpenedBlob {
  if (offset === 0 || (mode === 'may-restart' && offset >= maxSkippedBytes)) return whole;
  return { ...whole, offset, bytes: skipping(whole.bytes, offset) };
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
