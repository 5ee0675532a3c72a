import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface, type Interface } from 'node:readline';
import { text } from 'node:stream/consumers';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { parseAddress } from '../../../src/cli/commands/registry.ts';
import { runLading, startLading } from '../../support/lading-process.ts';

let root: string;
let child: ChildProcess | undefined;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'lading-registry-command-'));
});
afterEach(async () => {
  child?.kill('SIGKILL');
  await rm(root, { recursive: true, force: true });
});

async function serve(...args: readonly string[]): Promise<string> {
  child = startLading(['--root', root, 'registry', 'serve', '--addr', '127.0.0.1:0', ...args]);
  const [line] = (await once(createInterface(child.stdout!), 'line')) as [string];
  return /^Registry at (http:\/\/127\.0\.0\.1:\d+), images in /.exec(line)![1]!;
}

test.each(['SIGINT', 'SIGTERM'] as const)('serves until %s, which is a clean end', async (signal) => {
  const url = await serve();
  expect((await fetch(`${url}/v2/`)).status).toBe(200);
  child!.kill(signal);
  expect(await once(child!, 'exit')).toEqual([0, null]);
});

test('-v prints a line for each request, without what a terminal would obey', async () => {
  const url = await serve('-v');
  await (await fetch(`${url}/v2/`, { headers: { 'user-agent': 'evil\tagent' } })).text();
  const lines: Interface = createInterface(child!.stderr!);
  const [line] = (await once(lines, 'line')) as [string];
  expect(line).toMatch(/^\d{4}-\S+Z GET \/v2\/ 200 \d+B \d+\.\dms evil agent$/);
});

test('an address that is taken is an error with a hint', async () => {
  const url = await serve();
  const { exitCode, stderr } = await runLading([
    '--root',
    join(root, 'b'),
    'registry',
    'serve',
    '--addr',
    new URL(url).host,
  ]);
  expect(exitCode).toBe(1);
  expect(stderr).toMatch(/^error: .*\nhint: /);
});

test('an address that others reach is warned of', async () => {
  child = startLading(['--root', root, 'registry', 'serve', '--addr', '0.0.0.0:0']);
  const stderr = text(child.stderr!);
  await once(createInterface(child.stdout!), 'line');
  child.kill('SIGINT');
  expect(await stderr).toMatch(/^warning: everybody who reaches .* can push and delete images\n$/);
});

test.each([
  ['127.0.0.1:5000', { host: '127.0.0.1', port: 5000 }],
  [':0', { host: '127.0.0.1', port: 0 }],
  ['localhost:80', { host: 'localhost', port: 80 }],
  ['[::1]:5000', { host: '::1', port: 5000 }],
])('%s is an address', (address, expected) => {
  expect(parseAddress(address)).toEqual(expected);
});

test.each(['', '5000', 'localhost', '127.0.0.1:', 'a:65536', 'a:b', '::1:5000', 'http://a:1'])(
  '%j is none',
  (address) => {
    expect(() => parseAddress(address)).toThrow(/is not an address/);
  },
);
