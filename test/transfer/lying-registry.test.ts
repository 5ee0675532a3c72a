import { readdir, readFile } from 'node:fs/promises';
import type { ServerResponse } from 'node:http';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { BlobStore } from '../../src/store/index.ts';
import { copyImage, openTarget, registrySource } from '../../src/transfer/index.ts';
import { failureOf, newClient, newServer, noise, referenceAt, testImage } from '../registry/fixtures.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const announced = (response: ServerResponse, bytes: Buffer) => {
  response.writeHead(200, { 'content-length': bytes.length }).end(bytes);
};
const chunked = (response: ServerResponse, bytes: Buffer) => {
  response.writeHead(200).write(bytes);
  response.end();
};

const lies = [
  ['other bytes', announced, (bytes: Buffer) => Buffer.alloc(bytes.length, 1), 'ERR_LADING_DIGEST_MISMATCH'],
  ['a byte more', announced, (bytes: Buffer) => Buffer.concat([bytes, bytes.subarray(0, 1)]), wrongInRegistry()],
  ['a byte less', announced, (bytes: Buffer) => bytes.subarray(1), wrongInRegistry()],
  ['a byte more, chunked', chunked, (bytes: Buffer) => Buffer.concat([bytes, Buffer.alloc(1)]), wrongInRegistry()],
  ['a byte less, chunked', chunked, (bytes: Buffer) => bytes.subarray(1), 'ERR_LADING_REGISTRY_TRUNCATED'],
] as const;

function wrongInRegistry() {
  return 'ERR_LADING_REGISTRY_DIGEST_MISMATCH';
}

// Small blobs are gathered in memory, large ones on the disk.
describe.each([
  ['small', 1000],
  ['large', 3 * 1024 * 1024],
])('of a %s layer', (_, size) => {
  test.each(lies)('a registry that sends %s is told apart, and nothing of it is kept', async (_, send, lie, code) => {
    const image = testImage(noise(size));
    const layer = image.blobs[1]!;
    const server = await newServer(({ path: asked }, response) => {
      if (asked.endsWith(layer.descriptor.digest)) return send(response, lie(layer.bytes));
      const other = image.blobs.find(({ descriptor }) => asked.endsWith(descriptor.digest));
      const { mediaType } = image.descriptor;
      const headers = { 'docker-content-digest': image.descriptor.digest, 'content-type': mediaType };
      const bytes = other ? other.bytes : image.manifest;
      response.writeHead(200, { 'content-length': bytes.length, ...(other ? {} : headers) }).end(bytes);
    });
    const folder = path.join(await temporaryFolder(), 'layout');
    const reference = referenceAt(server);
    const location = { kind: 'oci', path: folder, label: 'x' } as const;
    const { client } = newClient();
    const { target, close } = await openTarget(location, client);
    const error = await failureOf(copyImage(registrySource(client, reference), target));
    await close();
    expect(error.code).toBe(code);
    expect(error.message).toContain(server.address);
    expect(await readdir(folder)).toEqual(['blobs']);
    const store = new BlobStore(folder);
    for await (const { digest } of store.list()) {
      expect(digest).not.toBe(layer.descriptor.digest);
      expect(await store.damage(digest)).toBeUndefined();
    }
  });
});

test('the length that a HEAD says does not get into a layout', async () => {
  const image = testImage();
  const server = await newServer(({ method, path: asked }, response) => {
    const blob = image.blobs.find(({ descriptor }) => asked.endsWith(descriptor.digest));
    if (blob) return announced(response, blob.bytes);
    const { mediaType, digest } = image.descriptor;
    response.writeHead(200, {
      'content-type': mediaType,
      'docker-content-digest': digest,
      'content-length': method === 'HEAD' ? 5 : image.manifest.length,
    });
    response.end(method === 'HEAD' ? undefined : image.manifest);
  });
  const folder = path.join(await temporaryFolder(), 'layout');
  const { client } = newClient();
  const opened = await openTarget({ kind: 'oci', path: folder, label: 'x' }, client);
  const { labels } = opened;
  const { descriptor } = await copyImage(registrySource(client, referenceAt(server)), opened.target, { labels });
  await opened.commit();
  await opened.close();
  expect(descriptor).toEqual(image.descriptor);
  const { manifests } = JSON.parse(await readFile(path.join(folder, 'index.json'), 'utf8'));
  expect(manifests).toMatchObject([image.descriptor]);
});
