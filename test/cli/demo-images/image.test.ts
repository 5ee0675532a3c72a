import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { expect, onTestFinished, test } from 'vitest';
import { buildDemoImage, pushDemoImage } from '../../../src/cli/demo-images/index.ts';
import { type AccessRecord, startRegistry } from '../../../src/distribution/index.ts';
import { digestOf, parseImageConfig, parseManifest, parseReference } from '../../../src/oci/index.ts';
import { RegistryClient } from '../../../src/registry/index.ts';

const options = { name: 'img1', version: '1.0.0', architecture: 'amd64' } as const;

test('is a valid image whose documents fit together', () => {
  const image = buildDemoImage(options);
  const manifest = parseManifest(image.manifest, image.mediaType);
  if (manifest.kind !== 'manifest') throw new Error('not an image manifest');
  expect(digestOf(image.manifest)).toBe(image.digest);
  expect(image.imageId).toBe(manifest.config.digest);
  expect(image.blobs.map(({ descriptor }) => descriptor)).toEqual([manifest.config, ...manifest.layers]);
  for (const { descriptor, bytes } of image.blobs) {
    expect([bytes.length, digestOf(bytes)]).toEqual([descriptor.size, descriptor.digest]);
  }
  const [configBlob, ...layers] = image.blobs;
  const config = parseImageConfig(configBlob!.bytes);
  expect(config).toMatchObject({ os: 'linux', architecture: 'amd64', config: { Entrypoint: ['/img1'] } });
  expect(config.rootfs.diffIds).toEqual(layers.map(({ bytes }) => digestOf(gunzipSync(bytes))));
});

test('has the same digests everywhere and at any time', () => {
  expect(buildDemoImage(options).digest).toBe(
    'sha256:76c84bf4666e75e25f6cecb86530225b2acaebf775e154e2a36c008a49474e4f',
  );
});

test('versions share the base layer and differ in the other', () => {
  const [, base, program] = buildDemoImage(options).blobs;
  const [, nextBase, nextProgram] = buildDemoImage({ ...options, version: '1.0.1' }).blobs;
  expect(nextBase!.descriptor.digest).toBe(base!.descriptor.digest);
  expect(nextProgram!.descriptor.digest).not.toBe(program!.descriptor.digest);
});

test('tar reads the layers', () => {
  const folder = mkdtempSync(join(tmpdir(), 'lading-demo-image-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  const listings = buildDemoImage(options)
    .blobs.slice(1)
    .map(({ bytes }, index) => {
      const file = join(folder, `${index}.tar.gz`);
      writeFileSync(file, bytes);
      return execFileSync('tar', ['--utc', '-tvzf', file], { encoding: 'utf8' });
    });
  expect(listings[0]).toMatch(/^-rw-r--r-- root\/root +76 1970-01-01 00:00 etc\/passwd$/m);
  expect(listings[0]).toMatch(/^drwxrwxrwt root\/root +0 1970-01-01 00:00 tmp\/$/m);
  expect(listings[1]).toBe('-rwxr-xr-x root/root       288 1970-01-01 00:00 img1\n');
});

test('is pushed to a registry; another version uploads only what differs', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'lading-demo-image-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  const requests: AccessRecord[] = [];
  const server = await startRegistry({ root: folder, onRequest: (request) => requests.push(request) });
  onTestFinished(() => server.close());
  const registry = new RegistryClient();
  onTestFinished(() => registry.close());
  const reference = parseReference(`${server.address}/img1:latest`);
  const commits = () => requests.filter(({ method, status }) => method === 'PUT' && status === 201).length;

  const first = buildDemoImage(options);
  expect(await pushDemoImage(registry, reference, first)).toBe(first.digest);
  expect((await registry.resolve(reference)).descriptor).toMatchObject({
    digest: first.digest,
    mediaType: first.mediaType,
    size: first.manifest.length,
  });
  expect(commits()).toBe(4);

  const second = buildDemoImage({ ...options, version: '1.0.1' });
  await pushDemoImage(registry, reference, second);
  expect((await registry.resolve(reference)).descriptor.digest).toBe(second.digest);
  expect(commits()).toBe(4 + 3);
});
