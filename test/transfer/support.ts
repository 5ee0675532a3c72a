import { spawnSync } from 'node:child_process';
import { readdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { type Digest, digestHex } from '../../src/oci/index.ts';
import type { Store } from '../../src/store/index.ts';
import type { TestImage } from '../pull/support/test-image.ts';
import { type TarFields, tar } from '../support/tar-builder.ts';

/** The entries of an OCI layout archive with one image, to be changed by tests that make it hostile. */
export function layoutEntries(image: TestImage, name?: string): TarFields[] {
  const annotations = name === undefined ? {} : { annotations: { 'org.opencontainers.image.ref.name': name } };
  const digests = [image.config.digest, ...image.layers.map(({ digest }) => digest)];
  return [
    { name: 'oci-layout', data: JSON.stringify({ imageLayoutVersion: '1.0.0' }) },
    {
      name: 'index.json',
      data: JSON.stringify({ schemaVersion: 2, manifests: [{ ...image.manifest, ...annotations }] }),
    },
    { name: blobName(image.manifest.digest), data: image.manifestBytes },
    ...digests.map((digest, index) => ({ name: blobName(digest), data: image.blobs[index]! })),
  ];
}

export function blobName(digest: Digest): string {
  return `blobs/sha256/${digestHex(digest)}`;
}

export async function writeArchive(folder: string, entries: readonly TarFields[], name = 'image.tar'): Promise<string> {
  const file = path.join(folder, name);
  await writeFile(file, tar(...entries));
  return file;
}

/** What a user could see of an image. */
export async function visible(store: Store): Promise<{ names: string[]; images: string[]; spools: string[] }> {
  const files = await readdir(store.root);
  return {
    names: store.names.list().map(({ name }) => name),
    images: store.images.list().map(({ id }) => id),
    spools: files.filter((file) => file.startsWith('.lading-')),
  };
}

export const nothing = { names: [], images: [], spools: [] };

export function compress(program: 'gzip' | 'zstd', bytes: Uint8Array): Buffer {
  return spawnSync(program, ['-c'], { input: bytes, maxBuffer: 1 << 28 }).stdout;
}
