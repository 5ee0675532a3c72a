/** The package as npm makes it: installed into an empty folder, its command and its modules work. */
import { execFile, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { busyboxMissing } from '../support/busybox.ts';
import { pushBusyboxImage } from '../support/busybox-image.ts';
import { dockerRegistryMissing, startDockerRegistry } from '../support/docker-registry.ts';
import { programMissing } from '../support/foreign-clients.ts';
import { type InstalledPackage, installPackage, shellEnvironment } from '../support/installed-package.ts';
import type { LadingResult } from '../support/lading-process.ts';
import { manifestText, pod } from '../support/manifest.ts';
import { whyNot } from '../support/runtimes.ts';

const missing = programMissing('npm');
const cannotRun = dockerRegistryMissing ?? busyboxMissing ?? programMissing('skopeo') ?? (await whyNot('embedded'));
/** Two downloads of all packages, at most. */
const installTimeoutMs = 500_000;

interface PackageJson {
  readonly version: string;
  readonly exports: Readonly<Record<string, string | { readonly types: string; readonly default: string }>>;
}

describe.skipIf(missing)(`the package${missing ? ` (skipped: ${missing})` : ''}`, () => {
  let folder: string;
  let outcome: Awaited<ReturnType<typeof installPackage>>;
  let packageJson: PackageJson;
  beforeAll(async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'lading-e2e-package-'));
    outcome = await installPackage(folder);
    packageJson = JSON.parse(await readFile(new URL('../../package.json', import.meta.url), 'utf8'));
  }, installTimeoutMs);
  afterAll(() => rm(folder, { recursive: true, force: true }));

  function installed(skip: (reason: string) => void): InstalledPackage {
    if ('missing' in outcome) skip(outcome.missing);
    return outcome as InstalledPackage;
  }

  /** Runs a program in the folder where the package is installed. */
  async function run(
    at: InstalledPackage,
    [program, ...args]: string[],
    options: { stdin?: string; node?: string } = {},
  ) {
    const { stdin = '', node = process.execPath } = options;
    const { PATH: searchPath, ...environment } = shellEnvironment();
    const env = { ...environment, PATH: `${path.dirname(node)}${path.delimiter}${searchPath}` };
    return new Promise<LadingResult>((resolve) => {
      const child = execFile(program!, args, { cwd: at.folder, env, timeout: 50_000 }, (_, stdout, stderr) => {
        resolve({ exitCode: child.exitCode, stdout, stderr });
      });
      child.stdin!.on('error', () => {}).end(stdin);
    });
  }
  const npx = ['npx', '--no-install', 'lading'];
  const bin = (at: InstalledPackage) => path.join(at.folder, 'node_modules/.bin/lading');

  test('has what it needs and nothing else', ({ skip }) => {
    const { files } = installed(skip);
    const folders = new Set(files.map((file) => file.split('/')[0]));
    expect([...folders].sort()).toEqual(['LICENSE', 'README.md', 'bin', 'dist', 'docs', 'package.json']);
    for (const entry of Object.values(packageJson.exports).filter((each) => typeof each !== 'string')) {
      expect(files).toContain(entry.types.slice('./'.length));
      expect(files).toContain(entry.default.slice('./'.length));
    }
  });

  test('npx --no-install lading version', async ({ skip }) => {
    const { exitCode, stdout, stderr } = await run(installed(skip), [...npx, 'version']);
    expect([exitCode, stdout], stderr).toEqual([0, `lading ${packageJson.version}\n`]);
  });

  const ownNode = otherNode();
  test.skipIf(ownNode === undefined)('the same with a Node.js that is too old for it', async ({ skip }) => {
    const at = installed(skip);
    const { exitCode, stdout, stderr } = await run(at, [...npx, 'version', '-o', 'json'], { node: ownNode! });
    expect(exitCode, stderr).toBe(0);
    const { lading, node } = JSON.parse(stdout) as { lading: string; node: string };
    expect(lading).toBe(packageJson.version);
    expect(Number(/^v(\d+)/.exec(node)![1])).toBeGreaterThanOrEqual(24);
  });

  test('lading --help', async ({ skip }) => {
    const at = installed(skip);
    const { exitCode, stdout, stderr } = await run(at, [bin(at), '--help']);
    expect([exitCode, stderr]).toEqual([0, '']);
    for (const name of ['run', 'explain', 'pull', 'images', 'demo'])
      expect(stdout).toMatch(new RegExp(`^ {2}${name} `, 'm'));
  });

  test('its program imports nothing as an ES module, which only modules of Node.js can', async ({ skip }) => {
    const program = path.join(installed(skip).folder, 'node_modules/lading/dist/program');
    for (const name of await readdir(program)) {
      const code = (await readFile(path.join(program, name), 'utf8')).replace(/\/\*[\s\S]*?\*\/|^\s*\/\/.*$/gm, '');
      expect(code.match(/(?<![\w.$])import\(.*/)?.[0], name).toBeUndefined();
    }
  });

  test('lading demo', async ({ skip }) => {
    const at = installed(skip);
    const { exitCode, stdout, stderr } = await run(at, [bin(at), 'demo']);
    expect(exitCode, stdout + stderr).toBe(0);
    expect(stdout).toContain('What is "local"?');
  });

  test.skipIf(cannotRun)(
    `pulls and runs a pod with the embedded runtime${cannotRun ? ` (skipped: ${cannotRun})` : ''}`,
    async ({ skip }) => {
      const at = installed(skip);
      const registry = await startDockerRegistry();
      try {
        const { name } = await pushBusyboxImage(registry.address, 'app:1', { version: 'from the package' });
        const stdin = manifestText(pod('web', [{ name: 'main', image: name }]));
        const root = path.join(folder, 'node');
        const args = ['--root', root, 'run', '--runtime', 'embedded', '-'];
        const { exitCode, stdout, stderr } = await run(at, [bin(at), ...args], { stdin });
        expect([exitCode, stdout], stderr).toEqual([0, '[web/main] from the package\n']);
        expect((await run(at, [bin(at), '--root', root, 'check'])).exitCode).toBe(0);
        const archive = path.join(folder, 'app.tar');
        expect(await run(at, [bin(at), '--root', root, 'save', name, '-o', archive])).toMatchObject({ exitCode: 0 });
        const other = await run(at, [bin(at), '--root', root, 'explain', '--diff', '--node', root, name]);
        expect([other.exitCode, other.stderr], other.stdout).toEqual([0, '']);
      } finally {
        await registry.close();
      }
    },
  );

  test('its modules resolve and work together', async ({ skip }) => {
    const script = `
      import assert from 'node:assert/strict';
      import { mkdtempSync } from 'node:fs';
      import { digestOf, formatReference, mediaTypes, parseReference, pullReference } from 'lading/oci';
      import { decidePull, defaultPullPolicy, explain } from 'lading/policy';
      import { RegistryClient } from 'lading/registry';
      import { openStore } from 'lading/store';
      import { startRegistry } from 'lading/distribution';

      assert.equal(formatReference(pullReference(parseReference('nginx'))), 'docker.io/library/nginx:latest');
      assert.equal(defaultPullPolicy('nginx').policy, 'Always');
      assert.equal(decidePull({ policy: 'Never', present: false }).error, 'ErrImageNeverPull');
      assert.equal(explain({ image: 'nginx:1', registry: { asked: false } }).policy, 'IfNotPresent');

      const folder = mkdtempSync(process.argv[1] + '/modules-');
      const registry = await startRegistry({ root: folder + '/registry' });
      const client = new RegistryClient();
      const reference = parseReference(registry.address + '/app:1');
      const blob = (mediaType, text) => ({ mediaType, digest: digestOf(Buffer.from(text)), size: text.length });
      await client.pushBlob(reference, blob(mediaTypes.ociConfig, '{}'), () => Buffer.from('{}'));
      const manifest = { schemaVersion: 2, mediaType: mediaTypes.ociManifest, config: blob(mediaTypes.ociConfig, '{}'), layers: [] };
      const bytes = Buffer.from(JSON.stringify(manifest));
      const digest = await client.pushManifest(reference, bytes, mediaTypes.ociManifest);
      assert.equal((await client.resolve(reference)).descriptor.digest, digest);

      const store = await openStore(folder + '/node');
      await store.blobs.put(bytes);
      assert.deepEqual(await store.blobs.read(digest, { maxBytes: 1000 }), bytes);
      store.close();
      await client.close();
      await registry.close();
      console.log('done');
    `;
    const command = [process.execPath, '--input-type=module', '--eval', script, folder];
    const { exitCode, stdout, stderr } = await run(installed(skip), command);
    expect([exitCode, stdout], stderr).toEqual([0, 'done\n']);
  });

  // The build changes how undici takes bodies in.
  test('its client gets bodies as they are, in whichever pieces and framing they come', async ({ skip }) => {
    const script = `
      import assert from 'node:assert/strict';
      import { createHash, randomBytes } from 'node:crypto';
      import { createServer } from 'node:http';
      import { setImmediate } from 'node:timers/promises';
      import { digestOf, parseReference } from 'lading/oci';
      import { RegistryClient } from 'lading/registry';

      const sizes = [1, 2, 4095, 4096, 65_537, 262_144, 1_048_576, 1_048_577, 3_000_000];
      const contents = Array.from({ length: 60 }, (_, index) => randomBytes(sizes[index % sizes.length] + (index >> 4)));
      const blobs = new Map(contents.map((bytes) => [digestOf(bytes), bytes]));
      let asked = 0;
      const server = createServer(async (request, response) => {
        const content = blobs.get(request.url.split('/').at(-1));
        const number = (asked += 1);
        if (number % 5 === 0) response.writeEarlyHints({ link: '</x>; rel=preload' });
        const framing = number % 3 === 0 ? { 'transfer-encoding': 'chunked' } : { 'content-length': content.length };
        response.writeHead(200, framing);
        const pieceBytes = [1 + (content.length >> 3), 1000 + (number % 7) * 30_000, content.length][number % 3];
        for (let at = 0; at < content.length; at += pieceBytes) {
          response.write(content.subarray(at, at + pieceBytes));
          if (number % 2) await setImmediate();
        }
        response.end();
      });
      await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
      const client = new RegistryClient();
      const reference = parseReference('127.0.0.1:' + server.address().port + '/app:1');
      const all = [...blobs];
      let received = 0;
      await Promise.all(Array.from({ length: 4 }, async () => {
        for (let next = all.shift(); next; next = all.shift()) {
          const [digest, { length: size }] = next;
          const { body } = await client.fetchBlob(reference, { mediaType: 'application/octet-stream', digest, size });
          const hash = createHash('sha256');
          for await (const chunk of body) hash.update(chunk);
          assert.equal('sha256:' + hash.digest('hex'), digest);
          received += 1;
        }
      }));
      await client.close();
      server.close();
      server.closeAllConnections();
      console.log(received);
    `;
    const command = [process.execPath, '--input-type=module', '--eval', script];
    const { exitCode, stdout, stderr } = await run(installed(skip), command);
    expect([exitCode, stdout], stderr).toEqual([0, '60\n']);
  });

  test('a strict compiler takes its types, without skipLibCheck', async ({ skip }) => {
    const at = installed(skip);
    const modules = Object.keys(packageJson.exports).filter((name) => !name.endsWith('.json'));
    const program = modules.map((name, index) => `export * as m${index} from '${name.replace('.', 'lading')}';\n`);
    await writeFile(path.join(at.folder, 'program.mts'), program.join(''));
    const inProject = (name: string) => fileURLToPath(new URL(`../../node_modules/${name}`, import.meta.url));
    const options = [
      '--strict',
      '--exactOptionalPropertyTypes',
      '--module',
      'nodenext',
      '--target',
      'es2024',
      '--noEmit',
    ];
    const types = ['--types', 'node', '--typeRoots', inProject('@types')];
    const compiler = [process.execPath, inProject('typescript/bin/tsc'), ...options, ...types, 'program.mts'];
    expect((await run(at, compiler)).stdout).toBe('');
  });

  test('its modules are those that it lists', async ({ skip }) => {
    const at = installed(skip);
    const script = `for (const name of process.argv.slice(1)) await import(name)`;
    const names = Object.keys(packageJson.exports).filter((name) => !name.endsWith('.json'));
    const modules = names.map((name) => name.replace('.', 'lading'));
    const { exitCode, stderr } = await run(at, [process.execPath, '--input-type=module', '--eval', script, ...modules]);
    expect(exitCode, stderr).toBe(0);
    expect(existsSync(path.join(at.folder, 'node_modules/lading/src'))).toBe(false);
  });
});

/** The `node` of this machine's PATH, if it is older than what Lading needs. */
function otherNode(): string | undefined {
  const { stdout } = spawnSync('node', ['-p', '[process.execPath, process.versions.node].join(" ")'], {
    encoding: 'utf8',
  });
  const [file, version] = (stdout ?? '').trim().split(' ');
  return file !== undefined && Number(version?.split('.')[0]) < 24 ? file : undefined;
}
