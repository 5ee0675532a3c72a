import { closeSync, openSync, readdirSync, writeSync } from 'node:fs';
import path from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { expect, onTestFinished, test, vi } from 'vitest';
import { openStore } from '../../src/store/index.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { putImage } from './support/put-image.ts';

async function openReader(root: string) {
  const reader = await openStore(root, { readOnly: true });
  onTestFinished(() => reader.close());
  return reader;
}

test('a reader makes no file in the root', async () => {
  const root = await temporaryFolder();
  const store = await openStore(root);
  await putImage(store, 'a');
  store.close();
  const before = readdirSync(root);
  const reader = await openReader(root);
  expect(reader.images.list()).toHaveLength(1);
  expect(readdirSync(root)).toEqual(before);
});

test('a reader makes no file anywhere else either: a kill would leave it', async () => {
  const root = await temporaryFolder();
  const store = await openStore(root);
  await putImage(store, 'a');
  store.close();
  const before = readdirSync(root);
  vi.stubEnv('TMPDIR', path.join(root, 'not-there'));
  onTestFinished(() => {
    vi.unstubAllEnvs();
  });
  const reader = await openReader(root);
  expect(reader.images.list()).toHaveLength(1);
  expect(readdirSync(root)).toEqual(before);
  expect(() => reader.database.run('DELETE FROM images')).toThrow();
});

test('what is wrong with the file itself is found', async () => {
  const root = await temporaryFolder();
  const store = await openStore(root);
  await putImage(store, 'a');
  store.close();
  expect((await openReader(root)).database.faults()).toEqual([]);
  const file = openSync(path.join(root, 'lading.db'), 'r+');
  const freelistCountOffset = 36;
  writeSync(file, Buffer.from([0, 0, 0, 5]), 0, 4, freelistCountOffset);
  closeSync(file);
  const reader = await openReader(root);
  expect(reader.database.faults()).toEqual([expect.stringMatching(/freelist/i)]);
  expect(reader.images.list()).toHaveLength(1);
});

test('beside a writer it sees what the writer does', async () => {
  const root = await temporaryFolder();
  const store = await openStore(root);
  onTestFinished(() => store.close());
  const reader = await openReader(root);
  expect(reader.images.list()).toEqual([]);
  await putImage(store, 'a');
  expect(reader.images.list()).toHaveLength(1);
});

test('what somebody writes later a reader need not see, and can read on', async () => {
  const root = await temporaryFolder();
  const first = await openStore(root);
  await putImage(first, 'a');
  first.close();
  const reader = await openReader(root);
  const store = await openStore(root);
  onTestFinished(() => store.close());
  await putImage(store, 'b');
  expect(reader.images.list()).toHaveLength(1);
  expect((await openReader(root)).images.list()).toHaveLength(2);
});

test('what an older version of the program has written is read as it is', async () => {
  const root = await temporaryFolder();
  const store = await openStore(root);
  const image = await putImage(store, 'a');
  store.names.set('r/app:1', { target: image.manifest, imageId: image.id });
  store.close();
  const file = path.join(root, 'lading.db');
  const older = new DatabaseSync(file);
  older.exec(
    'DROP TABLE image_uses; DROP TABLE events; DROP TABLE starts; ALTER TABLE names DROP COLUMN pulled_by; PRAGMA user_version = 1',
  );
  older.close();
  const reader = await openReader(root);
  expect(reader.names.history('r/app:1')).toHaveLength(1);
  expect(reader.events.list()).toEqual([]);
  const untouched = new DatabaseSync(file, { readOnly: true });
  onTestFinished(() => untouched.close());
  expect(untouched.prepare('PRAGMA user_version').get()).toEqual({ user_version: 1 });
});
