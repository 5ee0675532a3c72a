import { beforeAll, describe, expect, test } from 'vitest';
import type { Storage } from '../../src/distribution/storage.ts';
import { type Digest, digestOf, mediaTypes } from '../../src/oci/index.ts';

/** What a storage is filled with before the tests. */
export interface StorageContent {
  readonly blobs: readonly Buffer[];
  readonly manifests: readonly ContentManifest[];
}

export interface ContentManifest {
  readonly repository: string;
  /** Undefined for what is known by its digest only. */
  readonly tag: string | undefined;
  readonly mediaType: string;
  readonly bytes: Buffer;
}

const config = json({ architecture: 'amd64', os: 'linux', rootfs: { type: 'layers', diff_ids: [] } });
const layer = Buffer.alloc(700_000, 'layer of many bytes ');
const [first, second, third] = ['first', 'second', 'third'].map((name) =>
  json({
    schemaVersion: 2,
    mediaType: mediaTypes.ociManifest,
    config: describeBytes(mediaTypes.ociConfig, config),
    layers: [describeBytes(mediaTypes.ociLayer, layer)],
    annotations: { name },
  }),
) as [Buffer, Buffer, Buffer];
const index = json({
  schemaVersion: 2,
  mediaType: mediaTypes.ociIndex,
  manifests: [describeBytes(mediaTypes.ociManifest, third)],
});
const referrers = ['application/x-signature', 'application/x-list', 'application/x-signature'].map((artifactType, n) =>
  json({
    schemaVersion: 2,
    mediaType: mediaTypes.ociIndex,
    artifactType,
    manifests: [],
    subject: describeBytes(mediaTypes.ociManifest, first),
    annotations: { number: String(n) },
  }),
);
const app = 'team/app';
const tool = 'team/tool';
const everything = { last: '', limit: 100 };
const absent = digestOf('nothing has this content');

/**
 * What every storage of the registry must do.
 * @param open makes a storage that has the content; it is closed afterwards
 */
export function registryStorageSuite(name: string, open: (content: StorageContent) => Promise<Storage>): void {
  describe(name, () => {
    let storage: Storage;
    beforeAll(async () => {
      const image = (repository: string, tag: string | undefined, bytes: Buffer) => {
        return { repository, tag, mediaType: mediaTypes.ociManifest, bytes };
      };
      const list = (tag: string | undefined, bytes: Buffer) => {
        return { repository: app, tag, mediaType: mediaTypes.ociIndex, bytes };
      };
      storage = await open({
        blobs: [config, layer],
        manifests: [
          image(app, '2', second),
          image(app, '1', first),
          image(app, '10', first),
          image(app, undefined, third),
          list('latest', index),
          image(tool, 'v1', second),
          ...referrers.map((bytes) => list(undefined, bytes)),
        ],
      });
      return () => storage.close();
    });

    test('repositories, in pages', async () => {
      expect(await storage.repositories(everything)).toEqual([app, tool]);
      expect(await storage.repositories({ last: '', limit: 1 })).toEqual([app]);
      expect(await storage.repositories({ last: app, limit: 1 })).toEqual([tool]);
      expect(await storage.repositories({ last: 'team/b', limit: 5 })).toEqual([tool]);
      expect(await storage.repositories({ last: tool, limit: 5 })).toEqual([]);
    });

    test('tags in bytewise order, in pages', async () => {
      expect(await storage.tags(app, everything)).toEqual(['1', '10', '2', 'latest']);
      expect(await storage.tags(app, { last: '1', limit: 2 })).toEqual(['10', '2']);
      expect(await storage.tags(app, { last: '11', limit: 9 })).toEqual(['2', 'latest']);
      expect(await storage.tags(app, { last: '', limit: 0 })).toEqual([]);
      expect(await storage.tags('team/other', everything)).toBeUndefined();
    });

    test('manifests by tag, as they were stored', async () => {
      const expected: [string, string, Buffer, string][] = [
        [app, '1', first, mediaTypes.ociManifest],
        [app, '10', first, mediaTypes.ociManifest],
        [app, 'latest', index, mediaTypes.ociIndex],
        [tool, 'v1', second, mediaTypes.ociManifest],
      ];
      for (const [repository, tag, bytes, mediaType] of expected) {
        const found = await storage.manifestByTag(repository, tag);
        expect(found).toMatchObject({ digest: digestOf(bytes), mediaType, size: bytes.byteLength });
        expect(bytes.equals(await storage.manifestBytes(repository, found!.digest))).toBe(true);
      }
    });

    test('manifests by digest, those without a tag too', async () => {
      for (const bytes of [first, second, third, index, ...referrers]) {
        const digest = digestOf(bytes);
        expect(await storage.manifestByDigest(app, digest)).toMatchObject({ digest, size: bytes.byteLength });
        expect(bytes.equals(await storage.manifestBytes(app, digest))).toBe(true);
      }
    });

    test('what is not there is undefined', async () => {
      expect(await storage.manifestByTag(app, 'v1')).toBeUndefined();
      expect(await storage.manifestByTag('team/other', '1')).toBeUndefined();
      expect(await storage.manifestByDigest(app, absent)).toBeUndefined();
      expect(await storage.manifestByDigest(app, digestOf(layer))).toBeUndefined();
      expect(await storage.manifestByDigest('team/other', digestOf(first))).toBeUndefined();
      expect(await storage.blob(app, absent)).toBeUndefined();
      expect(await storage.blob('team/other', digestOf(layer))).toBeUndefined();
    });

    test('blobs, whole and in parts', async () => {
      for (const bytes of [config, layer]) {
        const blob = await storage.blob(app, digestOf(bytes));
        expect(blob?.size).toBe(bytes.byteLength);
        const file = await blob!.open();
        const read = Buffer.alloc(bytes.byteLength);
        for (let at = 0; at < read.byteLength; ) at += (await file.read(read, at, read.byteLength - at, at)).bytesRead;
        expect(read.equals(bytes)).toBe(true);
        const { bytesRead } = await file.read(read, 0, 7, 5);
        expect(read.subarray(0, bytesRead).equals(bytes.subarray(5, 12))).toBe(true);
        await file.close();
      }
    });

    test('referrers of a subject, by type, in pages', async () => {
      const digests = referrers.map((bytes) => digestOf(bytes)).sort();
      const subject = digestOf(first);
      const list = async (filter: { last?: string; artifactType?: string }, of: Digest = subject) =>
        [...(await storage.referrers(app, of, { last: '', ...filter }))].map(({ digest }) => digest);
      expect(await list({})).toEqual(digests);
      expect(await list({ last: digests[0]! })).toEqual(digests.slice(1));
      expect(await list({ artifactType: 'application/x-list' })).toEqual([digestOf(referrers[1]!)]);
      expect(await list({ artifactType: 'application/x-none' })).toEqual([]);
      expect(await list({}, digestOf(second))).toEqual([]);
      expect(await list({}, absent)).toEqual([]);
      expect([...(await storage.referrers('team/other', subject, { last: '' }))]).toEqual([]);
      for (const { digest, descriptor } of await storage.referrers(app, subject, { last: '' })) {
        expect(JSON.parse(descriptor)).toEqual({
          mediaType: mediaTypes.ociIndex,
          digest,
          size: expect.any(Number),
          artifactType: expect.stringMatching(/^application\/x-/),
          annotations: { number: expect.any(String) },
        });
      }
    });
  });
}

function json(value: unknown): Buffer {
  return Buffer.from(JSON.stringify(value));
}

function describeBytes(mediaType: string, bytes: Buffer) {
  return { mediaType, digest: digestOf(bytes), size: bytes.byteLength };
}
