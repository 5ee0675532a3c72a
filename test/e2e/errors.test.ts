/** What goes wrong gives one clear error, a next step, the kubelet's reason where it has one, and an unchanged store. */
import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterAll, afterEach, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { type Digest, digestHex, mediaTypes } from '../../src/oci/index.ts';
import { busyboxMissing } from '../support/busybox.ts';
import { type PushedImage, pushBusyboxImage } from '../support/busybox-image.ts';
import { type DockerRegistry, dockerRegistryMissing, startDockerRegistry } from '../support/docker-registry.ts';
import { programMissing } from '../support/foreign-clients.ts';
import { type LadingResult, runLading } from '../support/lading-process.ts';
import { leftoversOf } from '../support/leftovers.ts';
import { manifestText, pod, shell } from '../support/manifest.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { describeTree } from '../support/tree.ts';

const missing = dockerRegistryMissing ?? busyboxMissing ?? programMissing('skopeo');

describe.skipIf(missing)(`errors of lading run${missing ? ` (skipped: ${missing})` : ''}`, () => {
  let registry: DockerRegistry;
  let image: PushedImage;
  let root: string;
  let images: string;

  const lading = (...args: string[]) => runLading(['--root', root, ...args]);
  const run = (text: string, ...options: string[]) =>
    runLading(['--root', root, 'run', ...options, '-'], { stdin: text });
  const runImage = (name: string, fields: object = {}) =>
    run(manifestText(pod('web', [{ name: 'main', image: name, ...fields }])));

  beforeAll(async () => {
    registry = await startDockerRegistry();
    image = await pushBusyboxImage(registry.address, 'app:1', { version: 'one' });
    root = await mkdtemp(path.join(tmpdir(), 'lading-e2e-errors-'));
    expect((await lading('pull', image.name)).exitCode).toBe(0);
    images = (await lading('images', '-o', 'json')).stdout;
  });
  afterAll(async () => {
    await rm(root, { recursive: true, force: true });
    await registry?.close();
  });
  afterEach(async () => {
    expect((await lading('images', '-o', 'json')).stdout).toBe(images);
    const { exitCode, stdout } = await lading('check');
    expect(exitCode, stdout).toBe(0);
    expect(leftoversOf(root)).toEqual([]);
  });

  describe('of the file', () => {
    const unsupported =
      /^standard input:13:26: spec\.containers\[0\]\.volumeMounts\[0\]\.mountPath: Lading does not mount volumes/;
    test.each<[what: string, container: object, error: string | RegExp]>([
      [
        'an unknown pull policy, in the words of the Kubernetes API',
        { imagePullPolicy: 'Sometimes' },
        'standard input:10:28: spec.containers[0].imagePullPolicy: Unsupported value: "Sometimes": supported values: "Always", "IfNotPresent", "Never"',
      ],
      [
        'a field that does not exist',
        { imagePulPolicy: 'Always' },
        'standard input:10:9: spec.containers[0].imagePulPolicy: unknown field; did you mean imagePullPolicy?',
      ],
      ['a value of another type', { command: 'true' }, /^standard input:10:20: spec\.containers\[0\]\.command: /],
      [
        'what the container needs and does not get',
        { volumeMounts: [{ name: 'data', mountPath: '/data' }] },
        unsupported,
      ],
    ])('%s', async (_, container, error) => {
      const containers = [{ ...container, name: 'main', image: image.name }];
      const document = { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'web' }, spec: { containers } };
      const said = expectOneError(await run(JSON.stringify(document, undefined, 2)));
      if (typeof error === 'string') expect(said.error).toBe(error);
      else expect(said.error).toMatch(error);
      expect(said.before, 'nothing was started').toEqual([]);
    });

    test('all problems of a file at once', async () => {
      const pods = pod('web', [{ name: 'Main', image: '' }], { restartPolicy: 'Sometimes' });
      const { error } = expectOneError(await run(manifestText(pods)));
      expect(error.split('\n')).toEqual([
        expect.stringContaining('spec.restartPolicy: Unsupported value: "Sometimes"'),
        expect.stringContaining('spec.containers[0].name: Invalid value: "Main"'),
        expect.stringContaining('spec.containers[0].image: Required value'),
      ]);
    });

    test('no file of that name', async () => {
      const { error } = expectOneError(await lading('run', 'nowhere.yaml'));
      expect(error).toBe('cannot read nowhere.yaml: there is no such file');
    });

    test('nothing in it', async () => {
      expect(expectOneError(await run('')).error).toBe('standard input asks for no pod');
    });
  });

  describe('of the image', () => {
    test('there is none of that name', async () => {
      const name = `${registry.address}/app:nothing`;
      const { error, hint, before } = expectOneError(await runImage(name));
      const answer = `Registry ${registry.address} answered 404 Not Found for the manifest app:nothing, asked without credentials: MANIFEST_UNKNOWN: manifest unknown`;
      expect(error).toBe(
        `pod web, container main does not start (ErrImagePull): rpc error: code = NotFound desc = ${answer}`,
      );
      expect(hint).toContain('Check the spelling of the tag; lading ls-tags REPOSITORY lists those that there are.');
      expect(before).toEqual(
        expect.arrayContaining([
          `web/main  Failed: Failed to pull image "${name}": rpc error: code = NotFound desc = ${answer}`,
          'web/main  Failed: Error: ErrImagePull',
        ]),
      );
    });

    test('Never, and it is not on this node', async () => {
      const name = `${registry.address}/app:absent`;
      const { error, hint, before } = expectOneError(await runImage(name, { imagePullPolicy: 'Never' }));
      const text = `Container image "${name}" is not present with pull policy of Never`;
      expect(error).toBe(`pod web, container main does not start (ErrImageNeverPull): ${text}`);
      expect(hint).toContain(`lading pull ${name}`);
      expect(before).toEqual(
        expect.arrayContaining([`web/main  ErrImageNeverPull: ${text}`, 'web/main  Failed: Error: ErrImageNeverPull']),
      );
    });

    test('a name that is none', async () => {
      const { error, before } = expectOneError(await runImage('Not/An Image'));
      const problem = 'couldn\'t parse image name "Not/An Image": invalid reference format';
      expect(error).toContain(
        `does not start (InvalidImageName): Failed to apply default image tag "Not/An Image": ${problem}`,
      );
      expect(before).toContain('web/main  Failed: Error: InvalidImageName');
    });

    test('it is for other platforms only', async () => {
      const platform = { os: 'linux', architecture: 's390x' };
      const other = await pushBusyboxImage(registry.address, 'other:s390x', { version: 'other', platform });
      const entry = { mediaType: mediaTypes.ociManifest, digest: other.manifest, size: other.manifestSize, platform };
      const index = { schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests: [entry] };
      await registry.putManifest('other', 'index', index, mediaTypes.ociIndex);
      const { error, hint } = expectOneError(await runImage(`${registry.address}/other:index`));
      expect(error).toMatch(/\(ErrImagePull\): no match for platform in manifest: .* it has linux\/s390x$/);
      expect(hint).toContain('Use an image that is built for this platform');
    });

    test('it says that it is for another platform: a warning', async () => {
      const platform = { os: 'linux', architecture: 's390x' };
      const { name } = await pushBusyboxImage(registry.address, 'other:alone', { version: 'other', platform });
      const stdin = manifestText(pod('web', [{ name: 'main', image: name }]));
      const elsewhere = await runLading(['--root', await temporaryFolder(), 'run', '-'], { stdin });
      expect([elsewhere.exitCode, elsewhere.stdout]).toEqual([0, '[web/main] other\n']);
      expect(elsewhere.stderr).toContain(`warning: ${name}: the image is for linux/s390x, not for linux/`);
    });

    test('a blob is not what its digest says', async () => {
      const { name, layers } = await pushBusyboxImage(registry.address, 'corrupt:1', { version: 'corrupt' });
      const { digest } = layers.at(-1)!;
      const bytes = await readFile(blobFile(registry, digest));
      await writeFile(blobFile(registry, digest), bytes.fill(0x55, bytes.length - 8));
      const { error, hint } = expectOneError(await runImage(name));
      expect(error).toContain(`(ErrImagePull): content of ${digest} has the digest sha256:`);
      expect(hint).toContain('nothing of it was kept');
      expect((await lading('images', '-q', name)).stdout).toBe('');
    });

    test('a command that the image does not have', async () => {
      const { error, hint } = expectOneError(await runImage(image.name, { command: ['/nothing'] }));
      expect(error).toMatch(/^pod web, container main does not start: .*\/nothing.*no such file or directory/);
      expect(hint).toContain('Is /nothing in the image');
    });
  });

  describe('of the registry: it is stopped', () => {
    beforeAll(() => registry.stop());
    afterAll(() => registry.start());

    test.each([
      ['Always, although the image is on this node', 'app:1', 'Always'],
      ['IfNotPresent, and it is not', 'app:2', 'IfNotPresent'],
    ])('%s', async (_, repository, imagePullPolicy) => {
      const name = `${registry.address}/${repository}`;
      const { error, hint } = expectOneError(await runImage(name, { imagePullPolicy }));
      expect(error).toBe(
        `pod web, container main does not start (RegistryUnavailable): image pull failed for ${name} because the registry is unavailable: No answer from registry ${registry.address} for the manifest ${repository}: it refused the connection`,
      );
      expect(hint).toContain('Check that the registry runs');
    });
  });

  describe('of the command line: exit code 2', () => {
    test.each([
      ['no file', ['run'], "missing required argument 'file'"],
      ['an unknown option', ['run', '--sail', '-'], "unknown option '--sail'"],
      ['an unknown runtime', ['run', '--runtime', 'docker', '-'], "'docker' is invalid"],
      ['a grace period in words', ['run', '--grace-period', 'long', '-'], "'long' is invalid"],
    ])('%s', async (_, args, message) => {
      const { error } = expectOneError(await lading(...args), { exitCode: 2 });
      expect(error).toContain(message);
    });
  });

  describe('of the disk', () => {
    test('it is full: the image does not fit', async ({ skip }) => {
      const small = await smallDisk(skip);
      const files = { noise: randomBytes(20_000_000) };
      const { name } = await pushBusyboxImage(registry.address, 'big:1', { version: 'big', files });
      const before = await filledNode(small);
      const text = manifestText(pod('web', [{ name: 'main', image: name }]));
      const { error, hint } = expectOneError(await runLading(['--root', small, 'run', '-'], { stdin: text }));
      expect(error).toMatch(
        /\(ErrImagePull\): cannot pull .*big:1: .*, [0-9.]+MB are needed, [0-9.]+.?B and [0-9]+ inodes are free$/,
      );
      expect(hint).toMatch(/^Free some space/);
      const dryRun = await runLading(['--root', small, 'pull', '--dry-run', name]);
      expect([dryRun.exitCode, dryRun.stderr]).toEqual([
        0,
        expect.stringMatching(/^warning: cannot pull .* are free\n$/),
      ]);
      await expectUnchanged(small, before);
    });

    test('it is full: what the image unpacks to does not fit', async ({ skip }) => {
      const small = await smallDisk(skip);
      const files = { zeros: Buffer.alloc(40_000_000) };
      const { name } = await pushBusyboxImage(registry.address, 'zeros:1', { version: 'zeros', files });
      const before = await filledNode(small);
      const text = manifestText(pod('web', [{ name: 'main', image: name }]));
      const { error, hint } = expectOneError(await runLading(['--root', small, 'run', '-'], { stdin: text }));
      expect(error).toMatch(
        /\(ErrImagePull\): layer sha256:[0-9a-f]{64}: the layer unpacks to more than the [0-9]+ bytes that are free on the disk of \S+$/,
      );
      expect(hint).toMatch(/^Free disk space/);
      await expectUnchanged(small, before);
    });

    /** An image and its pod work on it. */
    async function filledNode(small: string): Promise<string> {
      const text = manifestText(pod('web', [shell('main', image.name, 'cat /version')]));
      const { exitCode, stdout, stderr } = await runLading(['--root', small, 'run', '-'], { stdin: text });
      expect([exitCode, stdout], stderr).toEqual([0, '[web/main] one\n']);
      return (await runLading(['--root', small, 'images', '-o', 'json'])).stdout;
    }

    async function expectUnchanged(small: string, before: string): Promise<void> {
      expect((await runLading(['--root', small, 'images', '-o', 'json'])).stdout).toBe(before);
      expect((await runLading(['--root', small, 'check'])).exitCode).toBe(0);
      expect(await filledNode(small)).toBe(before);
    }

    test.each([
      [['run', '-']],
      [['explain', 'img1']],
      [['images']],
      [['pull', 'img1']],
      [['rmi', 'img1']],
      [['check']],
    ])('a newer Lading has written the store: lading %j', async (args) => {
      const newer = await temporaryFolder();
      const database = new DatabaseSync(path.join(newer, 'lading.db'));
      database.exec('PRAGMA user_version = 99');
      database.close();
      const before = describeTree(newer);
      const stdin = manifestText(pod('web', [{ name: 'main', image: image.name }]));
      const { error, hint } = expectOneError(await runLading(['--root', newer, ...args], { stdin }));
      expect(error).toMatch(/lading\.db has schema version 99, this program knows up to [0-9]+$/);
      expect(hint).toMatch(/^A newer version of Lading has written it/);
      expect(describeTree(newer)).toEqual(before);
    });

    test('the folder of a pod cannot be made', async () => {
      const broken = await temporaryFolder();
      await writeFile(path.join(broken, 'sandboxes'), '');
      const stdin = manifestText(pod('web', [{ name: 'main', image: image.name }]));
      const { error, hint } = expectOneError(await runLading(['--root', broken, 'run', '-'], { stdin }));
      expect(error).toMatch(/^pod web does not start: Failed to create pod sandbox: .*sandboxes/);
      expect(hint).toContain('--retry');
    });

    test('the root is a file', async () => {
      const file = path.join(await temporaryFolder(), 'file');
      await writeFile(file, '');
      const text = manifestText(pod('web', [{ name: 'main', image: image.name }]));
      const { error } = expectOneError(await runLading(['--root', file, 'run', '-'], { stdin: text }));
      expect(error).toContain(file);
    });
  });
});

interface SaidError {
  /** Without `error: `; a line for each problem of a file. */
  readonly error: string;
  readonly hint: string;
  /** What stood on stderr before it, warnings left out. */
  readonly before: readonly string[];
}

/** Nothing on stdout; on stderr one error and, as the last line, one hint. */
function expectOneError({ exitCode, stdout, stderr }: LadingResult, expected = { exitCode: 1 }): SaidError {
  expect([exitCode, stdout], stderr).toEqual([expected.exitCode, '']);
  const lines = stderr.trimEnd().split('\n');
  const at = lines.findIndex((line) => line.startsWith('error: '));
  const marked = lines.filter((line) => /^(error|hint): /.test(line));
  expect(marked, stderr).toEqual([expect.stringMatching(/^error: /), expect.stringMatching(/^hint: /)]);
  expect(lines.at(-1)).toBe(marked[1]);
  return {
    error: lines.slice(at, -1).join('\n').slice('error: '.length),
    hint: marked[1]!.slice('hint: '.length),
    before: lines.slice(0, at).filter((line) => !line.startsWith('warning: ')),
  };
}

function blobFile(registry: DockerRegistry, digest: Digest): string {
  const hex = digestHex(digest);
  return path.join(registry.dataFolder, 'docker/registry/v2/blobs/sha256', hex.slice(0, 2), hex, 'data');
}

/** A disk of a few megabytes of its own, for a node. */
async function smallDisk(skip: (reason: string) => void): Promise<string> {
  const folder = path.join(await temporaryFolder(), 'disk');
  await mkdir(folder);
  const { status, stderr } = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=16m', 'tmpfs', folder], {
    encoding: 'utf8',
  });
  if (status !== 0) skip(`a disk cannot be mounted: ${stderr.trim()}`);
  onTestFinished(() => void spawnSync('umount', [folder]));
  return folder;
}
