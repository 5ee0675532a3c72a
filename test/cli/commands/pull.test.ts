import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, request, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { buildDemoImage, pushDemoImage } from '../../../src/cli/demo-images/index.ts';
import { type Registry, startRegistry } from '../../../src/distribution/index.ts';
import { parseReference } from '../../../src/oci/index.ts';
import { RegistryClient } from '../../../src/registry/index.ts';
import { userNamespaceSupport } from '../../../src/runtime/user-namespace.ts';
import { runLading, startLading } from '../../support/lading-process.ts';

const support = process.geteuid?.() === 0 ? { ok: true as const } : userNamespaceSupport();
const skipReason = support.ok ? '' : ` (skipped: ${support.reason})`;
const image = buildDemoImage({ name: 'img1', version: '1.0.0' });
const [, base] = image.blobs;

describe.skipIf(!support.ok)(`lading pull${skipReason}`, () => {
  let folder: string;
  let registry: Registry;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'lading-cli-pull-'));
    registry = await startRegistry({ root: join(folder, 'registry') });
    const client = new RegistryClient();
    await pushDemoImage(client, parseReference(`${registry.address}/img1:latest`), image);
    await client.close();
  });
  afterAll(async () => {
    await registry?.close();
    await rm(folder, { recursive: true, force: true });
  });

  test('-o: a document for one image, an array for several, also when one cannot be pulled', async () => {
    const [known, unknown] = [`${registry.address}/img1`, `${registry.address}/none`];
    const pull = async (...args: string[]) => {
      const { exitCode, stdout } = await runLading(['--root', join(folder, 'documents'), 'pull', ...args]);
      return { exitCode, document: args.includes('yaml') ? parse(stdout) : JSON.parse(stdout) };
    };
    const document = expect.objectContaining({ name: `${known}:latest`, digest: image.digest });
    expect(await pull('-o', 'json', known)).toEqual({ exitCode: 0, document });
    expect(await pull('-o', 'yaml', known, known)).toEqual({ exitCode: 0, document: [document, document] });
    expect(await pull('-o', 'json', unknown, known)).toEqual({ exitCode: 1, document: [document] });
    expect(await pull('-o', 'json', '--dry-run', known, known)).toEqual({
      exitCode: 0,
      document: [document, document],
    });
  });

  test('Ctrl-C ends it at once; the next pull goes on where it was', async () => {
    const root = join(folder, 'interrupted');
    const sentBytes = 5000;
    const slow = await startStallingProxy(registry, base!.descriptor.digest, sentBytes);
    const address = `127.0.0.1:${(slow.address() as AddressInfo).port}`;
    try {
      const child = startLading(['--root', root, 'pull', `${address}/img1`]);
      const lines: string[] = [];
      for await (const line of createInterface(child.stderr!)) {
        lines.push(line);
        if (line.includes('  downloading  5.66kB')) child.kill('SIGINT');
      }
      if (child.exitCode === null) await once(child, 'exit');
      expect(child.exitCode).toBe(130);
      expect(lines.at(-1)).toBe('interrupted');
    } finally {
      slow.closeAllConnections();
      slow.close();
    }
    const { stdout } = await runLading(['--root', root, 'pull', '--dry-run', '-o', 'json', `${registry.address}/img1`]);
    const plan = JSON.parse(stdout);
    expect(plan.layers[0]).toMatchObject({ state: 'partial', bytesToFetch: base!.descriptor.size - sentBytes });
    const resumed = await runLading(['--root', root, 'pull', '-o', 'json', `${registry.address}/img1`]);
    expect(JSON.parse(resumed.stdout)).toMatchObject({ imageId: image.imageId, bytesFetched: plan.bytesToFetch });
  });

  test('an output that nobody reads ends it without a word', async () => {
    const child = startLading(['--root', join(folder, 'pipe'), 'pull', `${registry.address}/img1`]);
    child.stdout!.destroy();
    child.stderr!.destroy();
    const [exitCode] = (await once(child, 'exit')) as [number];
    expect([0, 141]).toContain(exitCode);
  });

  test('a name that is none is wrong usage, and nothing is pulled nor made', async () => {
    const root = join(folder, 'wrong');
    const { exitCode, stderr } = await runLading(['--root', root, 'pull', `${registry.address}/img1`, 'a b']);
    expect(exitCode).toBe(2);
    expect(stderr).toMatch(/^error: cannot read the image reference "a b": .*\nhint: /);
    expect(existsSync(root)).toBe(false);
  });

  test('a platform that is none is wrong usage, one that the image lacks a failure', async () => {
    const pull = (platform: string) =>
      runLading(['--root', join(folder, 'platform'), 'pull', '--platform', platform, `${registry.address}/img1`]);
    expect((await pull('linux/amd64/v1/x')).exitCode).toBe(2);
    expect((await pull('sail')).exitCode).toBe(2);
    const other = await pull('linux/s390x');
    expect(other.stderr).toMatch(/^(error|warning): .*s390x/);
  });

  const hasScript = spawnSync('script', ['--version']).status === 0;
  test.skipIf(!hasScript)('on a terminal the lines change in place (needs script of util-linux)', async () => {
    const main = fileURLToPath(new URL('../../../src/cli/main.ts', import.meta.url));
    const command = [process.execPath, main, '--root', join(folder, 'terminal'), 'pull', `${registry.address}/img1`];
    const child = spawn('script', ['-qec', `stty rows 24 cols 100; ${command.join(' ')}`, '/dev/null'], {
      stdio: ['ignore', 'pipe', 'inherit'],
      env: { ...process.env, TERM: 'xterm' },
    });
    const [stdout, [exitCode]] = await Promise.all([text(child.stdout), once(child, 'exit')]);
    expect(exitCode).toBe(0);
    const hideCursor = '\u001b[?25l';
    const showCursor = '\u001b[?25h';
    expect(stdout.split(hideCursor).length).toBeGreaterThan(1);
    expect(stdout.lastIndexOf(showCursor)).toBeGreaterThan(stdout.lastIndexOf(hideCursor));
    expect(stdout).toMatch(/ {2}b96065071f75 {2}done +5\.66kB/);
    expect(stdout).toContain(`  digest     ${image.digest}`);
  });
});

/** The registry, but one blob stops after some bytes: a network that stalls. */
async function startStallingProxy(registry: Registry, digest: string, sentBytes: number): Promise<Server> {
  const server = createServer((incoming, outgoing) => {
    const { method, url: path, headers } = incoming;
    const upstream = request({ port: registry.port, method, path, headers }, (answer) => {
      outgoing.writeHead(answer.statusCode!, answer.headers);
      if (!path!.endsWith(digest)) {
        answer.pipe(outgoing);
        return;
      }
      let sent = 0;
      answer.on('data', (chunk: Buffer) => {
        outgoing.write(chunk.subarray(0, Math.max(0, sentBytes - sent)));
        sent += chunk.length;
      });
    });
    upstream.on('error', () => outgoing.destroy());
    incoming.pipe(upstream);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return server;
}
