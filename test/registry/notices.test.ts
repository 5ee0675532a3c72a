import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { describe, expect, test } from 'vitest';
import type { RegistryWarning } from '../../src/registry/index.ts';
import { warningTexts } from '../../src/registry/warnings.ts';
import type { Answer } from '../support/hostile-server.ts';
import { collect, descriptorOf, newClient, newServer, noise, referenceAt } from './fixtures.ts';

const blob = noise(1000);

describe('what a registry warns of', () => {
  test('is passed on, each text once in a while, and changes nothing', async () => {
    const server = await newServer((_, response) => {
      response.setHeader('warning', ['299 - "this repository moves, \\"soon\\""', '199 - "not for users"']);
      response.end(blob);
    });
    const warnings: RegistryWarning[] = [];
    const { client, clock } = newClient({ onWarning: (warning) => warnings.push(warning) });
    const fetch = async () => collect((await client.fetchBlob(referenceAt(server), descriptorOf(blob))).body);
    await fetch();
    await fetch();
    const { address: registry } = server;
    const said = { registry, text: `${registry} says: this repository moves, "soon"` };
    expect(warnings).toEqual([said]);
    clock.advance(11 * 60_000);
    await fetch();
    expect(warnings).toEqual([said, said]);
  });

  test.each([
    [['299 - "a"'], ['a']],
    [['299 host "a", 299 - "b" "Wed, 21 Oct 2015 07:28:00 GMT"'], ['a', 'b']],
    [['110 - "stale"', '299 "no agent"', '299 - unquoted', ''], []],
    [[`299 - "${'x'.repeat(5000)}"`], []],
    [['299 - "bell \u0007 and \u001b[31mred"'], ['bell   and  [31mred']],
  ])('%j', (lines, texts) => {
    expect(warningTexts(lines).map((text) => text.replace(/ +/g, ' '))).toEqual(
      texts.map((text) => text.replace(/ +/g, ' ')),
    );
  });
});

describe('what a registry still allows', () => {
  test('is reported with the request and to the diagnostics channel', async () => {
    const server = await newServer((_, response) => {
      response.setHeader('ratelimit-limit', '100;w=21600');
      response.setHeader('ratelimit-remaining', '76;w=21600');
      response.setHeader('docker-ratelimit-source', '192.0.2.1');
      response.writeHead(404).end();
    });
    const published: unknown[] = [];
    const listener = (message: unknown) => published.push(message);
    subscribe('lading:registry:rate-limit', listener);
    try {
      const { client, records } = newClient();
      await client.hasBlob(referenceAt(server), descriptorOf(blob));
      const rateLimit = { limit: 100, remaining: 76, windowSeconds: 21_600, source: '192.0.2.1' };
      expect(records.map((record) => record.rateLimit)).toEqual([rateLimit]);
      expect(published).toEqual([{ registry: server.address, host: server.address, ...rateLimit }]);
    } finally {
      unsubscribe('lading:registry:rate-limit', listener);
    }
  });

  test('is not guessed from half of the headers', async () => {
    const server = await newServer((_, response) => response.writeHead(404, { 'ratelimit-limit': '100' }).end());
    const { client, records } = newClient();
    await client.hasBlob(referenceAt(server), descriptorOf(blob));
    expect(records[0]).not.toHaveProperty('rateLimit');
  });
});

describe('blobs at the same time', () => {
  test('are limited for each host; a body that ends, or is given up, makes room', async () => {
    let open = 0;
    let most = 0;
    const server = await newServer((_, response) => {
      open += 1;
      most = Math.max(most, open);
      setTimeout(() => {
        open -= 1;
        response.end(blob);
      }, 20);
    });
    const { client } = newClient({ limits: { perHost: 2 } });
    const abort = new AbortController();
    const unread = await client.fetchBlob(referenceAt(server), descriptorOf(blob), { signal: abort.signal });
    const others = Promise.all(
      Array.from({ length: 5 }, async () => {
        return collect((await client.fetchBlob(referenceAt(server), descriptorOf(blob))).body);
      }),
    );
    expect(unread.offset).toBe(0);
    abort.abort();
    expect((await others).every((bytes) => bytes.equals(blob))).toBe(true);
    expect(most).toBeLessThanOrEqual(2);
  });

  test('are limited for all hosts together', async () => {
    let open = 0;
    let most = 0;
    const answer: Answer = (_, response) => {
      open += 1;
      most = Math.max(most, open);
      setTimeout(() => {
        open -= 1;
        response.end(blob);
      }, 20);
    };
    const servers = [await newServer(answer), await newServer(answer), await newServer(answer)];
    const { client } = newClient({ limits: { overall: 2 } });
    const all = await Promise.all(
      [...servers, ...servers].map(async (server) => {
        return collect((await client.fetchBlob(referenceAt(server), descriptorOf(blob))).body);
      }),
    );
    expect(all.every((bytes) => bytes.equals(blob))).toBe(true);
    expect(most).toBe(2);
  });

  test('who waits for room can give up', async () => {
    const server = await newServer((_, response) => response.flushHeaders());
    const { client } = newClient({ limits: { overall: 1 } });
    const first = new AbortController();
    await client.fetchBlob(referenceAt(server), descriptorOf(blob), { signal: first.signal });
    const second = new AbortController();
    const waiting = client.fetchBlob(referenceAt(server), descriptorOf(blob), { signal: second.signal });
    second.abort(new Error('enough'));
    await expect(waiting).rejects.toThrow('enough');
    first.abort();
  });
});
