import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { expect, test } from 'vitest';
import { digestOf, mediaTypes } from '../../src/oci/index.ts';
import { openLayoutTarget } from '../../src/transfer/layout-target.ts';
import type { OfferedBlob } from '../../src/transfer/places.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const bytes = Buffer.alloc(2_000_000, 'x');
const descriptor = { mediaType: mediaTypes.ociLayer, digest: digestOf(bytes), size: bytes.byteLength };

/** @returns a blob that comes in two pieces, and what became of it */
function offered() {
  const events: string[] = [];
  const open = async function* () {
    events.push('asked');
    try {
      yield bytes.subarray(0, 1_000_000);
      yield bytes.subarray(1_000_000);
      events.push('read');
    } finally {
      events.push('closed');
    }
  };
  const blob: OfferedBlob = { descriptor, open, openUnverified: open, free() {}, place: 'a test', repositories: [] };
  return { blob, events };
}

test('a blob is read to its end', async () => {
  const target = await openLayoutTarget(await temporaryFolder());
  const { blob, events } = offered();
  expect(await target.putBlob(blob, {})).toBe(true);
  expect(events).toEqual(['asked', 'read', 'closed']);
});

test('a blob for which there is no place is asked for and given up', async () => {
  const folder = await temporaryFolder();
  const target = await openLayoutTarget(folder);
  await writeFile(path.join(folder, 'ingest'), 'in the way');
  const { blob, events } = offered();
  await expect(target.putBlob(blob, {})).rejects.toMatchObject({ code: expect.stringMatching(/^E(NOTDIR|EXIST)$/) });
  await expect.poll(() => events).toEqual(['asked', 'closed']);
});
