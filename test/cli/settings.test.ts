import { resolve } from 'node:path';
import { expect, test } from 'vitest';
import { resolveSettings } from '../../src/cli/settings.ts';

test('the flag wins over the environment, that over the default', () => {
  const env = { LADING_ROOT: '/from/environment', HOME: '/home/u' };
  expect(resolveSettings({ root: '/from/flag', env, uid: 0 }).root).toBe('/from/flag');
  expect(resolveSettings({ env, uid: 0 }).root).toBe('/from/environment');
  expect(resolveSettings({ root: '', env: { LADING_ROOT: '' }, uid: 0 }).root).toBe('/var/lib/lading');
});

test('users have their node in their data directory', () => {
  expect(resolveSettings({ env: { HOME: '/home/u' }, uid: 1000 }).root).toBe('/home/u/.local/share/lading');
  expect(resolveSettings({ env: { HOME: '/home/u', XDG_DATA_HOME: '/data' }, uid: 1000 }).root).toBe('/data/lading');
  expect(resolveSettings({ env: { HOME: '/home/u', XDG_DATA_HOME: 'data' }, uid: undefined }).root).toBe(
    '/home/u/.local/share/lading',
  );
});

test('the root is absolute', () => {
  expect(resolveSettings({ root: 'node', env: {}, uid: 0 }).root).toBe(resolve('node'));
});
