import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { expect, onTestFinished, test } from 'vitest';
import type { RequestRecord } from '../../src/registry/index.ts';
import { failureOf, newClient, newServer, referenceAt, testImage } from './fixtures.ts';

const [config] = testImage().blobs;

test('every exchange is reported to the option and to the diagnostics channel', async () => {
  const server = await newServer(({ path }, response) => {
    if (path.endsWith('/blobs/uploads/')) return response.writeHead(202, { location: '/up/1?_state=secret' }).end();
    if (path.startsWith('/up/')) return response.writeHead(201).end();
    if (path.includes('/tags/')) return response.end('{"tags":["a"]}');
    return response.writeHead(404).end();
  });
  const published: unknown[] = [];
  const listener = (message: unknown) => published.push(message);
  subscribe('lading:registry:request', listener);
  onTestFinished(() => void unsubscribe('lading:registry:request', listener));
  const { client, records } = newClient();
  await client.pushBlob(referenceAt(server), config!.descriptor, () => config!.bytes);
  await client.listTags(referenceAt(server));
  const digest = config!.descriptor.digest;
  const summary = ({ method, path, kind, status, bytes }: RequestRecord) => [method, path, kind, status, bytes];
  expect(records.map(summary)).toEqual([
    ['HEAD', `/v2/team/app/blobs/${digest}`, 'blob', 404, 0],
    ['POST', '/v2/team/app/blobs/uploads/', 'upload', 202, 0],
    ['PUT', `/up/1?_state=REDACTED&digest=${digest}`, 'upload', 201, 0],
    ['GET', '/v2/team/app/tags/list?n=1000', 'tags', 200, 14],
  ]);
  expect(published).toEqual(records);
  expect(records.every(({ durationMs, registry }) => durationMs >= 0 && registry === server.address)).toBe(true);
});

test('a request without an answer has no status', async () => {
  const server = await newServer((_, response) => response.socket?.destroy());
  const { client, records } = newClient({ retry: { attempts: 1 } });
  await failureOf(client.hasBlob(referenceAt(server), config!.descriptor));
  expect(records.map(({ status }) => status)).toEqual([undefined]);
});
