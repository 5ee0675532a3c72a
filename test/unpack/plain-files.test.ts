import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { LayerRecord, readLayerRecord } from '../../src/unpack/layer-record.ts';
import { PlainFiles } from '../../src/unpack/plain-files.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const attributes = { mode: 0o644, uid: 1, gid: 2, mtime: { sec: 3, nsec: 4 } };

async function newFiles() {
  const path = join(await temporaryFolder(), 'entries');
  const record = new LayerRecord(path);
  onTestFinished(() => record.close());
  return { path, record, files: new PlainFiles(record) };
}

/** Bytes that are no UTF-8, and one that JSON escapes. */
const pathOf = (index: number) => `some/folder-${index % 50}/\xff"file-${index}`;

test('finds each of many files, and none that is not there', async () => {
  const { files } = await newFiles();
  for (let index = 0; index < 5000; index += 1) files.add(pathOf(index), attributes, { size: index, content: 'c' });
  for (let index = 0; index < 5000; index += 7) {
    expect(files.find(pathOf(index))).toMatchObject({ path: pathOf(index), size: index, mtime: '3000000004' });
  }
  expect(files.find(pathOf(5000))).toBeUndefined();
  expect(files.contentBytes).toBe((4999 * 5000) / 2);
});

test('what is removed is gone, may come again, and its last state is what the record says', async () => {
  const { path, record, files } = await newFiles();
  for (let index = 0; index < 3000; index += 1) files.add(pathOf(index), attributes, { size: 1, content: '' });
  for (let index = 0; index < 3000; index += 2) files.remove(pathOf(index));
  files.remove('never/there');
  files.add(pathOf(4), attributes, { size: 77, content: 'new' });
  expect(files.find(pathOf(2))).toBeUndefined();
  expect(files.find(pathOf(3))).toMatchObject({ size: 1 });
  expect(files.find(pathOf(4))).toMatchObject({ size: 77, content: 'new' });
  expect(files.contentBytes).toBe(1500 + 77);
  record.flush();
  const records = readLayerRecord(path);
  expect(records.size).toBe(1501);
  expect(records.get(pathOf(4))).toMatchObject({ size: 77, uid: 1, gid: 2, mode: 0o644 });
  expect(readFileSync(path, 'utf8').split('\n').filter(Boolean)).toHaveLength(3000 + 1500 + 1);
});

test('a line as long as lines can be is written and read whole', async () => {
  const { path, record } = await newFiles();
  const longest = '\u0001'.repeat(4095);
  record.add('before', 'file', attributes, { size: 0, content: '' });
  const offset = record.add(longest, 'symlink', attributes, { size: 0, content: longest });
  expect(record.read(offset)).toMatchObject({ path: longest, content: longest });
  const xattrs = Object.fromEntries(
    Array.from({ length: 2000 }, (_, index) => [`user.${index}.${'\xff'.repeat(240)}`, '0']),
  );
  const next = record.add('many', 'file', attributes, { size: 0, content: '', xattrs });
  record.add('after', 'file', attributes, { size: 0, content: '' });
  expect(record.read(next)).toMatchObject({ path: 'many', xattrs });
  expect([...readLayerRecord(path).keys()]).toEqual(['before', longest, 'many', 'after']);
  expect(readLayerRecord(path).get(longest)).toMatchObject({ type: 'symlink', xattrs: {} });
});
