import { gzipSync } from 'node:zlib';
import { LadingError } from '../../lib/errors.ts';
import { type TarEntry, writeTar } from '../../lib/tar-writer.ts';
import type { Descriptor } from '../../oci/descriptor.ts';
import { type Digest, digestOf } from '../../oci/digest.ts';
import { mediaTypes } from '../../oci/media-types.ts';
import { hostPlatform } from '../../oci/platform.ts';
import type { Reference } from '../../oci/reference.ts';
import type { RegistryClient } from '../../registry/index.ts';
import { type DemoArchitecture, demoExecutable } from './elf.ts';

export interface DemoImageOptions {
  /** Names the executable, which is in the root folder, and the line that it prints: `NAME VERSION`. */
  readonly name: string;
  readonly version: string;
  /** Default: that of this machine. */
  readonly architecture?: DemoArchitecture;
}

/** A whole image in memory. */
export interface DemoImage {
  readonly manifest: Uint8Array;
  readonly mediaType: string;
  /** Of the manifest. */
  readonly digest: Digest;
  /** Digest of the configuration. */
  readonly imageId: Digest;
  /** Configuration and layers. */
  readonly blobs: readonly { readonly descriptor: Descriptor; readonly bytes: Uint8Array }[];
}

const epoch = '1970-01-01T00:00:00Z';

/**
 * An image of two layers: a base that all demo images share, and the executable. Its digests depend on the options
 * alone: they are the same on every machine.
 * @throws LadingError `ERR_LADING_DEMO_ARCHITECTURE` when this machine is neither x86-64 nor arm64
 */
export function buildDemoImage({ name, version, architecture = hostArchitecture() }: DemoImageOptions): DemoImage {
  const text = `${name} ${version}`;
  const layers = [
    { createdBy: 'lading: the files that programs expect', ...layerOf(baseEntries) },
    {
      createdBy: `lading: ${text}`,
      ...layerOf([{ path: name, mode: 0o755, content: demoExecutable(architecture, text) }]),
    },
  ];
  const config = blobOf(mediaTypes.ociConfig, {
    created: epoch,
    architecture,
    os: 'linux',
    config: {
      Entrypoint: [`/${name}`],
      Env: ['PATH=/'],
      WorkingDir: '/',
      Labels: { 'org.opencontainers.image.title': name, 'org.opencontainers.image.version': version },
    },
    rootfs: { type: 'layers', diff_ids: layers.map(({ diffId }) => diffId) },
    history: layers.map(({ createdBy }) => ({ created: epoch, created_by: createdBy })),
  });
  const manifest = blobOf(mediaTypes.ociManifest, {
    schemaVersion: 2,
    mediaType: mediaTypes.ociManifest,
    config: config.descriptor,
    layers: layers.map(({ descriptor }) => descriptor),
  });
  return {
    manifest: manifest.bytes,
    mediaType: mediaTypes.ociManifest,
    digest: manifest.descriptor.digest,
    imageId: config.descriptor.digest,
    blobs: [config, ...layers.map(({ descriptor, bytes }) => ({ descriptor, bytes }))],
  };
}

/** Uploads what the repository lacks, then the manifest under the tag of `reference`. */
export async function pushDemoImage(
  registry: RegistryClient,
  reference: Reference,
  image: DemoImage,
  options: { signal?: AbortSignal } = {},
): Promise<Digest> {
  for (const { descriptor, bytes } of image.blobs) {
    await registry.pushBlob(reference, descriptor, () => bytes, options);
  }
  return registry.pushManifest(reference, image.manifest, image.mediaType, options);
}

const baseEntries: readonly TarEntry[] = [
  { path: 'dev', mode: 0o755 },
  { path: 'etc', mode: 0o755 },
  { path: 'etc/group', mode: 0o644, content: Buffer.from('root:x:0:\nnogroup:x:65534:\n') },
  {
    path: 'etc/passwd',
    mode: 0o644,
    content: Buffer.from('root:x:0:0:root:/:/sbin/nologin\nnobody:x:65534:65534:nobody:/:/sbin/nologin\n'),
  },
  { path: 'proc', mode: 0o755 },
  { path: 'sys', mode: 0o755 },
  { path: 'tmp', mode: 0o1777 },
];

function layerOf(entries: readonly TarEntry[]): { descriptor: Descriptor; bytes: Uint8Array; diffId: Digest } {
  const tar = writeTar(entries);
  const bytes = reproducibleGzip(tar);
  return { descriptor: descriptorOf(mediaTypes.ociLayerGzip, bytes), bytes, diffId: digestOf(tar) };
}

/** Stored, not compressed: what deflate makes of the same bytes differs between builds of zlib and between processors. */
function reproducibleGzip(bytes: Uint8Array): Uint8Array {
  const gzip = gzipSync(bytes, { level: 0 });
  gzip[9] = 255; // operating system: unknown
  return gzip;
}

function blobOf(mediaType: string, document: unknown): { descriptor: Descriptor; bytes: Uint8Array } {
  const bytes = Buffer.from(JSON.stringify(document));
  return { descriptor: descriptorOf(mediaType, bytes), bytes };
}

function descriptorOf(mediaType: string, bytes: Uint8Array): Descriptor {
  return { mediaType, digest: digestOf(bytes), size: bytes.length };
}

function hostArchitecture(): DemoArchitecture {
  const { architecture } = hostPlatform();
  if (architecture === 'amd64' || architecture === 'arm64') return architecture;
  throw new LadingError('ERR_LADING_DEMO_ARCHITECTURE', `cannot build a demo image for ${architecture}`, {
    hint: 'Lading writes their executables for amd64 and arm64 only. Pods with images of your own run here as everywhere.',
  });
}
