import { randomBytes } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { type Digest, type DigestAlgorithm, digestOf, mediaTypes } from '../../src/oci/index.ts';
import { descriptorOf, jsonBytes, randomBlob, TestRegistry } from './support/registry.ts';

const registries = { own: new TestRegistry(), layout: new TestRegistry({}, 'layout') };
const repository = 'data-sets/repository';
const exampleType = 'application/vnd.example.content.v1';
const nonDistributable = 'application/vnd.oci.image.layer.nondistributable.v1.tar';

/** Blobs and manifests to push, children first; the last manifest is tagged. */
class DataSet {
  readonly algorithm: DigestAlgorithm;
  readonly blobs: Buffer[] = [];
  readonly manifests: { bytes: Buffer; mediaType: string }[] = [];
  readonly referrers: { subject: Digest; entry: object; artifactType: string }[] = [];

  constructor(algorithm: DigestAlgorithm = 'sha256') {
    this.algorithm = algorithm;
  }

  blob(mediaType: string, bytes: Buffer = randomBlob()) {
    this.blobs.push(bytes);
    return descriptorOf(mediaType, bytes, this.algorithm);
  }

  image(members: object = {}, { layerType = mediaTypes.ociLayerGzip as string, layers = 2 } = {}) {
    const config = this.blob(
      mediaTypes.ociConfig,
      jsonBytes({ architecture: 'amd64', os: 'linux', id: randomBytes(8) }),
    );
    return this.manifest(mediaTypes.ociManifest, {
      config,
      layers: Array.from({ length: layers }, () => this.blob(layerType)),
      ...members,
    });
  }

  artifact(members: object = {}, layers = [this.blob(exampleType)]) {
    const config = this.blob(mediaTypes.ociEmpty, Buffer.from('{}'));
    return this.manifest(mediaTypes.ociManifest, { artifactType: exampleType, config, layers, ...members });
  }

  index(manifests: readonly object[], members: object = {}) {
    return this.manifest(mediaTypes.ociIndex, { manifests, ...members });
  }

  manifest(mediaType: string, members: object) {
    const bytes = jsonBytes({ schemaVersion: 2, mediaType, ...members, annotations: this.#annotations(members) });
    this.manifests.push({ bytes, mediaType });
    return descriptorOf(mediaType, bytes, this.algorithm);
  }

  refersTo(subject: Digest, entry: { mediaType: string; digest: Digest; size: number }, artifactType: string) {
    const manifest = this.manifests.find(({ bytes }) => digestOf(bytes, this.algorithm) === entry.digest)!;
    const { annotations } = JSON.parse(manifest.bytes.toString());
    this.referrers.push({ subject, entry: { ...entry, annotations, artifactType }, artifactType });
    return this;
  }

  /** Makes every manifest unlike all others. */
  #annotations(members: object): object {
    return {
      'org.example.id': randomBytes(8).toString('hex'),
      ...('annotations' in members ? (members.annotations as object) : {}),
    };
  }
}

const dataSets: Record<string, () => DataSet> = {
  image: () => withSet((set) => set.image()),
  'uncompressed layers': () => withSet((set) => set.image({}, { layerType: mediaTypes.ociLayer })),
  'manifest of 3.9 MB': () =>
    withSet((set) => {
      const entries = Array.from({ length: 390 }, (_, index) => [`large-annotation-${index}`, 'A'.repeat(10_000)]);
      set.image({ annotations: Object.fromEntries(entries) });
    }),
  index: () => withSet((set) => set.index([set.image(), set.image()])),
  'nested index': () => withSet((set) => set.index([set.index([set.image()]), set.index([set.image(), set.image()])])),
  'empty index': () => withSet((set) => set.index([])),
  artifact: () => withSet((set) => set.artifact()),
  'artifact without layers': () =>
    withSet((set) => set.artifact({}, [set.blob(mediaTypes.ociEmpty, Buffer.from('{}'))])),
  'artifact index': () => withSet((set) => set.index([set.artifact(), set.artifact()], { artifactType: exampleType })),
  'artifacts with a subject': () =>
    withSet((set) => {
      const subject = set.image();
      const plain = set.image({ subject });
      const typed = set.artifact({ subject });
      set.refersTo(subject.digest, plain, mediaTypes.ociConfig).refersTo(subject.digest, typed, exampleType);
    }),
  'index with a subject': () =>
    withSet((set) => {
      const subject = set.index([set.image()]);
      set.refersTo(subject.digest, set.index([set.image()], { subject, artifactType: exampleType }), exampleType);
    }),
  'missing subject': () =>
    withSet((set) => {
      const subject = descriptorOf(mediaTypes.ociManifest, randomBlob());
      set.refersTo(subject.digest, set.artifact({ subject }), exampleType);
    }),
  'data fields': () =>
    withSet((set) => {
      const content = Buffer.from('{}');
      const config = { ...set.blob(mediaTypes.ociEmpty, content), data: content.toString('base64') };
      set.manifest(mediaTypes.ociManifest, { artifactType: exampleType, config, layers: [config] });
    }),
  'non-distributable layers that are not pushed': () =>
    withSet((set) => {
      const urls = ['https://example.com/layer'];
      const foreign = [
        nonDistributable,
        `${nonDistributable}+gzip`,
        'application/vnd.docker.image.rootfs.foreign.diff.tar.gzip',
      ];
      const layers = foreign.map((type) => ({ ...descriptorOf(type, randomBlob()), urls }));
      set.image({ layers: [...layers, set.blob(mediaTypes.ociLayerGzip)] });
    }),
  'unknown fields': () =>
    withSet((set) => set.index([{ ...set.image({ unknown: { a: [1] } }), other: true }], { more: null })),
  'no layers': () => withSet((set) => set.image({}, { layers: 0 })),
  'docker schema 2': () =>
    withSet((set) => {
      const config = set.blob(mediaTypes.dockerConfig);
      const image = set.manifest(mediaTypes.dockerManifest, { config, layers: [set.blob(mediaTypes.dockerLayerGzip)] });
      set.manifest(mediaTypes.dockerList, { manifests: [image] });
    }),
  'unknown media type': () =>
    withSet((set) => set.manifest('application/vnd.example.manifest.v7+json', { things: [] })),
  sha512: () => {
    const set = new DataSet('sha512');
    set.index([set.image(), set.image()]);
    return set;
  },
};

function withSet(fill: (set: DataSet) => void): DataSet {
  const set = new DataSet();
  fill(set);
  return set;
}

const cases = Object.keys(dataSets).flatMap((name) => [
  { name, storage: 'own' as const },
  { name, storage: 'layout' as const },
]);

describe.each(cases)('$name, storage: $storage', ({ name, storage }) => {
  const registry = registries[storage];
  const set = dataSets[name]!();
  const tag = name.replaceAll(' ', '-');
  const tagged = set.manifests.at(-1)!;
  const digests = set.manifests.map(({ bytes }) => digestOf(bytes, set.algorithm));
  const at = (reference: string) => `/v2/${repository}/manifests/${reference}`;

  test('push by digest and tag', async () => {
    for (const bytes of set.blobs) await registry.pushBlob(repository, bytes, set.algorithm);
    for (const [index, { bytes, mediaType }] of set.manifests.entries()) {
      const digest = digests[index]!;
      const isTagged = bytes === tagged.bytes;
      const references =
        isTagged && set.algorithm === 'sha256' ? [digest, tag] : [isTagged ? `${digest}?tag=${tag}` : digest];
      for (const reference of references) {
        const answer = await registry.putManifest(repository, reference, bytes, mediaType);
        expect(answer.status).toBe(201);
        expect(answer.headers['docker-content-digest']).toBe(digest);
        expect(answer.headers.location).toBe(at(digest));
        const { subject } = JSON.parse(bytes.toString());
        expect(answer.headers['oci-subject']).toBe(subject?.digest);
      }
    }
  });

  test('list, HEAD and GET', async () => {
    const { tags } = (await registry.send('GET', `/v2/${repository}/tags/list`)).json;
    expect(tags).toContain(tag);
    for (const [index, { bytes, mediaType }] of set.manifests.entries()) {
      const digest = digests[index]!;
      for (const reference of bytes === tagged.bytes ? [digest, tag] : [digest]) {
        for (const method of ['HEAD', 'GET']) {
          const answer = await registry.send(method, at(reference));
          expect(answer.status).toBe(200);
          expect(answer.headers).toMatchObject({
            'content-type': mediaType,
            'content-length': String(bytes.length),
            'docker-content-digest': digest,
          });
          expect(answer.body.equals(method === 'GET' ? bytes : Buffer.alloc(0))).toBe(true);
        }
      }
    }
    for (const bytes of set.blobs) {
      const answer = await registry.send('GET', `/v2/${repository}/blobs/${digestOf(bytes, set.algorithm)}`);
      expect(answer.body.equals(bytes)).toBe(true);
    }
  });

  test('referrers, all and by type', async () => {
    const byDigest = (a: object, b: object) => JSON.stringify(a).localeCompare(JSON.stringify(b));
    for (const { subject, artifactType } of set.referrers) {
      const target = `/v2/${repository}/referrers/${subject}`;
      const all = (await registry.send('GET', target)).json.manifests;
      expect(all.sort(byDigest)).toEqual(
        set.referrers
          .filter((other) => other.subject === subject)
          .map(({ entry }) => entry)
          .sort(byDigest),
      );
      const some = (await registry.send('GET', `${target}?artifactType=${encodeURIComponent(artifactType)}`)).json
        .manifests;
      expect(some).toEqual(
        set.referrers.filter((other) => other.artifactType === artifactType).map(({ entry }) => entry),
      );
    }
    expect((await registry.send('GET', `/v2/${repository}/referrers/${digestOf('x')}`)).json.manifests).toEqual([]);
  });

  test('delete tag, manifests and blobs: 404 at once', async () => {
    const remove = async (target: string) => {
      expect((await registry.send('DELETE', target)).status).toBe(202);
      expect((await registry.send('HEAD', target)).status).toBe(404);
    };
    await remove(at(tag));
    for (const digest of [...digests].reverse()) await remove(at(digest));
    for (const digest of new Set(set.blobs.map((bytes) => digestOf(bytes, set.algorithm)))) {
      await remove(`/v2/${repository}/blobs/${digest}`);
    }
    for (const { subject } of set.referrers) {
      expect((await registry.send('GET', `/v2/${repository}/referrers/${subject}`)).json.manifests).toEqual([]);
    }
  });
});
