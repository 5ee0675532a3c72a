import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface, type Interface } from 'node:readline';
import { text } from 'node:stream/consumers';
import { hashSync } from 'bcryptjs';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { parseDuration, parseSize } from '../../../src/cli/option-values.ts';
import { parseAddress } from '../../../src/cli/registry-serve.ts';
import { digestOf } from '../../../src/oci/index.ts';
import { openStore } from '../../../src/store/index.ts';
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

test('durations and sizes', () => {
  expect(['90s', '1h30m', '0'].map(parseDuration)).toEqual([90_000, 5_400_000, 0]);
  expect(['1048576', '1k', '1.5M', '10Gi', '2GB', '3KiB'].map(parseSize)).toEqual([
    1_048_576,
    1000,
    1_500_000,
    10 * 2 ** 30,
    2e9,
    3072,
  ]);
  for (const text of ['', '5', '-1s', '1d', 'h']) expect(() => parseDuration(text)).toThrow(/time/);
  for (const text of ['', '-1', '1K', '1e3', 'G', '1 G']) expect(() => parseSize(text)).toThrow(/size/);
});

test.each([
  [['--layout', 'a', '--node'], /cannot be used with/],
  [['--node', '--max-blob-size', '1G'], /cannot be used with/],
  [['--node', '--gc-every', '1h'], /cannot be used with/],
  [['--repository', 'a'], /needs --layout and --read-only/],
  [['--layout', 'a', '--repository', 'a'], /needs --layout and --read-only/],
  [['--layout', 'a', '--read-only', '--repository', 'A b'], /"A b" is not the name of a repository/],
  [['--gc-grace', '1h'], /needs --gc-every/],
  [['--anonymous-pull'], /needs --htpasswd or --tokens/],
  [['--tls-cert', 'a'], /need each other/],
  [['--max-blob-size', 'much'], /size/],
  [['--max-uploads', '0'], /whole number/],
])('%j is wrong usage', async (args, message) => {
  const { exitCode, stderr } = await runLading(['--root', root, 'registry', 'serve', '--addr', '127.0.0.1:0', ...args]);
  expect([exitCode, stderr]).toEqual([2, expect.stringMatching(message)]);
});

test('a login is checked where everybody may pull, too', async () => {
  const users = join(root, 'users');
  await writeFile(users, `alice:${hashSync('right', 4)}\n`);
  const { host } = new URL(await serve('--htpasswd', users, '--anonymous-pull'));
  const config = join(root, 'docker', 'config.json');
  const login = (stdin: string) =>
    runLading(['login', host, '-u', 'alice', '--password-stdin'], {
      env: { DOCKER_CONFIG: join(root, 'docker') },
      stdin,
    });
  expect(await login('wrong')).toMatchObject({ exitCode: 1, stderr: expect.stringMatching(/^error: .* 401 /) });
  expect(existsSync(config)).toBe(false);
  expect(await login('right')).toMatchObject({ exitCode: 0, stderr: '' });
  expect(existsSync(config)).toBe(true);
});

test('an access log that cannot be written is named', async () => {
  const args = [
    '--root',
    root,
    'registry',
    'serve',
    '--addr',
    '127.0.0.1:0',
    '--access-log',
    join(root, 'none', 'log'),
  ];
  const { exitCode, stderr } = await runLading(args);
  expect([exitCode, stderr]).toEqual([1, expect.stringMatching(/^error: cannot write the access log: .*\nhint: /)]);
});

test('users, a size limit and an access log that is reopened on SIGHUP', async () => {
  const [users, log] = [join(root, 'users'), join(root, 'access.log')];
  await writeFile(users, `alice:${hashSync('secret', 4)}\n`);
  const options = ['--htpasswd', users, '--anonymous-pull', '--max-blob-size', '1k', '--access-log', log];
  const url = await serve(...options);
  const push = (headers: Record<string, string>, bytes: number) => {
    const body = Buffer.alloc(bytes);
    return fetch(`${url}/v2/a/blobs/uploads/?digest=${digestOf(body)}`, { method: 'POST', body, headers });
  };
  const authorization = `Basic ${Buffer.from('alice:secret').toString('base64')}`;
  expect((await push({}, 10)).status).toBe(401);
  expect((await push({ authorization }, 10)).status).toBe(201);
  expect((await push({ authorization }, 2000)).status).toBe(413);
  const lines = async () => (await readFile(log, 'utf8')).split('\n').filter((line) => line !== '');
  await vi.waitUntil(async () => (await lines()).length === 3);
  expect((await lines())[1]).toMatch(
    /^127\.0\.0\.1 - alice \[.*\] "POST \/v2\/a\/blobs\/uploads\/ HTTP\/1\.1" 201 0 "-" "node" [\d.]+$/,
  );
  await rename(log, `${log}.1`);
  child!.kill('SIGHUP');
  await vi.waitUntil(() => existsSync(log));
  expect((await fetch(`${url}/v2/`)).status).toBe(200);
  await vi.waitUntil(async () => (await lines()).length === 1);
});

test('gc says what would go, then removes it, beside the registry that serves', async () => {
  const url = await serve();
  const body = Buffer.alloc(1000, 'blob');
  const digest = digestOf(body);
  await fetch(`${url}/v2/a/blobs/uploads/?digest=${digest}`, { method: 'POST', body });
  const gc = (...args: string[]) => runLading(['--root', root, 'registry', 'gc', ...args]);
  expect((await gc()).stdout).toBe('Freed 0B.\n');
  expect((await gc('--dry-run', '--grace', '0')).stdout).toBe(`KIND   ID\nblob   ${digest}\nWould free 1kB.\n`);
  expect((await fetch(`${url}/v2/a/blobs/${digest}`)).status).toBe(200);
  const report = JSON.parse((await gc('--grace', '0', '-o', 'json')).stdout);
  expect(report).toEqual({ manifests: [], blobs: [digest], uploads: 0, freedBytes: 1000 });
  expect((await fetch(`${url}/v2/a/blobs/${digest}`)).status).toBe(404);
});

test('gc where there is no registry is an error with a hint', async () => {
  const { exitCode, stderr } = await runLading(['--root', join(root, 'none'), 'registry', 'gc']);
  expect([exitCode, stderr]).toEqual([1, expect.stringMatching(/^error: there is no registry in .*\nhint: /)]);
});

test('--node serves what the node has', async () => {
  const store = await openStore(root);
  const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, manifests: [] }));
  const digest = await store.blobs.put(bytes);
  const target = { mediaType: 'application/vnd.oci.image.index.v1+json', digest, size: bytes.byteLength };
  store.names.set('docker.io/library/app:1', { target, imageId: digest });
  store.close();
  const url = await serve('--node');
  expect(await (await fetch(`${url}/v2/_catalog`)).json()).toEqual({ repositories: ['library/app'] });
  const answer = await fetch(`${url}/v2/library/app/manifests/1`, { method: 'HEAD' });
  expect(answer.headers.get('docker-content-digest')).toBe(digest);
});

test('--layout keeps what is pushed in a layout, which gc cleans; with --read-only nothing is taken', async () => {
  const layout = join(root, 'images');
  const url = await serve('--layout', layout);
  const type = 'application/vnd.oci.image.index.v1+json';
  const push = (at: string, tag: string) => {
    const body = JSON.stringify({ schemaVersion: 2, mediaType: type, manifests: [], annotations: { tag } });
    const headers = { 'content-type': type };
    return fetch(`${at}/v2/team/app/manifests/${tag}`, { method: 'PUT', body, headers });
  };
  for (const tag of ['1', '2']) expect((await push(url, tag)).status).toBe(201);
  expect((await fetch(`${url}/v2/team/app/manifests/2`, { method: 'DELETE' })).status).toBe(202);
  const { stdout } = await runLading(['registry', 'gc', '--layout', layout, '--grace', '0']);
  expect(stdout).toMatch(/^KIND +ID\nmanifest +team\/app@sha256:\w{64}\nFreed \d+B\.\n$/);
  child!.kill('SIGINT');
  await once(child!, 'exit');
  const { manifests } = JSON.parse(await readFile(join(layout, 'index.json'), 'utf8'));
  expect(manifests).toMatchObject([{ annotations: { 'org.opencontainers.image.ref.name': 'team/app:1' } }]);
  const reading = await serve('--layout', layout, '--read-only', '--repository', 'mine');
  expect(await (await fetch(`${reading}/v2/mine/tags/list`)).json()).toEqual({ name: 'mine', tags: ['1'] });
  expect((await push(reading, '3')).status).toBe(405);
});

test('--tokens lets programs in', async () => {
  const tokens = join(root, 'tokens');
  await writeFile(tokens, `ci:${'c0ffee'.repeat(6)}\n`);
  const url = await serve('--tokens', tokens);
  expect((await fetch(`${url}/v2/`)).status).toBe(401);
  const headers = { authorization: `Bearer ${'c0ffee'.repeat(6)}` };
  expect((await fetch(`${url}/v2/`, { headers })).status).toBe(200);
});
