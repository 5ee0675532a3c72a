import { fork } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { connect, type LookupFunction } from 'node:net';
import path from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { expect, onTestFinished, test } from 'vitest';
import { parseReference } from '../../src/oci/index.ts';
import { TransportFault, transportFault } from '../../src/registry/transport-fault.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { descriptorOf, newCertsDir, newClient } from './fixtures.ts';

/** A server in a process of its own, whose queue of connections is full until it is woken up. */
async function newSleepingServer(): Promise<{ port: number; wake: () => void }> {
  const script = path.join(await temporaryFolder(), 'server.mjs');
  await writeFile(
    script,
    `import { createServer } from 'node:http';
     const server = createServer((_, response) => response.writeHead(404).end());
     server.listen({ port: 0, host: '127.0.0.1', backlog: 1 }, () => process.send(server.address().port));`,
  );
  const child = fork(script);
  const ended = once(child, 'exit');
  const fillers: ReturnType<typeof connect>[] = [];
  onTestFinished(async () => {
    for (const filler of fillers) filler.destroy();
    child.kill('SIGKILL');
    await ended;
  });
  const [port] = (await once(child, 'message')) as [number];
  child.kill('SIGSTOP');
  for (let count = 0; count < 5; count += 1) fillers.push(connect(port, '127.0.0.1').on('error', () => {}));
  await setTimeout(100);
  return { port, wake: () => child.kill('SIGCONT') };
}

test('of two addresses, a slow one is waited for when the other cannot be reached', async () => {
  const server = await newSleepingServer();
  const registry = `registry.test:${server.port}`;
  const certsDir = await newCertsDir({ [`${registry}/hosts.toml`]: `server = "http://${registry}"\n` });
  const lookup: LookupFunction = (_, __, callback) => {
    callback(null, [
      { address: '127.0.0.1', family: 4 },
      { address: '::1', family: 6 }, // nobody listens there
    ]);
  };
  const { client } = newClient({ certsDirs: [certsDir], lookup, retry: { attempts: 1 } });
  const asked = client.hasBlob(parseReference(`${registry}/app`), descriptorOf(Buffer.from('x')));
  const [found] = await Promise.all([asked, setTimeout(500).then(server.wake)]);
  expect(found).toBe(false);
}, 20_000);

test('of the failures of several addresses, that of one which could be reached is told', () => {
  const failure = (code: string) => Object.assign(new Error(code), { code });
  const fault = (...codes: string[]) => transportFault(new AggregateError(codes.map(failure)));
  expect(fault('ENETUNREACH', 'ECONNREFUSED').message).toBe('it refused the connection');
  expect(fault('EADDRNOTAVAIL', 'ETIMEDOUT').kind).toBe('timeout');
  expect(fault('ENETUNREACH', 'ENETUNREACH')).toMatchObject({ message: 'its network is unreachable' });
  expect(fault('ENETUNREACH')).toBeInstanceOf(TransportFault);
});
