import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll } from 'vitest';
import { LayoutStorage } from '../../src/distribution/layout-storage.ts';
import { readManifestFacts, referrerOf } from '../../src/distribution/manifest-facts.ts';
import { OwnStorage } from '../../src/distribution/own-storage.ts';
import { digestHex, digestOf } from '../../src/oci/index.ts';
import { openStore } from '../../src/store/index.ts';
import { type ContentManifest, registryStorageSuite } from '../suites/registry-storage.ts';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'lading-storage-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

registryStorageSuite('the own folder', async ({ blobs, manifests }) => {
  const storage = new OwnStorage(path.join(folder, 'own'));
  const { metadata } = storage;
  for (const repository of new Set(manifests.map((manifest) => manifest.repository))) {
    for (const bytes of blobs) {
      const [digest, id] = [await storage.blobs.put(bytes), `${repository}-${bytes.byteLength}`];
      metadata.addUpload(id, { repository, algorithm: 'sha256', client: 'test', known: true });
      metadata.finishUpload(id, { repository, digest, size: bytes.byteLength });
    }
  }
  for (const { repository, tag, mediaType, bytes } of manifests) {
    const [digest, facts] = [digestOf(bytes), readManifestFacts(bytes, mediaType)];
    const referrer = referrerOf({ digest, size: bytes.byteLength }, facts);
    const manifest = { digest, mediaType, bytes, keeps: facts.keeps, referrer };
    metadata.putManifest(repository, manifest, { tags: tag === undefined ? [] : [tag], check: () => undefined });
  }
  return storage;
});

registryStorageSuite('an OCI layout', async ({ blobs, manifests }) => {
  const layout = path.join(folder, 'layout');
  await mkdir(path.join(layout, 'blobs', 'sha256'), { recursive: true });
  for (const bytes of [...blobs, ...manifests.map((manifest) => manifest.bytes)]) {
    await writeFile(path.join(layout, 'blobs', 'sha256', digestHex(digestOf(bytes))), bytes);
  }
  const entries = manifests.map((manifest) => ({
    ...descriptor(manifest),
    annotations: { 'org.opencontainers.image.ref.name': nameOf(manifest) },
  }));
  await writeFile(path.join(layout, 'index.json'), JSON.stringify({ schemaVersion: 2, manifests: entries }));
  return LayoutStorage.open(layout);
});

registryStorageSuite('the store of a node', async ({ blobs, manifests }) => {
  const root = path.join(folder, 'node');
  const store = await openStore(root);
  for (const bytes of [...blobs, ...manifests.map((manifest) => manifest.bytes)]) await store.blobs.put(bytes);
  for (const manifest of manifests) {
    store.names.set(nameOf(manifest), { target: descriptor(manifest), imageId: digestOf('an image') });
  }
  store.close();
  return LayoutStorage.open(root, { whenMissing: 'wait' });
});

function descriptor({ mediaType, bytes }: ContentManifest) {
  return { mediaType, digest: digestOf(bytes), size: bytes.byteLength };
}

function nameOf({ repository, tag, bytes }: ContentManifest): string {
  return `registry.test/${repository}${tag === undefined ? `@${digestOf(bytes)}` : `:${tag}`}`;
}
