import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PullRecords } from '../../src/agent/index.ts';
import type { ImagePullCredentials, PulledRecord } from '../../src/policy/index.ts';
import type { VectorCase } from './vector-table.ts';

/** Runs with a folder of its own for records, which is removed afterwards. */
export async function withRecords<T>(run: (records: PullRecords, directory: string) => Promise<T>): Promise<T> {
  const directory = await mkdtemp(join(tmpdir(), 'lading-vectors-'));
  try {
    const records = new PullRecords(directory);
    await records.open();
    return await run(records, directory);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

/** A record as the tables write it. */
export function recordOf(record: VectorCase['record']): PulledRecord {
  const { imageRef, lastUpdatedTime, credentialMapping = {} } = record;
  return { imageRef, lastUpdatedMs: Date.parse(lastUpdatedTime), credentialMapping };
}

/** Mapping by image reference. */
export async function mappings(
  records: PullRecords,
): Promise<Record<string, Readonly<Record<string, ImagePullCredentials>>>> {
  const all = await records.records();
  return Object.fromEntries(all.map(({ imageRef, credentialMapping }) => [imageRef, credentialMapping]));
}

/** Makes the record of an image unreadable. */
export async function corruptRecord(records: PullRecords, directory: string, imageRef: string): Promise<void> {
  await records.writeRecord({ imageRef, lastUpdatedMs: 0, credentialMapping: {} });
  const folder = join(directory, 'image_manager', 'pulled');
  const [name] = await readdir(folder);
  await writeFile(join(folder, name!), 'not a record');
}
