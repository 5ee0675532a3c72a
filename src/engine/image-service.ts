/** The CRI ImageService over the registry client, the pull engine and the store of one node. */
import {
  type AuthConfig,
  type CallOptions,
  CriError,
  type Image,
  type ImageService,
  type ImageSpec,
  imageAnnotations,
  type PodSandboxConfig,
  type PodSandboxMetadata,
} from '../cri/index.ts';
import { debugLog } from '../lib/debug.ts';
import { errorMessage, LadingError } from '../lib/errors.ts';
import {
  type Digest,
  formatReference,
  parseImageConfig,
  parseReference,
  pullReference,
  type Reference,
} from '../oci/index.ts';
import { isImageComplete, type PullDependencies, type PullProgress, SharedPulls } from '../pull/index.ts';
import { RegistryError } from '../registry/index.ts';
import type { ImageRecord } from '../store/index.ts';
import { criCredential } from './cri-credential.ts';
import { findImage, nameRecord, namesOfImage } from './image-lookup.ts';

const debug = debugLog('engine');
const maxConfigBytes = 8 * 1024 * 1024;

/** @param pod the metadata of the pod that the image is pulled for, where the caller has said it */
export type PullListener = (reference: Reference, progress: PullProgress, pod: PodSandboxMetadata | undefined) => void;

export type PullWarningListener = (reference: Reference, warning: string) => void;

export class EngineImageService implements ImageService {
  readonly #deps: PullDependencies;
  readonly #pulls: SharedPulls;
  readonly #listeners = new Set<PullListener>();
  readonly #warningListeners = new Set<PullWarningListener>();
  /** What registries said that names mean, until it has been fetched. */
  readonly #announced = new Map<string, Digest>();

  constructor(deps: PullDependencies) {
    this.#deps = deps;
    this.#pulls = new SharedPulls(deps);
  }

  /** Progress of every pull of this service; returns the function that ends the subscription. */
  onPullProgress(listener: PullListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** What is strange about an image that is pulled, one sentence each; returns the function that ends the subscription. */
  onPullWarning(listener: PullWarningListener): () => void {
    this.#warningListeners.add(listener);
    return () => this.#warningListeners.delete(listener);
  }

  async listImages(filter?: { image?: ImageSpec }): Promise<Image[]> {
    if (filter?.image?.image) {
      const image = await this.imageStatus(filter.image);
      return image ? [image] : [];
    }
    const { store } = this.#deps;
    const [leased, uses] = [store.leases.keys('image'), store.imageUses.list()];
    const images = await Promise.all(
      store.images.list().map(async (record): Promise<Image | undefined> => {
        const image = await this.#describe(record);
        const usedAtMs = uses.get(record.id);
        const annotations = {
          [imageAnnotations.pulledAt]: record.createdAt,
          ...(usedAtMs === undefined ? {} : { [imageAnnotations.usedAt]: new Date(usedAtMs).toISOString() }),
          ...(leased.has(record.id) ? { [imageAnnotations.inUse]: 'true' } : {}),
        };
        return image && { ...image, spec: { image: record.id, annotations } };
      }),
    );
    return images.filter((image) => image !== undefined);
  }

  async imageStatus(image: ImageSpec): Promise<Image | undefined> {
    const { store } = this.#deps;
    const found = findImage(store, image.image);
    const described = found && (await this.#describe(found));
    const record = nameRecord(store, image.image);
    if (!described || !record) return described;
    const announced = this.#announced.get(record.name);
    const annotations = {
      [imageAnnotations.checkedAt]: record.lastSeen,
      [imageAnnotations.digest]: record.target.digest,
      ...(announced && announced !== record.target.digest ? { [imageAnnotations.announcedDigest]: announced } : {}),
    };
    return { ...described, spec: { image: image.image, annotations } };
  }

  async pullImage(
    request: { image: ImageSpec; auth?: AuthConfig; sandboxConfig?: PodSandboxConfig },
    options: CallOptions = {},
  ): Promise<{ imageRef: string }> {
    const { signal } = options;
    const pod = request.sandboxConfig?.metadata;
    try {
      const reference = pullReference(parseReference(request.image.image));
      const credentials = request.auth && criCredential(request.auth);
      const { imageId } = await this.#pulls.pull(reference, {
        signal,
        by: pod && `pod ${pod.namespace}/${pod.name}`,
        ...(credentials ? { credentials: [credentials] } : {}),
        onResolved: ({ digest }) => this.#announced.set(formatReference(reference), digest),
        onPlan: ({ name, layersToFetch, bytesToFetch, warnings }) => {
          debug('pull %s: %d layers, %d bytes to fetch', name, layersToFetch, bytesToFetch);
          for (const warning of warnings) {
            for (const listener of this.#warningListeners) listener(reference, warning);
          }
        },
        onProgress: (progress) => {
          for (const listener of this.#listeners) listener(reference, progress, pod);
        },
      });
      this.#announced.delete(formatReference(reference));
      return { imageRef: imageId };
    } catch (error) {
      throw pullError(error, signal);
    }
  }

  /**
   * Asks the registry what a name means now, with one HEAD, and notes when that is what it means here too. Not a call of
   * the CRI.
   * @returns the digest of the manifest or index @throws CriError as `pullImage` does
   */
  async currentDigest(image: string, { auth, signal }: CallOptions & { auth?: AuthConfig } = {}): Promise<Digest> {
    try {
      const reference = pullReference(parseReference(image));
      const credentials = auth && criCredential(auth);
      const call = { signal, ...(credentials ? { credentials: [credentials] } : {}) };
      const { digest } = (await this.#deps.registry.resolve(reference, call)).descriptor;
      const name = formatReference(reference);
      this.#announced.set(name, digest);
      if (this.#deps.store.names.get(name)?.target.digest === digest) this.#deps.store.names.touch(name);
      return digest;
    } catch (error) {
      throw pullError(error, signal);
    }
  }

  async removeImage(image: ImageSpec): Promise<void> {
    const { store } = this.#deps;
    const found = findImage(store, image.image);
    if (!found) return;
    store.images.remove(found.id);
    await store.collectGarbage();
  }

  async imageFsInfo() {
    const { store } = this.#deps;
    const usage = await store.diskUsage();
    return {
      imageFilesystems: [
        {
          timestamp: BigInt(Date.now()) * 1_000_000n,
          fsId: { mountpoint: store.root },
          usedBytes: { value: usage.totalBytes },
          inodesUsed: { value: usage.totalInodes },
        },
      ],
    };
  }

  /** Undefined for an image that is not complete: to the kubelet it is not there, and the next pull completes it. */
  async #describe(image: ImageRecord): Promise<Image | undefined> {
    const { store } = this.#deps;
    if (!(await isImageComplete(store, image))) return undefined;
    const config = parseImageConfig(await store.blobs.read(image.id, { maxBytes: maxConfigBytes }));
    const [user = ''] = (config.config.User ?? '').split(':');
    const numeric = /^\d+$/.test(user);
    return {
      id: image.id,
      ...namesOfImage(store, image),
      size: image.size,
      ...(numeric ? { uid: { value: Number(user) } } : {}),
      username: numeric ? '' : user,
      pinned: false,
    };
  }
}

/** The kubelet tells pull errors apart by their text. @see cri.md, "Errors of PullImage" */
function pullError(error: unknown, signal: AbortSignal | undefined): CriError {
  if (error instanceof CriError) return error;
  if (signal?.aborted) return new CriError('CANCELLED', 'the pull was cancelled', { cause: error });
  const details = {
    cause: error,
    ...(error instanceof LadingError ? { hint: error.hint, data: error.data } : {}),
  };
  const message = errorMessage(error);
  if (error instanceof RegistryError) {
    if (error.data.unreachable) return new CriError('UNKNOWN', `RegistryUnavailable: ${message}`, details);
    if (error.data.kind === 'not-found') return new CriError('NOT_FOUND', message, details);
  }
  return new CriError('UNKNOWN', message, details);
}
