import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { mount, umount2, unmountFlags } from '../../../src/lib/libc.ts';
import { digestHex, digestOf, hostPlatform, mediaTypes } from '../../../src/oci/index.ts';
import { noise, pushImage, pushIndex, tarOf, testImage } from '../../pull/support/test-image.ts';
import { type DockerRegistry, dockerRegistryMissing, startDockerRegistry } from '../../support/docker-registry.ts';
import { podman, programMissing } from '../../support/foreign-clients.ts';
import { type LadingResult, runLading } from '../../support/lading-process.ts';

const shared = tarOf({ 'a/': '', 'a/one': noise(200_000, 1) });
const layers = [shared, tarOf({ version: '1' })];
const image = testImage({ layers });
/** The same blobs and the same configuration, so the same image, under another manifest; and in other blobs. */
const inOtherForm = testImage({ layers, layerMediaType: mediaTypes.dockerLayerGzip });
const recompressed = testImage({ layers, compress: (tar) => gzipSync(tar, { level: 1 }) });
/** The same content in other blobs: layers that are unpacked already are not fetched. */
const twin = testImage({ layers: [shared, tarOf({ version: '2' })], compress: (tar) => gzipSync(tar, { level: 1 }) });
const main = path.resolve(import.meta.dirname, '../../../src/cli/main.ts');
const isRoot = process.geteuid?.() === 0;
const missing = dockerRegistryMissing ?? (isRoot ? undefined : 'root, to unpack layers without a user namespace');

describe.skipIf(missing)(`images in and out of a node (needs: ${missing ?? 'nothing more'})`, () => {
  let registry: DockerRegistry;
  let folder: string;
  let at: string;

  beforeAll(async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'lading-cli-images-'));
    registry = await startDockerRegistry();
    at = registry.address;
    await pushImage(registry, 'app', '1', image);
    await pushImage(registry, 'app', '2', twin);
    await lading('node', 'pull', '-q', `${at}/app:1`, `${at}/app:2`);
  });
  afterAll(async () => {
    await registry?.close();
    await rm(folder, { recursive: true, force: true });
  });

  const rootOf = (node: string) => ['--root', path.join(folder, node)];

  async function lading(node: string, ...args: string[]): Promise<LadingResult> {
    const result = await runLading([...rootOf(node), ...args]);
    expect(result, result.stderr).toMatchObject({ exitCode: 0 });
    return result;
  }

  const imagesOf = async (node: string): Promise<object[]> =>
    JSON.parse((await lading(node, 'images', '-o', 'json')).stdout);

  test('tag, push, and what the registry has then', async () => {
    const name = `${at}/tagged/app:new`;
    expect((await lading('node', 'tag', `${at}/app:1`, name)).stdout).toBe(`${name}\n`);
    expect((await lading('node', 'push', '-q', name)).stdout).toBe(`${image.manifest.digest}\n`);
    const again = await lading('node', 'push', '-o', 'json', name);
    expect(JSON.parse(again.stdout)).toMatchObject({ name, digest: image.manifest.digest, blobs: 3, blobsWritten: 0 });
    expect((await lading('node', 'ls-tags', `${at}/tagged/app`)).stdout).toBe('new\n');
    await lading('node', 'rmi', name);
  });

  test('a push beside the original links what the registry has', async () => {
    const pushed = await lading('node', 'push', '-o', 'json', `${at}/app:2`, `${at}/twin:1`);
    expect(JSON.parse(pushed.stdout)).toMatchObject({ digest: twin.manifest.digest, blobs: 3, blobsWritten: 0 });
    expect((await lading('node', 'ls-tags', `${at}/twin`)).stdout).toBe('1\n');
  });

  test('of manifests with one configuration each name sends its own, if its blobs are stored', async () => {
    await pushImage(registry, 'app', 'other-form', inOtherForm);
    await pushImage(registry, 'app', 'recompressed', recompressed);
    await pushIndex(registry, 'app', 'index', [{ ...image.manifest, platform: hostPlatform() }]);
    const expected = {
      [`${at}/app:1`]: image.manifest.digest,
      [`${at}/app:index`]: image.manifest.digest,
      [`${at}/app:other-form`]: inOtherForm.manifest.digest,
    };
    const tags = Object.keys(expected);
    await lading('forms', 'pull', '-q', ...tags);
    expect(await imagesOf('forms')).toMatchObject(tags.map(() => ({ imageId: image.config.digest })));
    for (const [name, digest] of Object.entries(expected)) {
      expect((await lading('forms', 'push', '-q', name, `${at}/forms:1`)).stdout, name).toBe(`${digest}\n`);
    }
    await lading('forms', 'tag', `${at}/app:1`, `${at}/forms:2`);
    expect((await lading('forms', 'push', '-q', `${at}/forms:2`)).stdout).toBe(`${image.manifest.digest}\n`);
    await lading('forms', 'rmi', `${at}/forms:2`);
    const file = path.join(folder, 'forms.tar');
    await lading('forms', 'save', '-q', '-o', file, image.config.digest);
    await lading('forms-loaded', 'load', '-q', '-i', file);
    const loaded = (await imagesOf('forms-loaded')) as { name: string; digest: string }[];
    expect(Object.fromEntries(loaded.map(({ name, digest }) => [name, digest]))).toEqual(expected);
    await lading('forms', 'save', '-q', '--format', 'docker-archive', '-o', file, ...tags);
    const list = JSON.parse(execFileSync('tar', ['xOf', file, 'manifest.json'], { encoding: 'utf8' }));
    expect(list).toMatchObject([{ RepoTags: tags }]);
    await lading('forms', 'pull', '-q', `${at}/app:recompressed`);
    const { stdout } = await lading('forms', 'push', '-q', `${at}/app:recompressed`, `${at}/forms:3`);
    expect([image, inOtherForm].map(({ manifest }) => `${manifest.digest}\n`)).toContain(stdout);
  });

  test('a layer that came with another image is fetched before it is saved', async () => {
    const blob = path.join('blobs/sha256', digestHex(twin.layers[0]!.digest));
    expect(existsSync(path.join(folder, 'node', blob))).toBe(false);
    const file = path.join(folder, 'twin.tar');
    await lading('node', 'save', '-q', '-o', file, `${at}/app:2`);
    expect(execFileSync('tar', ['tf', file], { encoding: 'utf8' }).split('\n')).toContain(blob);
    expect(existsSync(path.join(folder, 'node', blob))).toBe(true);
  });

  const program = `"${process.execPath}" "${main}"`;

  test('what is on a disk that is read-only can be saved and pushed', async () => {
    const disk = path.join(folder, 'disk');
    await mkdir(disk);
    mount('tmpfs', disk, 'tmpfs', 0, 'size=100m');
    try {
      await lading('disk/node', 'pull', '-q', `${at}/app:1`);
      execFileSync('mount', ['-o', 'remount,ro', disk]);
      const saved = path.join(folder, 'saved.tar');
      await lading('disk/node', 'save', '-q', '-o', saved, `${at}/app:1`);
      await lading('rescued', 'load', '-q', '-i', saved);
      expect(await imagesOf('rescued')).toMatchObject([{ digest: image.manifest.digest }]);
      await lading('disk/node', 'push', '-q', `${at}/app:1`, `${at}/rescued/app:1`);
      expect((await lading('node', 'ls-tags', `${at}/rescued/app`)).stdout).toBe('1\n');
    } finally {
      umount2(disk, unmountFlags.detach);
    }
  });

  test('a reader of the archive that leaves ends the copy without a word, as it ends other tools', async () => {
    const copy = `${program} copy -q --all ${at}/app:1 oci-archive:/dev/stdout:app; echo "status $?" >&2`;
    const { stderr } = await runLading([], { command: ['sh', '-c', `(${copy}) | head -c 1 > /dev/null`] });
    expect(stderr).toMatch(/^status 141\n$/);
  });

  test('an archive on standard output has nothing behind it, the result is on stderr', async () => {
    const name = path.join(folder, 'on-stdout');
    const copyTo = async (redirection: string, args: string) => {
      const result = await runLading([], {
        command: ['sh', '-c', `${program} copy ${args} ${redirection} ${name}`],
        cwd: folder,
      });
      expect(result).toMatchObject({ exitCode: 0, stdout: '' });
      return result.stderr;
    };
    const listed = () => execFileSync('tar', ['tf', name], { encoding: 'utf8' }).split('\n');
    expect(await copyTo('>', `-q ${at}/app:1 oci-archive:-`)).toBe(`${image.manifest.digest}\n`);
    expect(listed()).toContain('index.json');
    expect((await readFile(name)).subarray(-1024)).toEqual(Buffer.alloc(1024));
    expect(await copyTo('| cat >', `${at}/app:1 docker-archive:/dev/stdout:app:1`)).toContain(image.manifest.digest);
    expect((await readFile(name)).subarray(-1024)).toEqual(Buffer.alloc(1024));
    // What is in the file stays.
    await writeFile(name, 'before');
    expect(JSON.parse(await copyTo('>>', `-o json ${at}/app:1 oci-archive:/dev/stdout`))).toMatchObject({ blobs: 3 });
    expect((await readFile(name)).subarray(0, 6).toString()).toBe('before');
    expect(existsSync(path.join(folder, '-'))).toBe(false);
  });

  test('an archive comes from standard input, and goes through', async () => {
    const copies = `${program} copy -q ${at}/app:1 oci-archive:- | ${program} copy -q oci-archive:- docker-archive:-:app:1`;
    const pipe = `${copies} | ${program} copy -q docker-archive:- oci:piped-layout`;
    const { exitCode, stdout } = await runLading([], { command: ['sh', '-c', pipe], cwd: folder });
    expect({ exitCode, stdout }).toMatchObject({ exitCode: 0, stdout: expect.stringMatching(/^sha256:\w{64}\n$/) });
    const { stderr } = await runLading(['-v', 'copy', 'oci-archive:-', 'oci:never'], { cwd: folder, stdin: 'x' });
    expect(stderr).toMatch(/archive on standard input cannot be used/);
  });

  test.skipIf(programMissing('script'))(
    `no archive is written to a terminal, none read from it (needs: ${programMissing('script') ?? 'nothing more'})`,
    async () => {
      const atTerminal = async (args: string) => {
        const command = `LADING_CONFIG=/dev/null ${program} ${rootOf('node').join(' ')} ${args}`;
        const { exitCode, stdout } = await runLading([], { command: ['script', '-qec', command, '/dev/null'] });
        return { exitCode, stdout };
      };
      const refused = { exitCode: 2, stdout: expect.stringContaining('an archive is not for the terminal') };
      expect(await atTerminal(`copy ${at}/app:1 oci-archive:-`)).toMatchObject(refused);
      expect(await atTerminal(`copy ${at}/app:1 docker-archive:/dev/stdout`)).toMatchObject(refused);
      expect(await atTerminal(`save ${at}/app:1`)).toMatchObject(refused);
      expect(await atTerminal(`save -o /dev/stdout ${at}/app:1`)).toMatchObject(refused);
      const other = { exitCode: 1, stdout: expect.stringContaining('cannot write /dev/tty: it is a terminal') };
      expect(await atTerminal(`save -o /dev/tty ${at}/app:1`)).toMatchObject(other);
      const typed = { exitCode: 2, stdout: expect.stringContaining('an archive cannot come from the terminal') };
      expect(await atTerminal(`copy oci-archive:- oci:${folder}/typed`)).toMatchObject(typed);
    },
  );

  test('a pipe from node to node keeps names and digests', async () => {
    const [from, to] = ['node', 'piped'].map((node) => `--root "${path.join(folder, node)}"`);
    const pipe = `${program} ${from} save -q ${at}/app:1 ${at}/app:2 | ${program} ${to} load -q`;
    const loaded = await runLading([], { command: ['sh', '-c', pipe] });
    expect(loaded).toMatchObject({ exitCode: 0, stdout: `${at}/app:1\n${at}/app:2\n`, stderr: '' });
    const inspected = JSON.parse((await lading('piped', 'inspect', '-o', 'json', `${at}/app:2`)).stdout);
    expect(JSON.stringify(inspected)).toContain(twin.manifest.digest);
    await lading('piped', 'check');
  });

  test('a load that is killed shows nothing, and is done by the next one', async () => {
    const plain = path.join(folder, 'killed.tar');
    await lading('node', 'save', '-q', '-o', plain, `${at}/app:1`);
    // A compressed archive is kept uncompressed while it is read.
    execFileSync('gzip', [plain]);
    const file = `${plain}.gz`;
    for (const point of ['blob-renamed', 'layer-published']) {
      const killed = await runLading([...rootOf(point), 'load', '-i', file], { env: { LADING_CRASH_AT: point } });
      expect(killed.exitCode).toBeNull();
      expect(await imagesOf(point)).toEqual([]);
      expect((await readdir(path.join(folder, point))).filter((name) => name.startsWith('.'))).toEqual([]);
      expect((await lading(point, 'load', '-q', '-i', file)).stdout).toBe(`${at}/app:1\n`);
      await lading(point, 'check');
    }
  });

  test('a save or copy that is killed leaves no file of that name', async () => {
    const file = path.join(folder, 'unfinished.tar');
    for (const args of [
      ['save', '-o', file, `${at}/app:1`],
      ['copy', `${at}/app:1`, `docker-archive:${file}`],
    ]) {
      const killed = await runLading([...rootOf('node'), ...args], { env: { LADING_CRASH_AT: 'archive-written' } });
      expect(killed.exitCode).toBeNull();
      expect(existsSync(file)).toBe(false);
    }
    for (const point of ['blob-synced', 'blob-published:2']) {
      const layout = path.join(folder, point.replace(':', '-'));
      await runLading(['copy', `${at}/app:1`, `oci:${layout}`], { env: { LADING_CRASH_AT: point } });
      expect(existsSync(path.join(layout, 'index.json'))).toBe(false);
      const { stdout } = await runLading(['copy', '-q', `${at}/app:1`, `oci:${layout}`]);
      expect(stdout).toBe(`${image.manifest.digest}\n`);
      expect((await readdir(layout)).sort()).toEqual(['blobs', 'index.json', 'oci-layout']);
    }
  });

  test.skipIf(programMissing('podman'))(
    `podman loads what was saved, and saves what is loaded (needs: ${programMissing('podman') ?? 'nothing more'})`,
    { timeout: 60_000 },
    async () => {
      const storage = path.join(folder, 'podman');
      for (const format of ['oci-archive', 'docker-archive']) {
        const file = path.join(folder, `${format}.tar`);
        await lading('node', 'tag', `${at}/app:1`, `app:${format}`);
        await lading('node', 'save', '-q', '--format', format, '-o', file, `app:${format}`);
        await podman(storage, 'load', '-q', '-i', file);
        const name = `docker.io/library/app:${format}`;
        expect((await podman(storage, 'image', 'inspect', '--format', '{{.Id}}', name)).trim()).toBe(
          image.config.digest.slice('sha256:'.length),
        );
        const back = path.join(folder, `${format}-back.tar`);
        await podman(storage, 'save', '-q', '--format', format, '-o', back, name);
        expect((await lading(`back-${format}`, 'load', '-q', '-i', back)).stdout).toBe(`${name}\n`);
        expect(await imagesOf(`back-${format}`)).toMatchObject([{ imageId: image.config.digest, name }]);
      }
      const several = path.join(folder, 'several.tar');
      await lading('node', 'tag', `${at}/app:1`, 'several:1');
      await lading('node', 'save', '-q', '-o', several, 'several:1', `${at}/app:1`, `${at}/app:2`);
      await podman(storage, 'load', '-q', '-i', several);
      for (const [name, { config }] of [
        ['docker.io/library/several:1', image],
        [`${at}/app:1`, image],
        [`${at}/app:2`, twin],
      ] as const) {
        const id = await podman(storage, 'image', 'inspect', '--format', '{{.Id}}', name);
        expect(id.trim()).toBe(digestHex(config.digest));
      }
    },
  );

  test('wrong usage says so', async () => {
    const fails = async (exitCode: number, code: string, ...args: string[]) => {
      const result = await runLading(['-v', ...rootOf('node'), ...args]);
      expect(result, args.join(' ')).toMatchObject({ exitCode, stderr: expect.stringContaining(`code: ${code}`) });
      return result;
    };
    await fails(2, 'ERR_LADING_USAGE', 'tag', `${at}/app:1`, `app@${digestOf('x')}`);
    await fails(2, 'ERR_LADING_USAGE', 'ls-tags', `${at}/app:1`);
    await fails(2, 'ERR_LADING_USAGE', 'rm-tag', `${at}/app`);
    await fails(2, 'ERR_LADING_LOCATION_INVALID', 'copy', 'oci:', 'x');
    await fails(1, 'ERR_LADING_IMAGE_UNKNOWN', 'save', 'nobody');
    await fails(1, 'ERR_LADING_ARCHIVE_INVALID', 'load');
    execFileSync('sh', ['-c', 'echo "[]" > manifest.json && tar cf empty.tar manifest.json'], { cwd: folder });
    const empty = await fails(1, 'ERR_LADING_ARCHIVE_IMAGE_UNKNOWN', 'load', '-i', path.join(folder, 'empty.tar'));
    expect(empty.stderr).toMatch(/empty.tar holds no image\n/);
    const { architecture } = hostPlatform();
    const elsewhere = `linux/${architecture === 'amd64' ? 'arm64' : 'amd64'}`;
    const both = await runLading(['copy', '--all', '--platform', elsewhere, `${at}/app:1`, `oci:${folder}/x`]);
    expect(both.exitCode).toBe(2);
  });

  test('a copy of an image for another platform than is asked for says so, as a pull does', async () => {
    const { os, architecture } = hostPlatform();
    const elsewhere = `linux/${architecture === 'amd64' ? 'arm64' : 'amd64'}`;
    const sentence = `the image is for ${os}/${architecture}, not for ${elsewhere}\n`;
    const copy = ['copy', '-o', 'json', '--platform', elsewhere, `${at}/app:1`, `${at}/elsewhere:1`];
    const { stdout, stderr } = await lading('node', ...copy);
    expect(stderr).toBe(`warning: ${at}/app:1: ${sentence}`);
    expect(JSON.parse(stdout)).toMatchObject({ digest: image.manifest.digest });
    expect((await lading('pulled', 'pull', '-q', '--platform', elsewhere, `${at}/app:1`)).stderr).toBe(stderr);
  });

  test('without its registry, a blob that was never fetched is named', async () => {
    await lading('offline', 'pull', '-q', `${at}/app:1`, `${at}/app:2`);
    await registry.stop();
    try {
      await lading('offline', 'save', '-q', '-o', path.join(folder, 'offline.tar'), `${at}/app:1`);
      const file = path.join(folder, 'never.tar');
      const result = await runLading(['-v', ...rootOf('offline'), 'save', '-o', file, `${at}/app:2`]);
      expect(result).toMatchObject({
        exitCode: 1,
        stderr: expect.stringMatching(/ERR_LADING_BLOB_NOT_FETCHED/),
      });
      expect(existsSync(file)).toBe(false);
    } finally {
      await registry.start();
    }
  });
});
