import { expect, test } from 'vitest';
import { digestOf, mediaTypes } from '../../src/oci/index.ts';
import { errorCodes, pushImage, randomBlob, TestRegistry } from './support/registry.ts';

const registry = new TestRegistry();

test('DELETE of a tag: 202, the tag is gone at once, the manifest stays', async () => {
  const { digest } = await pushImage(registry, 'manage', { tag: 'removed' });
  await pushImage(registry, 'manage', { tag: 'kept' });
  expect((await registry.send('DELETE', '/v2/manage/manifests/removed')).status).toBe(202);
  expect((await registry.send('GET', '/v2/manage/manifests/removed')).status).toBe(404);
  expect((await registry.send('GET', `/v2/manage/manifests/${digest}`)).status).toBe(200);
  expect((await registry.send('GET', '/v2/manage/tags/list')).json.tags).toEqual(['kept']);
});

test('DELETE of a manifest: 202, it and every tag on it are gone at once', async () => {
  const { digest, manifest, layer } = await pushImage(registry, 'manage/all', { tag: 'one' });
  await registry.putManifest('manage/all', 'two', manifest, mediaTypes.ociManifest);
  const other = await pushImage(registry, 'manage/all', { tag: 'other' });
  expect((await registry.send('DELETE', `/v2/manage/all/manifests/${digest}`)).status).toBe(202);
  for (const reference of [digest, 'one', 'two']) {
    for (const method of ['GET', 'HEAD', 'DELETE']) {
      expect((await registry.send(method, `/v2/manage/all/manifests/${reference}`)).status).toBe(404);
    }
  }
  expect((await registry.send('GET', '/v2/manage/all/tags/list')).json.tags).toEqual(['other']);
  expect((await registry.send('GET', `/v2/manage/all/manifests/${other.digest}`)).status).toBe(200);
  expect((await registry.send('HEAD', `/v2/manage/all/blobs/${layer}`)).status).toBe(200);
});

test('the tag list of a repository whose last tag went: 200 and empty', async () => {
  const { digest } = await pushImage(registry, 'manage/emptied', { tag: 'last' });
  await registry.send('DELETE', `/v2/manage/emptied/manifests/${digest}`);
  const answer = await registry.send('GET', '/v2/manage/emptied/tags/list');
  expect([answer.status, answer.json.tags]).toEqual([200, []]);
});

test('DELETE of a blob: 202, it is gone at once here and stays elsewhere', async () => {
  const bytes = randomBlob();
  const digest = await registry.pushBlob('manage/here', bytes);
  await registry.pushBlob('manage/there', bytes);
  expect((await registry.send('DELETE', `/v2/manage/here/blobs/${digest}`)).status).toBe(202);
  expect((await registry.send('GET', `/v2/manage/here/blobs/${digest}`)).status).toBe(404);
  expect((await registry.send('GET', `/v2/manage/there/blobs/${digest}`)).status).toBe(200);
  await registry.pushBlob('manage/here', bytes);
  expect((await registry.send('GET', `/v2/manage/here/blobs/${digest}`)).body.equals(bytes)).toBe(true);
});

test('DELETE of what is not there: 404 with the code of its kind', async () => {
  await registry.pushBlob('manage', randomBlob());
  const missing = digestOf('missing');
  const codes: [string, string][] = [
    [`manifests/${missing}`, 'MANIFEST_UNKNOWN'],
    ['manifests/missing', 'MANIFEST_UNKNOWN'],
    [`blobs/${missing}`, 'BLOB_UNKNOWN'],
  ];
  for (const [target, code] of codes) {
    const answer = await registry.send('DELETE', `/v2/manage/${target}`);
    expect(answer.status).toBe(404);
    expect(errorCodes(answer)).toEqual([code]);
  }
  expect((await registry.send('DELETE', '/v2/manage/manifests/sha256:bad')).status).toBe(400);
});

test('a manifest that is pushed again after its deletion has only its new tag', async () => {
  const { digest, manifest } = await pushImage(registry, 'manage/again', { tag: 'old' });
  await registry.send('DELETE', `/v2/manage/again/manifests/${digest}`);
  await registry.putManifest('manage/again', 'new', manifest, mediaTypes.ociManifest);
  expect((await registry.send('GET', '/v2/manage/again/tags/list')).json.tags).toEqual(['new']);
});

test('pushing a manifest again keeps its tags', async () => {
  const { digest, manifest } = await pushImage(registry, 'manage/kept', { tag: 'one' });
  await registry.putManifest('manage/kept', digest, manifest, mediaTypes.ociManifest);
  await registry.putManifest('manage/kept', 'two', manifest, mediaTypes.ociManifest);
  expect((await registry.send('GET', '/v2/manage/kept/tags/list')).json.tags).toEqual(['one', 'two']);
});
