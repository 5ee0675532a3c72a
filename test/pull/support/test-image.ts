/** Small images for tests, made without any code of the program that reads them. */
import { gzipSync } from 'node:zlib';
import {
  type Descriptor,
  type Digest,
  digestOf,
  hostPlatform,
  mediaTypes,
  type Platform,
} from '../../../src/oci/index.ts';
import type { DockerRegistry } from '../../support/docker-registry.ts';

export interface TestImage {
  readonly manifest: Descriptor;
  readonly config: Descriptor;
  readonly layers: readonly Descriptor[];
  readonly diffIds: readonly Digest[];
  /** Everything but the manifest. */
  readonly blobs: readonly Buffer[];
  readonly manifestBytes: Buffer;
}

export interface TestImageOptions {
  /** Uncompressed tars, bottom first. */
  readonly layers: readonly Buffer[];
  readonly platform?: Platform;
  /** What the configuration claims, if not the truth. */
  readonly diffIds?: readonly Digest[];
  readonly configMediaType?: string;
  readonly layerMediaType?: string;
  readonly compress?: (tar: Buffer) => Buffer;
}

export function testImage(options: TestImageOptions): TestImage {
  const { platform = hostPlatform(), compress = gzipSync } = options;
  const diffIds = options.diffIds ?? options.layers.map((tar) => digestOf(tar));
  const layerBlobs = options.layers.map((tar) => compress(tar));
  const configBytes = Buffer.from(
    JSON.stringify({ ...platform, config: { Cmd: ['/hello'] }, rootfs: { type: 'layers', diff_ids: diffIds } }),
  );
  const config = descriptorOf(configBytes, options.configMediaType ?? mediaTypes.ociConfig);
  const layers = layerBlobs.map((blob) => descriptorOf(blob, options.layerMediaType ?? mediaTypes.ociLayerGzip));
  const manifestBytes = Buffer.from(
    JSON.stringify({ schemaVersion: 2, mediaType: mediaTypes.ociManifest, config, layers }),
  );
  const manifest = descriptorOf(manifestBytes, mediaTypes.ociManifest);
  return { manifest, config, layers, diffIds, blobs: [configBytes, ...layerBlobs], manifestBytes };
}

export async function pushImage(
  registry: DockerRegistry,
  repository: string,
  tag: string,
  image: TestImage,
): Promise<void> {
  for (const blob of image.blobs) await registry.putBlob(repository, blob);
  await registry.putManifest(repository, tag, image.manifestBytes, mediaTypes.ociManifest);
}

/** Pushes the entries' own documents by digest first; the entries may carry a platform and annotations. */
export async function pushIndex(
  registry: DockerRegistry,
  repository: string,
  tag: string,
  entries: readonly Descriptor[],
): Promise<Descriptor> {
  const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests: entries }));
  await registry.putManifest(repository, tag, bytes, mediaTypes.ociIndex);
  return descriptorOf(bytes, mediaTypes.ociIndex);
}

export function descriptorOf(bytes: Uint8Array, mediaType: string): Descriptor {
  return { mediaType, digest: digestOf(bytes), size: bytes.byteLength };
}

/** A tar of regular files (0644) and, for names that end in a slash, directories (0755); `mode` is for all of them. */
export function tarOf(files: Readonly<Record<string, string | Buffer>>, options: { mode?: number } = {}): Buffer {
  const blocks = Object.entries(files).flatMap(([name, content]) => {
    const bytes = Buffer.from(content);
    const isFolder = name.endsWith('/');
    const padding = Buffer.alloc((512 - (bytes.byteLength % 512)) % 512);
    return [
      header(name, {
        size: bytes.byteLength,
        type: isFolder ? '5' : '0',
        mode: options.mode ?? (isFolder ? 0o755 : 0o644),
      }),
      bytes,
      padding,
    ];
  });
  return Buffer.concat([...blocks, Buffer.alloc(1024)]);
}

function header(name: string, entry: { size: number; type: string; mode: number }): Buffer {
  const block = Buffer.alloc(512);
  const octal = (value: number, at: number, length: number) =>
    block.write(`${value.toString(8).padStart(length - 1, '0')}\0`, at, 'latin1');
  block.write(name, 0, 100, 'utf8');
  octal(entry.mode, 100, 8);
  octal(0, 108, 8);
  octal(0, 116, 8);
  octal(entry.size, 124, 12);
  octal(1_700_000_000, 136, 12);
  block.write('        ', 148, 'latin1');
  block.write(entry.type, 156, 'latin1');
  block.write('ustar\0', 257, 'latin1');
  block.write('00', 263, 'latin1');
  octal(
    block.reduce((sum, byte) => sum + byte, 0),
    148,
    7,
  );
  block.write(' ', 155, 'latin1');
  return block;
}

/** Bytes that do not compress and differ for each seed. */
export function noise(size: number, seed: number): Buffer {
  const bytes = Buffer.alloc(size);
  let state = seed >>> 0;
  for (let index = 0; index < size; index += 1) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    bytes[index] = state >>> 24;
  }
  return bytes;
}
