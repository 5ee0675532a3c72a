import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { sizeOf } from './disk.ts';
import type { StoreParts } from './store-parts.ts';

export interface Usage {
  readonly count: number;
  readonly bytes: number;
}

export interface DiskUsage {
  /** Compressed layers, configurations, manifests. */
  readonly blobs: Usage;
  /** Unpacked layers: bytes of their files. */
  readonly layers: Usage & { readonly inodes: number };
  /** Unfinished downloads. */
  readonly ingests: Usage;
  /** Bytes of the database with its log. */
  readonly databaseBytes: number;
  readonly totalBytes: number;
  readonly totalInodes: number;
}

/** Bytes as their owners count them, not disk blocks; adds up what is recorded instead of walking over layers. */
export async function diskUsage({ root, blobs, layers }: StoreParts): Promise<DiskUsage> {
  const blobSizes: number[] = [];
  for await (const { size } of blobs.list()) blobSizes.push(size);
  const ingestSizes: number[] = [];
  for (const key of await readdir(join(root, 'ingest')).catch(() => [])) {
    const path = join(root, 'ingest', key);
    const size = sizeOf(path) ?? sizeOf(join(path, 'data'));
    if (size !== undefined) ingestSizes.push(size);
  }
  const unpacked = layers.list();
  const databaseBytes = await sumOfSizes(
    ['lading.db', 'lading.db-wal', 'lading.db-shm'].map((name) => join(root, name)),
  );
  const layerBytes = sum(unpacked.map(({ bytes }) => bytes));
  const inodes = sum(unpacked.map((layer) => layer.inodes));
  return {
    blobs: { count: blobSizes.length, bytes: sum(blobSizes) },
    layers: { count: unpacked.length, bytes: layerBytes, inodes },
    ingests: { count: ingestSizes.length, bytes: sum(ingestSizes) },
    databaseBytes,
    totalBytes: sum(blobSizes) + layerBytes + sum(ingestSizes) + databaseBytes,
    totalInodes: blobSizes.length + ingestSizes.length + inodes,
  };
}

async function sumOfSizes(paths: string[]): Promise<number> {
  const sizes = await Promise.all(
    paths.map((path) =>
      stat(path).then(
        ({ size }) => size,
        () => 0,
      ),
    ),
  );
  return sum(sizes);
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
