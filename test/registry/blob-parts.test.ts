import type { ServerResponse } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { freeMemory } from '../../src/lib/free-memory.ts';
import { partBytes, withParts } from '../../src/registry/blob-parts.ts';
import type { BlobPlace, OpenedBlob } from '../../src/registry/blob-place.ts';
import { BlobSlots } from '../../src/registry/blob-slots.ts';
import type { BlobLimits } from '../../src/registry/index.ts';
import type { HostileServer, ReceivedRequest } from '../support/hostile-server.ts';
import { collect, descriptorOf, newClient, newServer, noise, referenceAt } from './fixtures.ts';

const blob = noise(6 * partBytes + 12_345);
const descriptor = descriptorOf(blob);

type PartAnswer = (response: ServerResponse, first: number, last: number) => unknown;

function sendRange(response: ServerResponse, first: number, last: number, headers: object = {}): void {
  const range = { 'content-range': `bytes ${first}-${last}/${blob.length}`, 'content-length': last + 1 - first };
  response.writeHead(206, { ...range, ...headers }).end(blob.subarray(first, last + 1));
}

/** Sends whole blobs slowly, and parts as the test wants them. */
async function newSlowServer(answerPart: PartAnswer = sendRange, headers: object = { 'accept-ranges': 'bytes' }) {
  let open = 0;
  let most = 0;
  const server = await newServer(async (request, response) => {
    open += 1;
    most = Math.max(most, open);
    response.once('close', () => {
      open -= 1;
    });
    const [first, last] = rangeOf(request);
    if (last !== undefined) return answerPart(response, first, last);
    const rest = { 'content-range': `bytes ${first}-${blob.length - 1}/${blob.length}` };
    response.writeHead(first > 0 ? 206 : 200, {
      ...headers,
      ...(first > 0 && rest),
      'content-length': blob.length - first,
    });
    response.write(blob.subarray(first, first + 1_000_000));
    await sleep(150);
    return response.end(blob.subarray(first + 1_000_000));
  });
  return { server, most: () => most };
}

function rangeOf({ headers }: ReceivedRequest): [first: number, last: number | undefined] {
  const [, first = '0', last = ''] = /^bytes=(\d+)-(\d*)$/.exec(headers.range ?? '') ?? [];
  return [Number(first), last === '' ? undefined : Number(last)];
}

const partsOf = (server: HostileServer) => server.requests.map(rangeOf).filter(([, last]) => last !== undefined);

async function fetchFrom(
  server: HostileServer,
  options: { offset?: number; limits?: BlobLimits } = {},
): Promise<Buffer> {
  const { limits = {}, ...call } = options;
  const { client } = newClient({ limits });
  const { body } = await client.fetchBlob(referenceAt(server), descriptor, call);
  return collect(body);
}

describe('a large blob from a slow server', () => {
  test('is fetched in several parts at a time, in order and without a gap', async () => {
    const { server, most } = await newSlowServer();
    expect((await fetchFrom(server)).equals(blob)).toBe(true);
    const parts = partsOf(server);
    expect(parts.length).toBeGreaterThan(1);
    for (const [index, [first, last]] of parts.entries()) {
      expect(last! + 1 - first).toBeLessThanOrEqual(partBytes);
      if (index > 0) expect(first).toBe(parts[index - 1]![1]! + 1);
    }
    expect(parts.at(-1)![1]).toBe(blob.length - 1);
    expect(most()).toBeLessThanOrEqual(5);
  });

  test('also from the middle on', async () => {
    const { server } = await newSlowServer();
    expect((await fetchFrom(server, { offset: 1000 })).equals(blob.subarray(1000))).toBe(true);
    expect(partsOf(server).length).toBeGreaterThan(1);
  });

  test('comes in one stream where that is wanted, where no connection is free, and where the server has no parts', async () => {
    const { server } = await newSlowServer();
    expect((await fetchFrom(server, { limits: { perBlob: 1 } })).equals(blob)).toBe(true);
    expect((await fetchFrom(server, { limits: { perHost: 1 } })).equals(blob)).toBe(true);
    const without = await newSlowServer(sendRange, {});
    expect((await fetchFrom(without.server)).equals(blob)).toBe(true);
    expect([...partsOf(server), ...partsOf(without.server)]).toEqual([]);
  });
});

test('a reader may free each chunk, also one that ends where the parts begin', async () => {
  const chunkBytes = 1024 * 1024;
  async function* slowly(from: number, to: number) {
    await sleep(150);
    for (let at = from; at < to; at += chunkBytes)
      yield Uint8Array.from(blob.subarray(at, Math.min(at + chunkBytes, to)));
  }
  const asked: [first: number, last: number][] = [];
  const openPart = async (first: number, last: number) => {
    asked.push([first, last]);
    return slowly(first, last + 1);
  };
  const slots = new BlobSlots({});
  await slots.acquire('host', {});
  const opened = { offset: 0, bytes: slowly(0, blob.length), hasRanges: true } as unknown as OpenedBlob;
  const place = { host: 'host', openPart } as unknown as BlobPlace;
  const read: Buffer[] = [];
  for await (const chunk of withParts(opened, { place, size: blob.length, slots, options: {} as never }).bytes) {
    read.push(Buffer.from(chunk));
    freeMemory(chunk);
  }
  expect(asked[0]![0] % chunkBytes).toBe(0);
  expect(Buffer.concat(read).equals(blob)).toBe(true);
});

test('a thread that is busy with other work does not make a host slow', async () => {
  const server = await newServer((request, response) => {
    const [first, last] = rangeOf(request);
    if (last !== undefined) return sendRange(response, first, last);
    return response.writeHead(200, { 'accept-ranges': 'bytes', 'content-length': blob.length }).end(blob);
  });
  const busy = setInterval(() => {
    const until = performance.now() + 20;
    while (performance.now() < until);
  }, 1);
  try {
    expect((await fetchFrom(server)).equals(blob)).toBe(true);
  } finally {
    clearInterval(busy);
  }
  expect(partsOf(server)).toEqual([]);
});

describe('a part that is not as it must be', () => {
  const wrong: readonly [string, PartAnswer][] = [
    ['the whole instead', (response) => response.writeHead(200).end(blob)],
    ['another beginning', (response, first, last) => sendRange(response, first - 1, last - 1)],
    ['an early end', (response, first, last) => sendRange(response, first, last - 1)],
    [
      'another size',
      (response, first, last) => sendRange(response, first, last, { 'content-range': `bytes ${first}-${last}/5` }),
    ],
    ['403', (response) => response.writeHead(403).end()],
    ['429', (response) => response.writeHead(429).end()],
    [
      'too few bytes',
      (response, first, last) => {
        response.writeHead(206, { 'content-range': `bytes ${first}-${last}/${blob.length}` });
        response.end(blob.subarray(first, last));
      },
    ],
    [
      'too many bytes',
      (response, first, last) => {
        response.writeHead(206, { 'content-range': `bytes ${first}-${last}/${blob.length}` });
        response.end(blob.subarray(first, last + 2));
      },
    ],
    [
      'a cut connection',
      (response, first, last) => {
        response.writeHead(206, {
          'content-range': `bytes ${first}-${last}/${blob.length}`,
          'content-length': last + 1 - first,
        });
        response.write(blob.subarray(first, first + 1000), () => response.socket?.destroy());
      },
    ],
  ];

  test.each(wrong)('at first, because of %s: one stream brings the rest', async (_, answer) => {
    const { server } = await newSlowServer(answer);
    expect((await fetchFrom(server)).equals(blob)).toBe(true);
    expect(server.requests.filter((request) => rangeOf(request)[1] === undefined).length).toBeLessThanOrEqual(2);
  });

  test.each(wrong.slice(0, 2))('later, because of %s: nothing of it gets into the blob', async (_, answer) => {
    let parts = 0;
    const { server } = await newSlowServer((response, first, last) => {
      parts += 1;
      if (parts === 3) return answer(response, first, last);
      return sendRange(response, first, last);
    });
    expect((await fetchFrom(server)).equals(blob)).toBe(true);
    expect(parts).toBeGreaterThanOrEqual(3);
  });
});

test('a reader that leaves in the middle of the parts ends all of them', async () => {
  const { server } = await newSlowServer((response, first, last) => {
    if (first < 3 * partBytes) return sendRange(response, first, last);
    const range = { 'content-range': `bytes ${first}-${last}/${blob.length}`, 'content-length': last + 1 - first };
    return response.writeHead(206, range).write(blob.subarray(first, first + 1000)); // and no more, until it is ended
  });
  const { client, records } = newClient();
  const { body } = await client.fetchBlob(referenceAt(server), descriptor);
  let received = 0;
  for await (const chunk of body) {
    received += chunk.length;
    if (received > 2 * partBytes) break;
  }
  while (records.length < server.requests.length) await sleep(5);
  expect(records.reduce((sum, { bytes }) => sum + bytes, 0)).toBeLessThan(blob.length);
});
