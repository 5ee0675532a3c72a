import { beforeAll, describe, expect, test } from 'vitest';
import { digestOf, mediaTypes } from '../../src/oci/index.ts';
import {
  type Answer,
  descriptorOf,
  errorCodes,
  jsonBytes,
  pushImage,
  randomBlob,
  TestRegistry,
} from './support/registry.ts';

const registry = new TestRegistry();

/** The target of the `Link` to the next page. */
function next(answer: Answer): string | undefined {
  const link = answer.headers.link as string | undefined;
  const match = /^<([^>]+)>; rel="next"$/.exec(link ?? '');
  if (link !== undefined) expect(match).not.toBeNull();
  return match?.[1];
}

describe('tags', () => {
  const written = ['test2', 'Test1', 'test10', '_x', 'v1.0', 'test0', 'a-b_c.d', '0'];
  const sorted = [...written].sort();

  beforeAll(async () => {
    const { manifest } = await pushImage(registry, 'tags');
    for (const tag of written) await registry.putManifest('tags', tag, manifest, mediaTypes.ociManifest);
  });

  test('a repository that does not exist: 404 NAME_UNKNOWN', async () => {
    const answer = await registry.send('GET', '/v2/no/such/tags/list');
    expect(answer.status).toBe(404);
    expect(errorCodes(answer)).toEqual(['NAME_UNKNOWN']);
  });

  test('a repository without tags: 200 with an empty list', async () => {
    await registry.pushBlob('tags/none', randomBlob());
    const answer = await registry.send('GET', '/v2/tags/none/tags/list');
    expect([answer.status, answer.json]).toEqual([200, { name: 'tags/none', tags: [] }]);
  });

  test('all, bytewise ascending', async () => {
    const answer = await registry.send('GET', '/v2/tags/tags/list');
    expect([answer.status, answer.json]).toEqual([200, { name: 'tags', tags: sorted }]);
    expect(answer.headers['content-type']).toBe('application/json');
    expect(next(answer)).toBeUndefined();
  });

  test('n gives exactly n, and the links lead through all', async () => {
    const seen: string[] = [];
    let target: string | undefined = '/v2/tags/tags/list?n=3';
    const sizes: number[] = [];
    while (target) {
      const answer: Answer = await registry.send('GET', target);
      seen.push(...answer.json.tags);
      sizes.push(answer.json.tags.length);
      target = next(answer);
    }
    expect(seen).toEqual(sorted);
    expect(sizes).toEqual([3, 3, 2]);
  });

  test('no link when n is as large as what is left', async () => {
    const answer = await registry.send('GET', `/v2/tags/tags/list?n=${written.length}`);
    expect(answer.json.tags).toEqual(sorted);
    expect(next(answer)).toBeUndefined();
  });

  test('last starts after that tag, which need not exist', async () => {
    const tagsOf = async (query: string) => (await registry.send('GET', `/v2/tags/tags/list?${query}`)).json.tags;
    expect(await tagsOf('last=test0')).toEqual(sorted.slice(sorted.indexOf('test0') + 1));
    expect(await tagsOf('last=test00')).toEqual(sorted.slice(sorted.indexOf('test0') + 1));
    expect(await tagsOf('n=1&last=test0')).toEqual(['test10']);
    expect(await tagsOf('last=zzz')).toEqual([]);
  });

  test('n=0: an empty list and no link', async () => {
    const answer = await registry.send('GET', '/v2/tags/tags/list?n=0');
    expect([answer.status, answer.json.tags, next(answer)]).toEqual([200, [], undefined]);
  });

  test.each(['-1', 'abc', '1.5', '', '0x10'])('n=%s: 400', async (n) => {
    const answer = await registry.send('GET', `/v2/tags/tags/list?n=${n}`);
    expect(answer.status).toBe(400);
    errorCodes(answer);
  });

  test('n above the limit is clamped, with a link', async () => {
    const { digest, manifest } = await pushImage(registry, 'tags/many');
    for (let batch = 0; batch < 11; batch += 1) {
      const query = Array.from({ length: 100 }, (_, index) => `tag=t${batch * 100 + index}`).join('&');
      const reference = `${digest}?${query}`;
      expect((await registry.putManifest('tags/many', reference, manifest, mediaTypes.ociManifest)).status).toBe(201);
    }
    for (const query of ['', '?n=5000']) {
      const first = await registry.send('GET', `/v2/tags/many/tags/list${query}`);
      expect(first.json.tags.length).toBe(1000);
      const second = await registry.send('GET', next(first)!);
      expect(second.json.tags.length).toBe(100);
      expect(next(second)).toBeUndefined();
    }
  });
});

describe('referrers', () => {
  const subject = descriptorOf(mediaTypes.ociManifest, Buffer.from('a subject that is never pushed'));
  const [signature, bom] = ['application/vnd.example.signature.v1', 'application/vnd.example.bom.v1+json'];
  const expected: Record<string, unknown>[] = [];

  beforeAll(async () => {
    const annotations = { 'org.example.key': 'value', 'org.example.other': '' };
    const config = Buffer.from('{}');
    await registry.pushBlob('referrers', config);
    const manifestWith = async (members: Record<string, unknown>, configType: string) => {
      const bytes = jsonBytes({
        schemaVersion: 2,
        mediaType: mediaTypes.ociManifest,
        config: descriptorOf(configType, config),
        layers: [],
        subject,
        ...members,
      });
      const answer = await registry.putManifest('referrers', digestOf(bytes), bytes, mediaTypes.ociManifest);
      expect([answer.status, answer.headers['oci-subject']]).toEqual([201, subject.digest]);
      return descriptorOf(mediaTypes.ociManifest, bytes);
    };
    const indexWith = async (members: Record<string, unknown>) => {
      const bytes = jsonBytes({ schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests: [], subject, ...members });
      const answer = await registry.putManifest('referrers', digestOf(bytes), bytes, mediaTypes.ociIndex);
      expect([answer.status, answer.headers['oci-subject']]).toEqual([201, subject.digest]);
      return descriptorOf(mediaTypes.ociIndex, bytes);
    };
    expected.push(
      {
        ...(await manifestWith({ artifactType: signature, annotations }, mediaTypes.ociEmpty)),
        artifactType: signature,
        annotations,
      },
      { ...(await manifestWith({ artifactType: bom }, mediaTypes.ociEmpty)), artifactType: bom },
      { ...(await manifestWith({}, signature)), artifactType: signature },
      { ...(await indexWith({ artifactType: bom, annotations })), artifactType: bom, annotations },
      await indexWith({ annotations: {} }).then((entry) => ({ ...entry, annotations: {} })),
    );
    expected.sort((a, b) => (String(a.digest) < String(b.digest) ? -1 : 1));
  });

  const list = (query = '', digest: string = subject.digest) =>
    registry.send('GET', `/v2/referrers/referrers/${digest}${query}`);

  test('of an unknown digest and in an unknown repository: 200 with an empty index', async () => {
    for (const target of [`referrers/referrers/${digestOf('x')}`, `no/such/referrers/${digestOf('x')}`]) {
      const answer = await registry.send('GET', `/v2/${target}`);
      expect([answer.status, answer.headers['content-type']]).toEqual([200, mediaTypes.ociIndex]);
      expect(answer.json).toEqual({ schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests: [] });
    }
  });

  test('of a bad digest: 400 DIGEST_INVALID', async () => {
    const answer = await list('', 'sha256:bad');
    expect(answer.status).toBe(400);
    expect(errorCodes(answer)).toEqual(['DIGEST_INVALID']);
  });

  test('all five, manifests and indexes, with artifact types and annotations; the subject is missing', async () => {
    const answer = await list();
    expect(answer.json.manifests).toEqual(expected);
    expect(answer.headers['oci-filters-applied']).toBeUndefined();
  });

  test('filtered by artifact type', async () => {
    for (const type of [signature, bom]) {
      for (const written of [encodeURIComponent(type), type]) {
        const answer = await list(`?artifactType=${written}`);
        expect(answer.json.manifests).toEqual(expected.filter(({ artifactType }) => artifactType === type));
        expect(answer.headers['oci-filters-applied']).toBe('artifactType');
      }
    }
    expect((await list('?artifactType=none/such')).json.manifests).toEqual([]);
  });

  test('only of this repository', async () => {
    expect((await registry.send('GET', `/v2/other/referrers/${subject.digest}`)).json.manifests).toEqual([]);
  });

  test('a referrer that is deleted leaves the list; a subject that is deleted does not empty it', async () => {
    const image = await pushImage(registry, 'referrers/deleted');
    const subjectHere = descriptorOf(mediaTypes.ociManifest, image.manifest);
    const first = await pushImage(registry, 'referrers/deleted', { extra: { subject: subjectHere } });
    const second = await pushImage(registry, 'referrers/deleted', { tag: 'second', extra: { subject: subjectHere } });
    const digests = async () =>
      (await registry.send('GET', `/v2/referrers/deleted/referrers/${image.digest}`)).json.manifests
        .map(({ digest }: { digest: string }) => digest)
        .sort();
    expect(await digests()).toEqual([first.digest, second.digest].sort());
    await registry.send('DELETE', `/v2/referrers/deleted/manifests/${first.digest}`);
    expect(await digests()).toEqual([second.digest]);
    await registry.send('DELETE', `/v2/referrers/deleted/manifests/${image.digest}`);
    await registry.send('DELETE', '/v2/referrers/deleted/manifests/second');
    expect(await digests()).toEqual([second.digest]);
  });

  test('pages of at most 4 MiB, with links that keep the filter', async () => {
    const annotations = { filler: 'x'.repeat(1_500_000) };
    const digests: string[] = [];
    for (let index = 0; index < 4; index += 1) {
      const extra = { subject, artifactType: bom, annotations };
      digests.push((await pushImage(registry, 'referrers/large', { extra })).digest);
    }
    const seen: string[] = [];
    let target: string | undefined =
      `/v2/referrers/large/referrers/${subject.digest}?artifactType=${encodeURIComponent(bom)}`;
    let pages = 0;
    while (target) {
      const answer: Answer = await registry.send('GET', target);
      expect(answer.body.length).toBeLessThanOrEqual(4 * 1024 * 1024);
      expect(answer.headers['oci-filters-applied']).toBe('artifactType');
      seen.push(...answer.json.manifests.map(({ digest }: { digest: string }) => digest));
      pages += 1;
      target = next(answer);
    }
    expect([pages, seen]).toEqual([2, digests.sort()]);
  });
});
