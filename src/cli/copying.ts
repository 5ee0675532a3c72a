/** What the commands that copy images have in common: progress, the result in one line, images of the node. */
import { errorCode } from '../lib/errors.ts';
import type { Descriptor } from '../oci/index.ts';
import type { ImageRecord, Store } from '../store/index.ts';
import type { CopyOptions, CopyResult, ImageSource, ImageTarget, NodeManifest } from '../transfer/index.ts';
import { type Cli, storeOptions } from './cli.ts';
import { humanSize } from './human.ts';

/** An image on its way, as messages call it. */
export interface NamedCopy {
  readonly name: string;
  readonly from: ImageSource;
  readonly to: ImageTarget;
  readonly options: CopyOptions;
  readonly quiet: boolean | undefined;
}

/** Copies with progress on stderr. */
export async function copyWithProgress(cli: Cli, { name, from, to, options, quiet }: NamedCopy): Promise<CopyResult> {
  const [{ copyImage }, { openProgressView }] = await Promise.all([
    import('../transfer/index.ts'),
    import('./progress-view.ts'),
  ]);
  if (quiet) return copyImage(from, to, { ...options, signal: cli.signal });
  const view = await openProgressView(cli.stderr, { plain: cli.verbose });
  try {
    const onProgress = (progress: Parameters<typeof view.update>[1]) => view.update(name, progress);
    return await copyImage(from, to, { ...options, signal: cli.signal, onProgress });
  } finally {
    view.close();
  }
}

/** `3 copied (4.2MB), 1 already there`. */
export function copySentence({ blobs, blobsWritten, bytesWritten }: CopyResult): string {
  const there = blobs - blobsWritten;
  if (blobsWritten === 0) return `${there} already there, nothing copied`;
  return `${blobsWritten} copied (${humanSize(bytesWritten)})${there === 0 ? '' : `, ${there} already there`}`;
}

/** The node's store, to copy images from: on a read-only disk it is read as it is, and nobody can remove what is there. */
export async function openStoreToCopyFrom(cli: Cli): Promise<Store> {
  const { openStore } = await import('../store/index.ts');
  const { root } = cli.settings;
  try {
    return await openStore(root, storeOptions(cli));
  } catch (error) {
    if (errorCode(error) !== 'ERR_LADING_DISK_READ_ONLY') throw error;
    return await openStore(root, storeOptions(cli, { readOnly: true }));
  }
}

/**
 * An image of the node as something to copy from, kept from the collector until `close`. A layer whose blob the node
 * lacks is fetched from a registry that a name of the image leads to.
 * @param manifest which one of the image, as `manifestOfName` gives it
 */
export async function openNodeImage(cli: Cli, store: Store, image: ImageRecord, manifest: NodeManifest) {
  const [{ nodeSource }, { fetchBlobByNames }, { RegistryClient }, { registryOptions }] = await Promise.all([
    import('../transfer/index.ts'),
    import('../pull/index.ts'),
    import('../registry/index.ts'),
    import('./registry-options.ts'),
  ]);
  const digests = [manifest.descriptor, ...manifest.blobs].map(({ digest }) => digest);
  const lease = store.readOnly ? undefined : store.leases.acquire({ images: [image.id], digests });
  const registry = new RegistryClient(registryOptions(cli));
  const names = store.names.list().flatMap(({ name, imageId }) => (imageId === image.id ? [name] : []));
  const fetchBlob = (blob: Descriptor) => fetchBlobByNames({ store, registry }, blob, names, { signal: cli.signal });
  return {
    source: nodeSource(store, manifest.descriptor, { names, fetchBlob }),
    registry,
    async close() {
      lease?.release();
      await store.dropLayerBlobs(image.layers);
      await registry.close();
    },
  };
}
