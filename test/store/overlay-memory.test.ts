import { existsSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { expect, test } from 'vitest';
import { digestOf } from '../../src/oci/digest.ts';
import { lockFolder } from '../../src/store/folder-lock.ts';
import { openStore } from '../../src/store/index.ts';
import { rootMissing } from '../support/root.ts';
import { publishLayer, testStore } from './support/test-store.ts';

test('how layers are stacked is found out once and then remembered in the store', async () => {
  const store = await testStore();
  const support = await store.overlay();
  expect(['overlay', 'copy']).toContain(support.mode);
  expect(existsSync(path.join(store.root, 'probe'))).toBe(false);
  const marked = JSON.stringify([
    JSON.parse(store.database.setting('overlay')!)[0],
    { mode: 'copy', reason: 'remembered' },
  ]);
  store.database.transaction(() => store.database.setSetting('overlay', marked));
  const again = await testStore({ root: store.root });
  expect(await again.overlay()).toEqual({ mode: 'copy', reason: 'remembered' });
  const reader = await testStore({ root: store.root, readOnly: true });
  expect(await reader.overlay()).toEqual({ mode: 'copy', reason: 'remembered' });
});

test('who waits for the probe of another process takes its answer', async () => {
  const store = await testStore();
  const prober = await lockFolder(path.join(store.root, 'probe'));
  const support = store.overlay();
  const other = await testStore({ root: store.root, overlay: { mode: 'copy', reason: 'found by another process' } });
  await other.overlay();
  await prober?.release();
  expect(await support).toEqual({ mode: 'copy', reason: 'found by another process' });
  expect(existsSync(path.join(store.root, 'probe'))).toBe(false);
});

test('another kernel or user is another answer; layers in another form are refused', async () => {
  const store = await testStore();
  await store.overlay();
  store.database.transaction(() => {
    store.database.setSetting('overlay', JSON.stringify(['somebody else', { mode: 'copy', reason: 'other' }]));
    store.database.setSetting('form', 'another form');
  });
  const empty = await testStore({ root: store.root });
  expect(await empty.overlay()).not.toEqual({ mode: 'copy', reason: 'other' });

  await publishLayer(store, digestOf('layer'));
  store.database.transaction(() => {
    store.database.setSetting('overlay', JSON.stringify(['somebody else', { mode: 'copy', reason: 'other' }]));
    store.database.setSetting('form', 'another form');
  });
  const full = await testStore({ root: store.root });
  await expect(full.overlay()).rejects.toMatchObject({
    code: 'ERR_LADING_STORE_FORM',
    message: expect.stringContaining('unpacked for another form'),
  });
});

test.skipIf(rootMissing)('what a killed probe left is removed by the next one', async () => {
  const store = await testStore();
  const leftover = path.join(store.root, 'probe', '.overlay-probe-killed');
  await mkdir(path.join(leftover, 'merged'), { recursive: true });
  await store.overlay();
  expect(existsSync(leftover)).toBe(false);
});

test('a store that does not exist says copy, and is not made', async () => {
  const store = await openStore('/nonexistent/lading', { readOnly: true });
  expect((await store.overlay()).mode).toBe('copy');
  store.close();
});
