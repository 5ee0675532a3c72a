import { appendFile, chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { buildDemoImage, pushDemoImage } from '../../../src/cli/demo-images/index.ts';
import { type AccessRecord, type Registry, startRegistry } from '../../../src/distribution/index.ts';
import { parseReference } from '../../../src/oci/index.ts';
import { RegistryClient } from '../../../src/registry/index.ts';
import { userNamespaceSupport } from '../../../src/runtime/user-namespace.ts';
import { openStore } from '../../../src/store/index.ts';
import { type LadingResult, runLading } from '../../support/lading-process.ts';

const needsNamespace = process.geteuid?.() !== 0;
const support = needsNamespace ? userNamespaceSupport() : { ok: true as const };
const skipReason = support.ok ? '' : ` (skipped: ${support.reason})`;

const older = buildDemoImage({ name: 'img1', version: '1.0.0' });
const newer = buildDemoImage({ name: 'img1', version: '1.0.1' });

describe.skipIf(!support.ok)(`images of a node, through a real registry${skipReason}`, () => {
  const requests: AccessRecord[] = [];
  let folder: string;
  let registry: Registry;
  let client: RegistryClient;
  let root: string;
  let repository: string;
  let image: string;

  const lading = (...args: readonly string[]): Promise<LadingResult> => runLading(['--root', root, ...args]);
  const json = async (...args: readonly string[]) => {
    const { exitCode, stdout, stderr } = await lading(...args);
    expect([exitCode, stderr]).toEqual([0, '']);
    return JSON.parse(stdout);
  };
  const push = (tag: string, built: typeof older) =>
    pushDemoImage(client, parseReference(`${repository}:${tag}`), built);

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'lading-cli-images-'));
    registry = await startRegistry({
      root: join(folder, 'registry'),
      onRequest: (request) => requests.push(request),
    });
    client = new RegistryClient();
    repository = `${registry.address}/img1`;
    image = `${repository}:latest`;
  });
  afterAll(async () => {
    await client?.close();
    await registry?.close();
    await rm(folder, { recursive: true, force: true });
  });
  beforeEach(async () => {
    root = await mkdtemp(join(folder, 'node-'));
    await push('latest', older);
    requests.length = 0;
  });

  test('pull says what was downloaded and what was there already', async () => {
    const dryRun = await lading('pull', '--dry-run', repository);
    expect(dryRun.stdout).toMatch(
      /^(\S+) is (\S+)\nLAYER +SIZE +STATE +TO FETCH\n(\S+ +\S+ +to fetch +\S+\n){2}Would fetch 2 layers, 7\.73kB\.\n$/,
    );
    expect((await lading('images')).stderr).toBe(`No images on this node (${root}).\n`);

    const first = await lading('pull', repository);
    expect(first.exitCode).toBe(0);
    expect(first.stdout.split('\n')).toEqual([
      image,
      `  digest     ${older.digest}`,
      `  image id   ${older.imageId}`,
      expect.stringMatching(/^ {2}platform {3}linux\/(amd64|arm64(\/v8)?)$/),
      '  layers     2 downloaded (7.73kB)',
      '',
    ]);
    const lines = first.stderr.trimEnd().split('\n');
    for (const state of ['downloading', 'verifying', 'unpacking', 'done']) {
      expect(lines.filter((line) => line.startsWith(`${image}  `) && line.includes(`  ${state}  `))).toHaveLength(2);
    }

    requests.length = 0;
    const warm = await lading('pull', repository);
    expect(warm.stderr).toBe('');
    expect(warm.stdout).toContain('  layers     2 already there, nothing downloaded\n');
    expect(requests.map(({ method }) => method)).toEqual(['HEAD']);
  });

  test('a tag that has moved: pull says from where, history keeps both, images lists both', async () => {
    await lading('pull', repository);
    await push('latest', newer);
    const { stdout } = await lading('pull', repository);
    expect(stdout).toContain(`  digest     ${newer.digest}\n  before     ${older.digest}, since `);
    expect(stdout).toContain('  layers     1 downloaded (2.07kB), 1 already there\n');

    const history = await json('history', repository, '-o', 'json');
    expect(history).toMatchObject([
      { digest: newer.digest, imageId: newer.imageId },
      { digest: older.digest, imageId: older.imageId, until: expect.any(String) },
    ]);
    const table = (await lading('history', repository)).stdout.split('\n');
    expect(table[0]).toMatch(/^CURRENT {3}DIGEST +FIRST SEEN +LAST SEEN +PULLED BY +RAN BY$/);
    expect(table[1]).toMatch(
      new RegExp(`^\\* +${newer.digest.slice(0, 19)} +\\d{4}-\\S+Z \\(.*\\) +\\S+Z \\(.*\\) +lading pull$`),
    );
    expect(table[2]).toMatch(new RegExp(`^ +${older.digest.slice(0, 19)} `));

    const rows = (await lading('images', '--no-headers')).stdout.trimEnd().split('\n');
    expect(rows.map((row) => row.split(/ {3,}/).slice(0, 4))).toEqual([
      [repository, 'latest', newer.digest.slice(7, 19), newer.imageId.slice(7, 19)],
      [repository, '<none>', older.digest.slice(7, 19), older.imageId.slice(7, 19)],
    ]);
  });

  test('pull in other forms: quiet, as a document, with -v, several', async () => {
    expect(await lading('pull', '-q', repository)).toEqual({ exitCode: 0, stdout: `${older.digest}\n`, stderr: '' });
    expect(await json('pull', '-o', 'json', repository)).toMatchObject({
      name: image,
      digest: older.digest,
      imageId: older.imageId,
      layers: 2,
      layersFetched: 0,
      bytesFetched: 0,
    });
    const { stderr } = await lading('-v', 'pull', repository);
    expect(stderr).toMatch(new RegExp(`^HEAD ${registry.address}/v2/img1/manifests/latest 200 \\d+ms 0B\n$`));
    const several = await lading('pull', '-q', `${repository}:missing`, repository);
    expect(several.exitCode).toBe(1);
    expect(several.stdout).toBe(`${older.digest}\n`);
    expect(several.stderr).toMatch(/^error: .*missing.*\nhint: /);
  });

  test('images in all formats', async () => {
    await lading('pull', '-q', repository);
    const [row, ...more] = await json('images', '-o', 'json');
    expect(more).toEqual([]);
    expect(row).toMatchObject({
      name: image,
      repository,
      tag: 'latest',
      digest: older.digest,
      imageId: older.imageId,
      layers: 2,
    });
    expect(row.size).toBe(older.manifest.length + older.blobs.reduce((sum, { bytes }) => sum + bytes.length, 0));
    expect((await lading('images', '-q')).stdout).toBe(`${older.imageId}\n`);
    expect((await lading('images', repository, '-q')).stdout).toBe(`${older.imageId}\n`);
    expect((await lading('images', `${repository}:other`)).stderr).toContain('No images of');
    const [headers] = (await lading('images', '-o', 'wide')).stdout.split('\n');
    expect(headers!.split(/ {3,}/)).toEqual(
      'REPOSITORY,TAG,DIGEST,IMAGE ID,SIZE,PULLED,CHECKED,PLATFORM,LAYERS'.split(','),
    );
    const { stdout } = await lading('__complete', '--', '--root', root, 'inspect', registry.address);
    expect(stdout).toBe(`${image}\t\n`);
  });

  test('inspect tells everything: names, digests, configuration, layers, history', async () => {
    await lading('pull', '-q', repository);
    const document = await json('inspect', repository);
    expect(document).toMatchObject({
      id: older.imageId,
      names: [{ name: image, target: { digest: older.digest }, history: [{ digest: older.digest }] }, {}],
      manifest: { digest: older.digest },
      config: { digest: older.imageId, defaults: { Entrypoint: ['/img1'] } },
      layers: older.blobs.slice(1).map(({ descriptor }) => ({ ...descriptor, stored: true, unpacked: true })),
    });
    expect((await readFile(join(document.layers[1].dir, 'img1'))).subarray(0, 4).toString('latin1')).toBe('\x7fELF');
    expect(await json('inspect', older.imageId.slice(7, 15))).toEqual(document);
    expect(await json('inspect', repository, older.imageId)).toEqual([document, document]);
    const some = await lading('inspect', 'none', repository);
    expect([some.exitCode, JSON.parse(some.stdout)]).toEqual([1, [document]]);
    expect(some.stderr).toContain('error: no image "none" on this node');
    const { stdout } = await lading('inspect', '-o', 'yaml', repository);
    expect(stdout).toMatch(new RegExp(`^id: ${older.imageId}\nnames:\n`));
  });

  describe('rmi', () => {
    test('removes the image with its last tag; what the name meant stays in the history', async () => {
      await push('other', older);
      await lading('pull', '-q', repository, `${repository}:other`);
      const first = await lading('rmi', repository);
      expect(first.stdout).toBe(`Untagged: ${image}\n`);
      expect(first.stderr).toBe(`image ${older.imageId.slice(7, 19)} stays, it is also ${repository}:other\n`);
      const second = await lading('rmi', `${repository}:other`);
      expect(second.stdout).toMatch(
        new RegExp(
          `^Untagged: ${repository}:other\nUntagged: ${repository}@${older.digest}\nDeleted: ${older.imageId} \\(.* freed\\)\n$`,
        ),
      );
      expect(await json('images', '-o', 'json')).toEqual([]);
      expect(await json('df', '-o', 'json')).toMatchObject([
        { type: 'blobs', count: 0 },
        { type: 'layers', count: 0 },
        {},
        {},
        {},
        {},
        {},
        {},
      ]);
      expect(await json('history', repository, '-o', 'json')).toMatchObject([{ digest: older.digest }]);
    });

    test('an id with several names needs --force', async () => {
      await push('other', older);
      await lading('pull', '-q', repository, `${repository}:other`);
      const refused = await lading('-v', 'rmi', older.imageId);
      expect(refused.exitCode).toBe(1);
      expect(refused.stderr).toContain(`2 names mean it: ${image}, ${repository}:other`);
      expect(refused.stderr).toContain('code: ERR_LADING_IMAGE_HAS_NAMES');
      expect((await lading('rmi', '--force', older.imageId)).stdout).toContain(`Deleted: ${older.imageId}`);
    });

    test('an image in use needs --force, and its files go when it is not in use any more', async () => {
      await lading('pull', '-q', repository);
      const store = await openStore(root);
      const lease = store.leases.acquire({ images: [older.imageId] });
      try {
        const refused = await lading('-v', 'rmi', repository);
        expect(refused.exitCode).toBe(1);
        expect(refused.stderr).toContain('code: ERR_LADING_IMAGE_IN_USE');
        const forced = await lading('rmi', '--force', repository);
        expect(forced.exitCode).toBe(0);
        expect(forced.stdout).not.toContain('Deleted');
        expect(forced.stderr).toContain('is in use');
        expect(store.layers.list()).toHaveLength(2);
      } finally {
        lease.release();
        store.close();
      }
      const dryRun = await lading('gc', '--dry-run');
      expect(dryRun.stdout).toMatch(
        /^KIND +ID\nimage +sha256:\S+\n(layer +\S+\n){2}(blob +\S+\n){4}Would free .*\.\n$/,
      );
      expect((await lading('gc')).stdout).toBe(dryRun.stdout.replace('Would free', 'Freed'));
      expect((await lading('gc')).stdout).toBe('Freed 0B.\n');
    });

    test('one that is not there does not keep the others', async () => {
      await lading('pull', '-q', repository);
      const { exitCode, stdout, stderr } = await lading('rmi', 'missing', repository);
      expect(exitCode).toBe(1);
      expect(stdout).toContain(`Deleted: ${older.imageId}`);
      expect(stderr).toMatch(/^error: no image "missing" on this node .*\nhint: .*\n$/);
    });
  });

  describe('check', () => {
    test('finds nothing on a good node', async () => {
      await lading('pull', '-q', repository);
      const { exitCode, stdout, stderr } = await lading('check');
      expect([exitCode, stderr]).toEqual([0, '']);
      const rows = stdout
        .trimEnd()
        .split('\n')
        .map((line) => line.split(/ {2,}/));
      expect(rows.map((row) => row.slice(0, 3))).toEqual([
        ['STEP', 'CHECKED', 'FOUND'],
        ['database', '1', '0'],
        ['blobs', '4', '0'],
        ['layers', '2', '0'],
        ['fix-ups', '0', '0'],
        ['images', '1', '0'],
        ['names', '2', '0'],
        ['leftovers', '0', '0'],
      ]);
      for (const [, , , time] of rows.slice(1)) expect(time).toMatch(/^\d+(\.\d+)?m?s$/);
    });

    test('finds damage, and --repair puts it right', async () => {
      await lading('pull', '-q', repository);
      const { layers } = await json('inspect', repository);
      await writeFile(join(layers[0].dir, 'etc', 'passwd'), 'evil');
      const blob = join(root, 'blobs', ...layers[1].digest.split(':'));
      await chmod(blob, 0o644);
      await appendFile(blob, 'x');
      await rm(join(root, 'blobs', ...older.digest.split(':')));

      const found = await lading('check');
      expect(found.exitCode).toBe(1);
      expect(found.stdout).toContain(`${layers[0].diffId} differs from what was unpacked: etc/passwd: `);
      expect(found.stdout).toContain(
        `${layers[1].digest} has ${layers[1].size + 1} bytes instead of ${layers[1].size}\n`,
      );
      expect(found.stdout).toContain(`${older.digest} is missing\n`);
      expect(found.stderr).toBe(
        `error: 3 problems on this node (${root})\n` +
          'hint: `lading check --repair` fetches and unpacks again what is damaged.\n',
      );
      expect((await lading('check', '--quick', '-o', 'json')).stdout).not.toContain('differs');

      const repaired = await lading('check', '--repair');
      expect([repaired.exitCode, repaired.stderr]).toEqual([0, '']);
      expect(repaired.stdout.match(/\(repaired\)/g)).toHaveLength(3);
      expect((await lading('check')).exitCode).toBe(0);
      expect(await readFile(join(layers[0].dir, 'etc', 'passwd'), 'utf8')).toMatch(/^root:/);
    });
  });

  test('df counts what is there', async () => {
    await lading('pull', '-q', repository);
    const { stdout } = await lading('df');
    expect(stdout).toMatch(
      /^TYPE +COUNT +SIZE +RECLAIMABLE\nblobs +4 +8\.87kB +0B\nlayers +2 +\S+ +0B\ningests +0 +0B +0B\ndatabase +1 /,
    );
  });
});
