import { execFileSync } from 'node:child_process';
import { readFile, truncate, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { zstdCompressSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { type Digest, digestOf, mediaTypes } from '../../src/oci/index.ts';
import { imageIn, loadImage, openArchive } from '../../src/transfer/index.ts';
import { testNode } from '../pull/support/node.ts';
import { noise, tarOf, testImage } from '../pull/support/test-image.ts';
import { rootMissing } from '../support/root.ts';
import { type TarFields, tar } from '../support/tar-builder.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { blobName, compress, layoutEntries, nothing, visible, writeArchive } from './support.ts';

const image = testImage({ layers: [tarOf({ 'a/': '', 'a/one': noise(300_000, 1) }), tarOf({ 'a/two': 'two' })] });
const name = 'docker.io/library/app:1';
const entries = layoutEntries(image, name);

describe.skipIf(rootMissing)('an archive is read', () => {
  const plain = tar(...entries);
  test.each([
    ['as it is', plain],
    ['compressed with gzip', compress('gzip', plain)],
    ['compressed with zstd', compress('zstd', plain)],
    [
      'in several frames of zstd',
      Buffer.concat([zstdCompressSync(plain.subarray(0, 70_000)), zstdCompressSync(plain.subarray(70_000))]),
    ],
  ])('%s', async (_, bytes) => {
    const folder = await temporaryFolder();
    const file = path.join(folder, 'image');
    await writeFile(file, bytes);
    for (const from of [file, { stream: pieces(bytes), name: 'of the test' }]) {
      const { store, unpack } = await testNode();
      const archive = await openArchive({ from, spoolFolder: store.root });
      const loaded = await loadImage({ store, unpack }, imageIn(archive).source, name);
      await archive.close();
      expect(loaded).toEqual({ name, imageId: image.config.digest, digest: image.manifest.digest, warnings: [] });
      expect(await visible(store)).toMatchObject({ images: [image.config.digest], spools: [] });
      expect((await store.check()).findings).toEqual([]);
    }
  });

  test('with names that begin with ./ and folders, as tar -c . writes them', async () => {
    const file = await writeArchive(await temporaryFolder(), [
      { name: './', type: '5' },
      { name: './blobs/', type: '5' },
      ...entries.map((entry) => ({ ...entry, name: `./${entry.name}` })),
    ]);
    expect(await loaded(file)).toMatchObject({ digest: image.manifest.digest });
  });

  test('that is a folder: an OCI layout that is not packed', async () => {
    const folder = await temporaryFolder();
    execFileSync('tar', ['-C', folder, '-xf', await writeArchive(folder, entries)]);
    expect(await loaded(folder)).toMatchObject({ name, digest: image.manifest.digest });
    await expect(loaded(path.join(folder, 'blobs'))).rejects.toMatchObject({ code: 'ERR_LADING_ARCHIVE_INVALID' });
  });

  test('of docker save, with links between its layers and a layer that is compressed', async () => {
    const layers = [tarOf({ one: '1' }), tarOf({ two: '2' }), tarOf({ one: '1' })];
    const diffIds = layers.map((layer) => digestOf(layer));
    const config = JSON.stringify({
      architecture: 'amd64',
      os: 'linux',
      rootfs: { type: 'layers', diff_ids: diffIds },
    });
    const file = await writeArchive(await temporaryFolder(), [
      { name: 'c/layer.tar', type: '2', link: '../a/layer.tar' },
      { name: 'a/layer.tar', data: layers[0]! },
      { name: 'b/layer.tar', data: compress('gzip', layers[1]!) },
      { name: 'config.json', data: config },
      {
        name: 'manifest.json',
        data: JSON.stringify([
          { Config: 'config.json', RepoTags: ['app:1'], Layers: ['a/layer.tar', 'b/layer.tar', 'c/layer.tar'] },
        ]),
      },
    ]);
    expect(await loaded(file)).toMatchObject({ name, imageId: digestOf(config) });
  });
});

describe('nothing is kept of an archive', () => {
  const layer = blobName(image.layers[0]!.digest);
  const other = Buffer.concat([image.blobs[1]!.subarray(0, -1), Buffer.from('x')]);
  test.each<[string, readonly TarFields[], string]>([
    [
      'with a name above its folder',
      [...entries, { name: '../../etc/cron.d/x', data: 'x' }],
      'ERR_LADING_ARCHIVE_UNSAFE',
    ],
    ['with an absolute name', [{ name: '/etc/passwd', data: 'x' }, ...entries], 'ERR_LADING_ARCHIVE_UNSAFE'],
    [
      'with a link that leaves it',
      [...entries, { name: 'x', type: '2', link: '/etc/shadow' }],
      'ERR_LADING_ARCHIVE_UNSAFE',
    ],
    [
      'with a hard link that leaves it',
      [...entries, { name: 'x', type: '1', link: '../x' }],
      'ERR_LADING_ARCHIVE_UNSAFE',
    ],
    ['with another content', changed(layer, { data: other }), 'ERR_LADING_DIGEST_MISMATCH'],
    [
      'with a content that is too long',
      changed(layer, { data: Buffer.concat([other, other]) }),
      'ERR_LADING_ARCHIVE_INVALID',
    ],
    [
      'with another manifest',
      changed(blobName(image.manifest.digest), { data: Buffer.from(image.manifestBytes.map((byte) => byte ^ 1)) }),
      'ERR_LADING_DIGEST_MISMATCH',
    ],
    ['without a layer', entries.filter((entry) => entry.name !== layer), 'ERR_LADING_ARCHIVE_INCOMPLETE'],
    [
      'without its configuration',
      entries.filter((entry) => entry.name !== blobName(image.config.digest)),
      'ERR_LADING_ARCHIVE_INCOMPLETE',
    ],
    [
      'without its manifest',
      entries.filter((entry) => entry.name !== blobName(image.manifest.digest)),
      'ERR_LADING_ARCHIVE_INCOMPLETE',
    ],
    [
      'with a link in a circle',
      changed(layer, { data: '', type: '2', link: path.basename(layer) }),
      'ERR_LADING_ARCHIVE_INCOMPLETE',
    ],
    [
      'with an index that is no index',
      changed('index.json', { data: '{"manifests":[{"digest":"sha256:../../x"}]}' }),
      'ERR_LADING_ARCHIVE_INVALID',
    ],
    ['without an index', entries.slice(2), 'ERR_LADING_ARCHIVE_INVALID'],
    ['without a file', [], 'ERR_LADING_ARCHIVE_INVALID'],
    [
      'of another kind',
      [{ name: 'manifest.json', data: '[{"Config":"../x","Layers":[]}]' }],
      'ERR_LADING_ARCHIVE_INCOMPLETE',
    ],
  ])('%s', async (_, hostile, code) => {
    const file = await writeArchive(await temporaryFolder(), hostile);
    await expectNothing(file, code);
  });

  test('that is cut short, anywhere', async () => {
    const folder = await temporaryFolder();
    const whole = (await readFile(await writeArchive(folder, entries))).byteLength;
    for (const bytes of [1, 600, 2000, whole >> 1, whole - 5000]) {
      const file = await writeArchive(folder, entries, `cut-${bytes}.tar`);
      await truncate(file, bytes);
      await expectNothing(file, /ERR_LADING_ARCHIVE_(INVALID|INCOMPLETE)/);
    }
  });

  test('of docker save with a configuration that is cut short', async () => {
    const list = JSON.stringify([{ Config: 'config.json', RepoTags: ['app:1'], Layers: [] }]);
    const file = await writeArchive(await temporaryFolder(), [
      { name: 'config.json', data: '{"rootfs":{"diff_' },
      { name: 'manifest.json', data: list },
    ]);
    await expect(openArchive({ from: file, spoolFolder: '/nonexistent' })).rejects.toMatchObject({
      code: 'ERR_LADING_IMAGE_CONFIG_INVALID',
      message: expect.stringContaining(`archive ${file}, config.json: the image config cannot be used: it is not JSON`),
      hint: expect.stringContaining('write it again'),
    });
  });

  test.each([
    ['xz', [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0]],
    ['bzip2', [0x42, 0x5a, 0x68, 0x39]],
    ['lz4', [4, 0x22, 0x4d, 0x18]],
  ])('that is compressed with %s', async (program, start) => {
    const bytes = Buffer.concat([Buffer.from(start), noise(2000, 1)]);
    const spoolFolder = await temporaryFolder();
    const file = path.join(spoolFolder, 'image');
    await writeFile(file, bytes);
    for (const from of [file, { stream: pieces(bytes), name: 'of the test' }]) {
      await expect(openArchive({ from, spoolFolder })).rejects.toMatchObject({
        code: 'ERR_LADING_ARCHIVE_INVALID',
        message: expect.stringMatching(`cannot be used: it is compressed with ${program}$`),
        hint: expect.stringContaining(`${program} -d`),
      });
    }
  });

  test('that is no archive', async () => {
    const file = path.join(await temporaryFolder(), 'image.tar');
    await writeFile(file, noise(5000, 3));
    await expectNothing(file, 'ERR_LADING_ARCHIVE_INVALID');
    await writeFile(file, compress('gzip', tar(...entries)).subarray(0, 5000));
    await expectNothing(file, 'ERR_LADING_ARCHIVE_INVALID');
  });

  test.skipIf(rootMissing)('whose layers are not those of its configuration', async () => {
    const lying = testImage({ layers: [tarOf({ one: '1' })], diffIds: [digestOf('another')] });
    await expectNothing(await writeArchive(await temporaryFolder(), layoutEntries(lying, name)), /DIGEST_MISMATCH/);
  });

  test('that has a name with another digest', async () => {
    const file = await writeArchive(await temporaryFolder(), entries);
    await expectNothing(file, 'ERR_LADING_DIGEST_MISMATCH', `docker.io/library/app@${digestOf('another')}`);
  });
});

test('an image of several is chosen by its label or name', async () => {
  const second = testImage({ layers: [tarOf({ other: 'x' })] });
  const annotated = (digest: Digest, label: string) => ({
    mediaType: mediaTypes.ociManifest,
    digest,
    size: digest === image.manifest.digest ? image.manifest.size : second.manifest.size,
    annotations: { 'org.opencontainers.image.ref.name': label },
  });
  const index = {
    schemaVersion: 2,
    manifests: [annotated(image.manifest.digest, 'app:1'), annotated(second.manifest.digest, 'dev')],
  };
  const file = await writeArchive(await temporaryFolder(), [
    ...changed('index.json', { data: JSON.stringify(index) }),
    ...layoutEntries(second).slice(2),
  ]);
  const archive = await openArchive({ from: file, spoolFolder: '/nonexistent' });
  const digestOfLabel = async (label: string) => (await imageIn(archive, label).source.resolve({})).digest;
  expect(await digestOfLabel('dev')).toBe(second.manifest.digest);
  expect(await digestOfLabel('app:1')).toBe(image.manifest.digest);
  expect(await digestOfLabel('docker.io/library/app:1')).toBe(image.manifest.digest);
  const unknown = expect.objectContaining({ code: 'ERR_LADING_ARCHIVE_IMAGE_UNKNOWN', hint: 'It has: app:1, dev.' });
  expect(() => imageIn(archive)).toThrow(unknown);
  expect(() => imageIn(archive, 'prod')).toThrow(unknown);
  await archive.close();
});

function changed(entryName: string, change: Partial<TarFields>): TarFields[] {
  return entries.map((entry) => (entry.name === entryName ? { ...entry, ...change } : entry));
}

async function loaded(file: string) {
  const { store, unpack } = await testNode();
  const archive = await openArchive({ from: file, spoolFolder: store.root });
  try {
    return await loadImage({ store, unpack }, imageIn(archive).source, name);
  } finally {
    await archive.close();
  }
}

async function expectNothing(file: string, code: string | RegExp, as = name): Promise<void> {
  const { store, unpack } = await testNode();
  const attempt = async () => {
    const archive = await openArchive({ from: file, spoolFolder: store.root });
    try {
      await loadImage({ store, unpack }, imageIn(archive).source, as);
    } finally {
      await archive.close();
    }
  };
  await expect(attempt()).rejects.toMatchObject({
    code: typeof code === 'string' ? code : expect.stringMatching(code),
  });
  expect(await visible(store)).toEqual(nothing);
  await store.collectGarbage();
  for await (const { digest } of store.blobs.list()) expect(digest).toBeUndefined();
}

async function* pieces(bytes: Uint8Array): AsyncIterable<Uint8Array> {
  for (let start = 0; start < bytes.byteLength; start += 10_007) yield bytes.subarray(start, start + 10_007);
}
