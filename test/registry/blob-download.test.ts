import type { ServerResponse } from 'node:http';
import { setImmediate } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { chunkPasses } from '../../src/lib/young-objects.ts';
import { cutBody } from '../support/hostile-server.ts';
import { collect, descriptorOf, failureOf, newClient, newServer, noise, referenceAt } from './fixtures.ts';

const mebibyte = 1024 * 1024;
const blob = noise(3 * mebibyte);
const descriptor = descriptorOf(blob);

const offsetIn = (range: string | undefined) => Number(/^bytes=(\d+)-$/.exec(range ?? '')?.[1] ?? 0);

function sendFrom(response: ServerResponse, offset: number, headers: Record<string, string> = {}): void {
  const partial = offset > 0 && { 'content-range': `bytes ${offset}-${blob.length - 1}/${blob.length}` };
  response.writeHead(offset > 0 ? 206 : 200, { 'content-length': blob.length - offset, ...partial, ...headers });
  response.end(blob.subarray(offset));
}

describe('a good server', () => {
  test('sends everything, or the rest', async () => {
    const server = await newServer(({ headers }, response) => sendFrom(response, offsetIn(headers.range)));
    const { client, records } = newClient();
    const whole = await client.fetchBlob(referenceAt(server), descriptor);
    expect(whole.offset).toBe(0);
    expect((await collect(whole.body)).equals(blob)).toBe(true);
    const rest = await client.fetchBlob(referenceAt(server), descriptor, { offset: 1_000_000 });
    expect(rest.offset).toBe(1_000_000);
    expect((await collect(rest.body)).equals(blob.subarray(1_000_000))).toBe(true);
    expect(server.requests.map(({ headers }) => headers.range)).toEqual([undefined, 'bytes=1000000-']);
    expect(records.map(({ bytes, kind }) => [bytes, kind])).toEqual([
      [blob.length, 'blob'],
      [blob.length - 1_000_000, 'blob'],
    ]);
  });

  test('may send small pieces: not much of them is held for a slow reader', async () => {
    const piece = `${(1024).toString(16)}\r\n${'x'.repeat(1024)}\r\n`;
    const encoded = Buffer.from(piece.repeat(1024));
    const mebibytes = 64;
    const server = await newServer(async (_, response) => {
      response.flushHeaders();
      for (let sent = 0; sent < mebibytes; sent += 1)
        await new Promise((resolve) => response.socket!.write(encoded, resolve));
      response.socket!.end('0\r\n\r\n');
    });
    const { client } = newClient();
    const { body } = await client.fetchBlob(referenceAt(server), { ...descriptor, size: mebibytes * mebibyte });
    const before = process.memoryUsage().arrayBuffers;
    let [bytes, most] = [0, 0];
    for await (const { byteLength } of body) {
      bytes += byteLength;
      chunkPasses(byteLength);
      if (bytes % (64 * 1024) === 0) await setImmediate();
      most = Math.max(most, process.memoryUsage().arrayBuffers - before);
    }
    expect(bytes).toBe(mebibytes * mebibyte);
    expect(most).toBeLessThan(32 * mebibyte);
  });

  test('is not asked for nothing', async () => {
    const server = await newServer((_, response) => response.end());
    const { client } = newClient();
    const done = await client.fetchBlob(referenceAt(server), descriptor, { offset: blob.length });
    expect([done.offset, await collect(done.body)]).toEqual([blob.length, Buffer.alloc(0)]);
    const empty = await client.fetchBlob(referenceAt(server), descriptorOf(Buffer.alloc(0)));
    expect([empty.offset, await collect(empty.body)]).toEqual([0, Buffer.alloc(0)]);
    expect(server.requests).toHaveLength(0);
  });

  test('a reader that leaves early ends the connection and the record', async () => {
    const server = await newServer((_, response) => sendFrom(response, 0));
    const { client, records } = newClient();
    const { body } = await client.fetchBlob(referenceAt(server), descriptor);
    for await (const chunk of body) if (chunk.length > 0) break;
    expect(records).toHaveLength(1);
    expect(records[0]!.bytes).toBeLessThan(blob.length);
  });
});

describe('a connection that is cut', () => {
  test('goes on at the byte where it ended, with a new request to the registry', async () => {
    const cuts = [100_000, 1_000_000, 500_000];
    const server = await newServer(({ headers }, response) => {
      const offset = offsetIn(headers.range);
      const count = cuts.shift();
      if (count === undefined) return sendFrom(response, offset);
      if (offset > 0) {
        response.writeHead(206, {
          'content-range': `bytes ${offset}-${blob.length - 1}/${blob.length}`,
          'content-length': blob.length - offset,
        });
      }
      if (offset === 0) return cutBody(response, blob, { count });
      response.write(blob.subarray(offset, offset + count), () => response.socket?.destroy());
    });
    const { client } = newClient();
    const { body } = await client.fetchBlob(referenceAt(server), descriptor);
    expect((await collect(body)).equals(blob)).toBe(true);
    expect(server.requests.map(({ headers }) => offsetIn(headers.range))).toEqual([0, 100_000, 1_100_000, 1_600_000]);
  });

  test('is given up after five failures without progress, and says how far it came', async () => {
    const server = await newServer(({ headers }, response) => {
      if (offsetIn(headers.range) === 0) return cutBody(response, blob, { count: 1000 });
      response.writeHead(206, {
        'content-range': `bytes 1000-${blob.length - 1}/${blob.length}`,
        'content-length': blob.length - 1000,
      });
      response.flushHeaders();
      setTimeout(() => response.socket?.destroy(), 5);
    });
    const { client, clock } = newClient();
    const { body } = await client.fetchBlob(referenceAt(server), descriptor);
    const error = await failureOf(collect(body));
    expect(error.code).toBe('ERR_LADING_REGISTRY_TRUNCATED');
    expect(error.data).toMatchObject({ kind: 'truncated', unreachable: true });
    expect(error.message).toContain(`at 1000 of ${blob.length} bytes`);
    expect(server.requests).toHaveLength(5);
    expect(clock.slept).toEqual([500, 1000, 2000, 4000]);
  });

  test('an idle one is cut too, and resumed', async () => {
    const server = await newServer(({ headers }, response) => {
      const offset = offsetIn(headers.range);
      if (offset > 0) return sendFrom(response, offset);
      response.writeHead(200, { 'content-length': blob.length });
      response.write(blob.subarray(0, 50_000)); // and silence
    });
    const { client } = newClient({ timeouts: { idleMs: 100 } });
    const { body } = await client.fetchBlob(referenceAt(server), descriptor);
    expect((await collect(body)).equals(blob)).toBe(true);
    expect(server.requests).toHaveLength(2);
  });

  test('a server that cannot resume is read again from the start, and only new bytes are given', async () => {
    let cuts = 2;
    const server = await newServer((_, response) => {
      if (cuts-- > 0) return cutBody(response, blob, { count: 1_200_000 });
      sendFrom(response, 0);
    });
    const { client } = newClient();
    const { body } = await client.fetchBlob(referenceAt(server), descriptor);
    expect((await collect(body)).equals(blob)).toBe(true);
    expect(server.requests.map(({ headers }) => headers.range)).toEqual([undefined, 'bytes=1200000-', undefined]);
  });
});

describe('an answer to a range that is not the range', () => {
  const last = blob.length - 1;
  test.each([
    ['another start', { 'content-range': `bytes 0-${last}/${blob.length}` }],
    ['an early end', { 'content-range': `bytes 1000-${last - 1}/${blob.length}` }],
    ['another size', { 'content-range': `bytes 1000-${last}/${blob.length + 1}` }],
    ['no Content-Range', {}],
    ['several ranges', { 'content-type': 'multipart/byteranges; boundary=x' }],
  ])('%s is not appended: the blob begins anew', async (_, headers) => {
    const server = await newServer((request, response) => {
      if (request.headers.range === undefined) return sendFrom(response, 0);
      response.writeHead(206, headers as Record<string, string>);
      response.end(blob.subarray(0, 1000));
    });
    const { offset, body } = await newClient().client.fetchBlob(referenceAt(server), descriptor, { offset: 1000 });
    expect(Buffer.concat([blob.subarray(0, offset), await collect(body)]).equals(blob)).toBe(true);
    expect(server.requests).toHaveLength(2);
  });

  test('a repeated Content-Range is none', async () => {
    const server = await newServer((request, response) => {
      if (request.headers.range === undefined) return sendFrom(response, 0);
      const line = `bytes 1000-${last}/${blob.length}`;
      response.writeHead(206, { 'content-range': [line, line] as unknown as string });
      response.end(blob.subarray(1000));
    });
    const { offset, body } = await newClient().client.fetchBlob(referenceAt(server), descriptor, { offset: 1000 });
    expect(Buffer.concat([blob.subarray(0, offset), await collect(body)]).equals(blob)).toBe(true);
    expect(server.requests).toHaveLength(2);
  });

  test('200 means the server ignores ranges: a short beginning is dropped', async () => {
    const server = await newServer((_, response) => sendFrom(response, 0));
    const { offset, body } = await newClient().client.fetchBlob(referenceAt(server), descriptor, { offset: 1000 });
    expect(offset).toBe(1000);
    expect((await collect(body)).equals(blob.subarray(1000))).toBe(true);
    expect(server.requests).toHaveLength(1);
  });

  test('200 after more than 8 MiB means a restart, which the caller is told', async () => {
    const large = noise(9 * mebibyte);
    const server = await newServer((_, response) => response.writeHead(200).end(large));
    const { offset, body } = await newClient().client.fetchBlob(referenceAt(server), descriptorOf(large), {
      offset: 8 * mebibyte,
    });
    expect(offset).toBe(0);
    expect((await collect(body)).equals(large)).toBe(true);
  });

  test('416 means a restart', async () => {
    const server = await newServer(({ headers }, response) => {
      if (headers.range === undefined) return sendFrom(response, 0);
      response.writeHead(416, { 'content-range': `bytes */${blob.length}` }).end();
    });
    const { offset, body } = await newClient().client.fetchBlob(referenceAt(server), descriptor, { offset: 1000 });
    expect(Buffer.concat([blob.subarray(0, offset), await collect(body)]).equals(blob)).toBe(true);
  });
});

describe('content that the descriptor has itself', () => {
  const small = Buffer.from('{"small": true}');
  const data = small.toString('base64');

  test('is not asked for', async () => {
    const server = await newServer((_, response) => response.end(small));
    const { client } = newClient();
    const { body, offset } = await client.fetchBlob(
      referenceAt(server),
      { ...descriptorOf(small), data },
      { offset: 3 },
    );
    expect([offset, (await collect(body)).toString()]).toEqual([3, small.subarray(3).toString()]);
    expect(server.requests).toHaveLength(0);
  });

  test.each([
    ['another content', Buffer.from('{"small": flse}').toString('base64')],
    ['too much', Buffer.from('{"small": true} ').toString('base64')],
    ['no base64', '!'.repeat(data.length)],
    ['nothing', ''],
  ])('is not believed when it is %s', async (_, wrong) => {
    const server = await newServer((_, response) => response.end(small));
    const descriptor = { ...descriptorOf(small), data: wrong };
    const bytes = await newClient().client.readBlob(referenceAt(server), descriptor, { maxBytes: 1000 });
    expect(Buffer.from(bytes).equals(small)).toBe(true);
    expect(server.requests).toHaveLength(1);
  });
});

describe('content that cannot be the blob', () => {
  test('a wrong Content-Length is refused before a byte is given', async () => {
    const server = await newServer((_, response) => response.writeHead(200, { 'content-length': 5 }).end('short'));
    const error = await failureOf(newClient().client.fetchBlob(referenceAt(server), descriptor));
    expect(error.code).toBe('ERR_LADING_REGISTRY_DIGEST_MISMATCH');
    expect(error.message).toContain(`with 5 bytes instead of the ${blob.length}`);
  });

  test('a body without end is read to the declared size and no further', async () => {
    const server = await newServer((_, response) => {
      const more = () => {
        while (response.write(blob)) if (response.destroyed) return;
      };
      response.on('drain', more).on('error', () => {});
      more();
    });
    const { body } = await newClient().client.fetchBlob(referenceAt(server), descriptor);
    let received = 0;
    const error = await failureOf(
      (async () => {
        for await (const chunk of body) received += chunk.length;
      })(),
    );
    expect(error.code).toBe('ERR_LADING_REGISTRY_DIGEST_MISMATCH');
    expect(received).toBeLessThanOrEqual(blob.length);
  });

  test('a small blob is verified in memory', async () => {
    const config = Buffer.from('{"architecture":"amd64"}');
    const server = await newServer(({ path }, response) => {
      response.end(path.endsWith(descriptorOf(config).digest) ? config : Buffer.alloc(config.length));
    });
    const { client } = newClient();
    const reference = referenceAt(server);
    expect(await client.readBlob(reference, descriptorOf(config), { maxBytes: 100 })).toEqual(config);
    const lied = { ...descriptorOf(Buffer.from('other')), size: config.length };
    expect((await failureOf(client.readBlob(reference, lied, { maxBytes: 100 }))).data.kind).toBe('digest-mismatch');
    const tooLarge = await failureOf(client.readBlob(reference, descriptorOf(config), { maxBytes: 10 }));
    expect(tooLarge.data.kind).toBe('too-large');
  });
});

describe('Content-Encoding', () => {
  const layer = gzipSync(noise(10_000));

  test('on a stored gzip layer changes nothing', async () => {
    const server = await newServer((_, response) => {
      response.writeHead(200, { 'content-encoding': 'gzip', 'content-length': layer.length }).end(layer);
    });
    const { body } = await newClient().client.fetchBlob(referenceAt(server), descriptorOf(layer));
    expect(await collect(body)).toEqual(layer);
  });

  test('of a proxy is undone', async () => {
    const server = await newServer((_, response) => {
      response.writeHead(200, { 'content-encoding': 'gzip' }).end(gzipSync(layer));
    });
    const { body } = await newClient().client.fetchBlob(referenceAt(server), descriptorOf(layer));
    expect(await collect(body)).toEqual(layer);
  });

  test('that is a lie is an error', async () => {
    const server = await newServer((_, response) => {
      response.writeHead(200, { 'content-encoding': 'gzip' }).end('this is not gzip');
    });
    const { body } = await newClient().client.fetchBlob(referenceAt(server), descriptorOf(layer));
    expect((await failureOf(collect(body))).data.kind).toBe('protocol');
  });
});
