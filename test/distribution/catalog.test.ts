import { expect, test } from 'vitest';
import { type AccessRecord, combinedLogLine, startRegistry } from '../../src/distribution/index.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { errorCodes, pushImage, randomBlob, sendTo, TestRegistry } from './support/registry.ts';

const registry = new TestRegistry();

test('the catalogue lists repositories in pages, as docker-registry does', async () => {
  expect((await registry.send('GET', '/v2/_catalog')).json).toEqual({ repositories: [] });
  const names = ['b', 'a/b', 'a', 'b-c', 'a-b/c'];
  for (const name of names) await registry.pushBlob(name, randomBlob());
  const sorted = [...names].sort();
  expect((await registry.send('GET', '/v2/_catalog')).json).toEqual({ repositories: sorted });
  const found: string[] = [];
  for (let target: string | undefined = '/v2/_catalog?n=2'; target !== undefined; ) {
    const answer = await registry.send('GET', target);
    expect(answer.headers['content-type']).toBe('application/json');
    expect(answer.json.repositories.length).toBeLessThanOrEqual(2);
    found.push(...answer.json.repositories);
    target = /^<(\/v2\/_catalog\?n=2&last=[^>]+)>; rel="next"$/.exec(String(answer.headers.link))?.[1];
  }
  expect(found).toEqual(sorted);
  expect((await registry.send('GET', '/v2/_catalog?n=0')).json).toEqual({ repositories: [] });
  for (const n of ['-1', 'x', '']) {
    const answer = await registry.send('GET', `/v2/_catalog?n=${n}`);
    expect([answer.status, errorCodes(answer)]).toEqual([400, ['UNSUPPORTED']]);
  }
  expect((await registry.send('POST', '/v2/_catalog')).status).toBe(405);
});

test('metrics count requests, bytes and uploads, in a form that Prometheus reads', async () => {
  const { manifest } = await pushImage(registry, 'metrics', { tag: 'x' });
  await registry.send('GET', '/v2/metrics/manifests/x');
  await registry.send('GET', '/v2/metrics/manifests/y');
  await registry.send('BREW', '/v2/');
  await registry.startUpload('metrics');
  const answer = await registry.send('GET', '/metrics');
  expect(answer.headers['content-type']).toBe('text/plain; version=0.0.4; charset=utf-8');
  const lines = answer.body.toString().split('\n');
  expect(lines.at(-1)).toBe('');
  for (const line of lines.slice(0, -1))
    expect(line).toMatch(/^(# (HELP|TYPE) \w+ .+|\w+(\{\w+="[^"]*"(,\w+="[^"]*")*\})? \S+)$/);
  const value = (name: string) =>
    Number(
      lines
        .find((line) => line.startsWith(`${name} `))
        ?.split(' ')
        .at(-1),
    );
  expect(value('lading_registry_requests_total{method="GET",endpoint="manifest",code="200"}')).toBe(1);
  expect(value('lading_registry_requests_total{method="GET",endpoint="manifest",code="404"}')).toBe(1);
  expect(value('lading_registry_requests_total{method="PUT",endpoint="manifest",code="201"}')).toBe(1);
  expect(value('lading_registry_request_duration_seconds_count{endpoint="manifest"}')).toBe(3);
  expect(value('lading_registry_request_duration_seconds_bucket{endpoint="manifest",le="+Inf"}')).toBe(3);
  expect(value('lading_registry_sent_bytes_total')).toBeGreaterThan(manifest.length);
  expect(value('lading_registry_received_bytes_total')).toBeGreaterThan(manifest.length);
  expect(value('lading_registry_open_uploads')).toBe(1);
  expect(value('lading_registry_requests_in_flight')).toBe(1);
  expect(value('process_resident_memory_bytes')).toBeGreaterThan(1_000_000);
  expect(answer.body.toString()).not.toContain('BREW');
});

test('read-only: what is there can be read, and nothing written', async () => {
  const root = await temporaryFolder();
  const bytes = randomBlob();
  const writable = await startRegistry({ root });
  const opened = await sendTo(writable.port, 'POST', '/v2/a/blobs/uploads/', {});
  await sendTo(writable.port, 'PUT', '/v2/a/manifests/x', {
    headers: { 'Content-Type': 'application/x-thing+json' },
    body: '{"mediaType":"application/x-thing+json"}',
  });
  await writable.close();
  const server = await startRegistry({ root, access: 'read-only' });
  const manifest = await sendTo(server.port, 'GET', '/v2/a/manifests/x', {});
  expect(manifest.status).toBe(200);
  const digest = manifest.headers['docker-content-digest'];
  for (const [method, target, allow] of [
    ['POST', '/v2/a/blobs/uploads/', ''],
    ['PATCH', opened.headers.location!, ''],
    ['GET', opened.headers.location!, ''],
    ['PUT', '/v2/a/manifests/y', 'GET, HEAD'],
    ['DELETE', '/v2/a/manifests/x', 'GET, HEAD'],
    ['DELETE', `/v2/a/manifests/${digest}`, 'GET, HEAD'],
    ['DELETE', `/v2/a/blobs/${digest}`, 'GET, HEAD'],
  ] as const) {
    const answer = await sendTo(server.port, method, target, { body: bytes });
    expect([method, target, answer.status, answer.headers.allow]).toEqual([method, target, 405, allow]);
    expect(errorCodes(answer)).toEqual(['UNSUPPORTED']);
  }
  await server.close();
});

test('the access log is in the combined format, and no client can break it', () => {
  const record: AccessRecord = {
    method: 'GET',
    path: '/v2/a/manifests/x',
    endpoint: 'manifest',
    status: 200,
    bytes: 123,
    receivedBytes: 0,
    userAgent: 'skopeo/1',
    address: '127.0.0.1',
    user: 'alice',
    durationMs: 1.26,
  };
  const at = new Date('2026-03-04T05:06:07.890Z');
  expect(combinedLogLine(record, at)).toBe(
    '127.0.0.1 - alice [04/Mar/2026:05:06:07 +0000] "GET /v2/a/manifests/x HTTP/1.1" 200 123 "-" "skopeo/1" 1.3',
  );
  const hostile = { ...record, user: undefined, userAgent: 'a"b\\c\n\u001b[31mé', path: '/"\r\n' };
  expect(combinedLogLine(hostile, at)).toBe(
    '127.0.0.1 - - [04/Mar/2026:05:06:07 +0000] "GET /\\x22\\x0D\\x0A HTTP/1.1" 200 123 "-" "a\\x22b\\x5Cc\\x0A\\x1B[31m\\xC3\\xA9" 1.3',
  );
});
