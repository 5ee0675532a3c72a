import { existsSync } from 'node:fs';
import { readdir, readFile, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { collectRegistryGarbage, type Registry, startRegistry } from '../../src/distribution/index.ts';
import { type Descriptor, type Digest, digestHex, digestOf, mediaTypes } from '../../src/oci/index.ts';
import {
  expectPullable,
  newClient,
  noise,
  pushImage,
  referenceAt,
  type TestImage,
  testImage,
} from '../registry/fixtures.ts';
import { programMissing, skopeo } from '../support/foreign-clients.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { jsonBytes } from './support/registry.ts';

const refName = 'org.opencontainers.image.ref.name';
const first = testImage(noise(3000));
const second = testImage(noise(4000));

async function newFolder(): Promise<string> {
  return path.join(await temporaryFolder(), 'images');
}

async function serve(layout: string): Promise<Registry> {
  const registry = await startRegistry({ layout });
  onTestFinished(() => registry.close());
  return registry;
}

/** What the layout lists: names with digests. */
async function listed(folder: string): Promise<Record<string, Digest>> {
  const { manifests } = JSON.parse(await readFile(path.join(folder, 'index.json'), 'utf8'));
  return Object.fromEntries(
    manifests.map(({ annotations, digest }: Descriptor) => [annotations?.[refName] ?? '', digest]),
  );
}

function fileOf(folder: string, digest: Digest): string {
  return path.join(folder, 'blobs', 'sha256', digestHex(digest));
}

async function push(registry: Registry, image: TestImage, name: string): Promise<void> {
  await pushImage(newClient().client, image, referenceAt(registry, name));
}

test('a layout is made, and has each image under its name with all its files', async () => {
  const folder = await newFolder();
  const registry = await serve(folder);
  await push(registry, first, 'team/app:1');
  await push(registry, second, 'team/app:2');
  await push(registry, first, 'images:alone');
  expect(await listed(folder)).toEqual({
    'team/app:1': first.descriptor.digest,
    'team/app:2': second.descriptor.digest,
    alone: first.descriptor.digest,
  });
  expect(JSON.parse(await readFile(path.join(folder, 'oci-layout'), 'utf8'))).toEqual({ imageLayoutVersion: '1.0.0' });
  for (const { manifest, descriptor, blobs } of [first, second]) {
    expect((await readFile(fileOf(folder, descriptor.digest))).equals(manifest)).toBe(true);
    for (const blob of blobs)
      expect((await readFile(fileOf(folder, blob.descriptor.digest))).equals(blob.bytes)).toBe(true);
  }
  await registry.close();
  const reading = await startRegistry({ layout: folder, access: 'read-only' });
  onTestFinished(() => reading.close());
  await expectPullable(newClient().client, first, referenceAt(reading, 'team/app:1'));
});

test.skipIf(programMissing('skopeo'))(
  'skopeo reads what was pushed, and the registry serves what skopeo wrote',
  async () => {
    const folder = await newFolder();
    const registry = await serve(folder);
    await push(registry, first, 'team/app:1');
    await registry.close();
    await skopeo('copy', `oci:${folder}:team/app:1`, `oci:${folder}:other/app:2`);
    const again = await serve(folder);
    await expectPullable(newClient().client, first, referenceAt(again, 'other/app:2'));
    await expectPullable(newClient().client, first, referenceAt(again, 'team/app:1'));
  },
);

test('tags that move or are deleted, manifests that are deleted, and what others have there', async () => {
  const folder = await newFolder();
  const registry = await serve(folder);
  const { client } = newClient();
  await push(registry, first, 'a:1');
  await push(registry, first, 'a:2');
  await push(registry, second, 'a:1');
  const foreign = { mediaType: 'application/x', digest: digestOf('x'), size: 1, annotations: { [refName]: 'kept' } };
  const index = JSON.parse(await readFile(path.join(folder, 'index.json'), 'utf8'));
  await writeFile(
    path.join(folder, 'index.json'),
    JSON.stringify({ ...index, manifests: [...index.manifests, foreign] }),
  );
  await push(registry, first, 'b:1');
  expect(await listed(folder)).toEqual({
    'a:1': second.descriptor.digest,
    'a:2': first.descriptor.digest,
    'b:1': first.descriptor.digest,
    kept: foreign.digest,
  });
  await client.deleteManifest(referenceAt(registry, 'a:1'));
  await client.deleteManifest(referenceAt(registry, `a@${first.descriptor.digest}`));
  expect(await listed(folder)).toEqual({ 'b:1': first.descriptor.digest, kept: foreign.digest });
});

test('what has no tag is listed by its digest, until an index or a tag has it', async () => {
  const folder = await newFolder();
  const registry = await serve(folder);
  const { client } = newClient();
  await push(registry, first, `app@${first.descriptor.digest}`);
  expect(await listed(folder)).toEqual({ [`app@${first.descriptor.digest}`]: first.descriptor.digest });
  const index = jsonBytes({ schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests: [first.descriptor] });
  await client.pushManifest(referenceAt(registry, 'app:all'), index, mediaTypes.ociIndex);
  expect(await listed(folder)).toEqual({ 'app:all': digestOf(index) });
  await registry.close();
  await rm(path.join(folder, 'registry.db'));
  const again = await serve(folder);
  await expectPullable(client, first, referenceAt(again, `app@${first.descriptor.digest}`));
});

test('what others changed in between counts: images that came, moved and went', async () => {
  const folder = await newFolder();
  const registry = await serve(folder);
  await push(registry, first, 'app:stays');
  await push(registry, first, 'app:moves');
  await push(registry, first, 'app:goes');
  await push(registry, second, 'app:other');
  await registry.close();
  const document = JSON.parse(await readFile(path.join(folder, 'index.json'), 'utf8'));
  const named = (name: string) => ({ ...second.descriptor, annotations: { [refName]: name } });
  const kept = document.manifests.filter(({ annotations }: Descriptor) => annotations![refName] === 'app:stays');
  const manifests = [...kept, named('app:moves'), named('r.test/app:came')];
  await writeFile(path.join(folder, 'index.json'), JSON.stringify({ ...document, manifests }));
  const again = await serve(folder);
  const { client } = newClient();
  expect(await client.listTags(referenceAt(again, 'app'))).toEqual(['moves', 'stays']);
  await expectPullable(client, second, referenceAt(again, 'app:moves'));
  await expectPullable(client, second, referenceAt(again, 'r.test/app:came'));
});

test('garbage goes from the list and from the files, and nothing that is listed', async () => {
  const folder = await newFolder();
  const registry = await serve(folder);
  await push(registry, first, 'app:1');
  await push(registry, second, `app@${second.descriptor.digest}`);
  const foreign = jsonBytes({ of: 'another tool' });
  await writeFile(fileOf(folder, digestOf(foreign)), foreign);
  const document = JSON.parse(await readFile(path.join(folder, 'index.json'), 'utf8'));
  const manifests = [
    ...document.manifests,
    { mediaType: 'application/x', digest: digestOf(foreign), size: foreign.length },
  ];
  await writeFile(path.join(folder, 'index.json'), JSON.stringify({ ...document, manifests }));
  const dry = await collectRegistryGarbage(folder, { graceMs: 0, dryRun: true });
  expect(await collectRegistryGarbage(folder, { graceMs: 0 })).toEqual(dry);
  expect(dry.manifests).toEqual([{ repository: 'app', digest: second.descriptor.digest }]);
  expect(dry.blobs).toEqual([second.blobs[1]!.descriptor.digest]);
  expect(await listed(folder)).toEqual({ 'app:1': first.descriptor.digest, '': digestOf(foreign) });
  const files = (await readdir(path.join(folder, 'blobs', 'sha256'))).sort();
  const needed = [first.descriptor, ...first.blobs.map(({ descriptor }) => descriptor)].map(({ digest }) => digest);
  expect(files).toEqual([...needed, digestOf(foreign)].map(digestHex).sort());
  await expectPullable(newClient().client, first, referenceAt(registry, 'app:1'));
});

test('a folder with other things is left alone, and one is served once', async () => {
  const other = await temporaryFolder();
  await writeFile(path.join(other, 'thesis.tex'), '');
  await expect(startRegistry({ layout: other })).rejects.toMatchObject({ code: 'ERR_LADING_DISTRIBUTION_LAYOUT' });
  expect(existsSync(path.join(other, 'registry.db'))).toBe(false);
  const folder = await newFolder();
  await serve(folder);
  await expect(startRegistry({ layout: folder })).rejects.toMatchObject({ code: 'ERR_LADING_DISTRIBUTION_IN_USE' });
});
