import type { Clock } from '../lib/clock.ts';
import type { Descriptor } from '../oci/descriptor.ts';
import { type Digest, digestAlgorithm, digestOf } from '../oci/digest.ts';
import type { Reference } from '../oci/reference.ts';
import { type BlobDownload, type DownloadOptions, downloadBlob } from './blob-download.ts';
import { BlobPlace } from './blob-place.ts';
import type { BlobSlots } from './blob-slots.ts';
import type { Endpoints } from './endpoints.ts';
import { foreignUrls } from './foreign-layer.ts';
import type { CallOptions, Requester } from './requester.ts';
import { contentError } from './status-error.ts';

export interface ReadBlobOptions extends CallOptions {
  /** A larger blob is refused unread. */
  readonly maxBytes: number;
}

export interface BlobFetcherOptions {
  readonly requester: Requester;
  readonly endpoints: Endpoints;
  readonly slots: BlobSlots;
  readonly clock: Clock;
  /** Whether foreign layers may be taken from addresses of internal networks. */
  readonly internalUrls: 'refused' | 'allowed';
}

/** An endpoint that gave wrong content for a digest is not asked for that digest for this long, if there are others. */
const distrustMs = 10 * 60_000;

/** Gets blobs from the endpoints of a registry, and remembers which of them gave wrong content. */
export class BlobFetcher {
  readonly #options: BlobFetcherOptions;
  readonly #distrusted = new Map<string, number>();

  constructor(options: BlobFetcherOptions) {
    this.#options = options;
  }

  /** @throws RegistryError; see `downloadBlob` */
  async fetch(
    reference: Reference,
    descriptor: Descriptor,
    { offset = 0, ...call }: DownloadOptions,
  ): Promise<BlobDownload> {
    const { size, digest } = descriptor;
    if (offset === size) return { offset, body: nothing(), reject: () => false };
    const embedded = embeddedContent(descriptor);
    if (embedded) return { offset, body: only(embedded.subarray(offset)), reject: () => false };
    const { registry } = reference;
    const { endpoints, slots } = this.#options;
    const places = await this.#places(reference, descriptor);
    const trusted = places.filter((place) => !this.#isDistrusted(place, digest));
    const candidates = trusted.length > 0 ? trusted : places;
    const walk = endpoints.walkThrough(candidates, { registry, operation: 'pull', signal: call.signal });
    const { places: used, ...download } = await downloadBlob(walk, { size, offset, slots, ...call });
    const reject = () => {
      // Where several gave a part, any of them may be wrong: the last one gets a chance to give all of it.
      for (const place of used.size > 1 ? [...used].slice(0, -1) : used) this.#distrust(place, digest);
      return places.some((place) => !this.#isDistrusted(place, digest));
    };
    return { ...download, reject };
  }

  /** A small blob, verified; for image configs. @throws RegistryError `too-large`, `digest-mismatch`, and others */
  async read(
    reference: Reference,
    descriptor: Descriptor,
    { maxBytes, ...options }: ReadBlobOptions,
  ): Promise<Uint8Array> {
    const { registry } = reference;
    const { digest, size } = descriptor;
    const what = `the blob ${digest} of ${reference.repository}`;
    const asked = { registry, whom: `registry ${registry}`, what, credentials: [] };
    if (size > maxBytes) {
      throw contentError('too-large', asked, `its ${size} bytes are more than the ${maxBytes} that are allowed here`);
    }
    for (;;) {
      const { body, reject } = await this.fetch(reference, descriptor, options);
      const chunks: Uint8Array[] = [];
      for await (const chunk of body) chunks.push(chunk);
      const bytes = Buffer.concat(chunks);
      const actual = digestOf(bytes, digestAlgorithm(digest));
      if (actual === digest) return bytes;
      if (!reject()) throw contentError('digest-mismatch', asked, `its content has the digest ${actual}`);
    }
  }

  async #places(reference: Reference, descriptor: Descriptor): Promise<readonly BlobPlace[]> {
    const { requester, endpoints, internalUrls } = this.#options;
    const mirrors = await endpoints.for(reference.registry, 'pull');
    const common = { requester, reference, descriptor };
    return [
      // The registry itself, which comes last, stands for them: they are shown nothing of it.
      ...foreignUrls(descriptor, internalUrls).map(
        (url) => new BlobPlace({ ...common, endpoint: mirrors.at(-1)!, url }),
      ),
      ...mirrors.map((endpoint) => new BlobPlace({ ...common, endpoint })),
    ];
  }

  #isDistrusted({ key }: BlobPlace, digest: Digest): boolean {
    return (this.#distrusted.get(`${key} ${digest}`) ?? 0) > this.#options.clock.now();
  }

  #distrust({ key }: BlobPlace, digest: Digest): void {
    const now = this.#options.clock.now();
    for (const [old, until] of this.#distrusted) if (until <= now) this.#distrusted.delete(old);
    this.#distrusted.set(`${key} ${digest}`, now + distrustMs);
  }
}

async function* nothing(): AsyncGenerator<Uint8Array> {}

async function* only(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

/** What a descriptor brings along itself, if it is what the descriptor says; otherwise it is fetched. @see registry.md 2.2 */
function embeddedContent({ data, size, digest }: Descriptor): Uint8Array | undefined {
  if (data === undefined || data.length !== Math.ceil(size / 3) * 4) return undefined;
  const bytes = Buffer.from(data, 'base64');
  return bytes.byteLength === size && digestOf(bytes, digestAlgorithm(digest)) === digest ? bytes : undefined;
}
