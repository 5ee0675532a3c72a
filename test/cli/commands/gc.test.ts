import { spawnSync } from 'node:child_process';
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { buildDemoImage, pushDemoImage } from '../../../src/cli/demo-images/index.ts';
import { type Registry, startRegistry } from '../../../src/distribution/index.ts';
import { parseReference } from '../../../src/oci/index.ts';
import { RegistryClient } from '../../../src/registry/index.ts';
import { userNamespaceSupport } from '../../../src/runtime/user-namespace.ts';
import { openStore } from '../../../src/store/index.ts';
import { runLading } from '../../support/lading-process.ts';

const support = process.geteuid?.() === 0 ? { ok: true as const } : userNamespaceSupport();
const skipReason = support.ok ? '' : ` (skipped: ${support.reason})`;

describe.skipIf(!support.ok)(`the collection of images by lading gc${skipReason}`, () => {
  let folder: string;
  let registry: Registry;
  let client: RegistryClient;
  let root: string;
  const [used, unused] = ['img1', 'img2'].map((name) => buildDemoImage({ name, version: '1.0.0' }));
  const names = () => ['img1', 'img2'].map((name) => `${registry.address}/${name}:1`) as [string, string];

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'lading-cli-gc-'));
    registry = await startRegistry({ root: join(folder, 'registry') });
    client = new RegistryClient();
    for (const [index, image] of [used!, unused!].entries()) {
      await pushDemoImage(client, parseReference(names()[index]!), image);
    }
  });
  afterAll(async () => {
    await client?.close();
    await registry?.close();
    await rm(folder, { recursive: true, force: true });
  });
  beforeEach(async () => {
    root = await mkdtemp(join(folder, 'node-'));
    expect((await lading('pull', '-q', ...names())).exitCode).toBe(0);
  });

  const lading = (...args: readonly string[]) => runLading(['--root', root, ...args]);
  const full = ['--kubelet-image-gc-high-threshold-percent', '1', '--kubelet-image-gc-low-threshold-percent', '0'];
  const neverFull = ['--kubelet-image-gc-high-threshold-percent', '100'];
  const ofAnyAge = ['--kubelet-image-minimum-gc-age', '1ms'];

  test('says of each image why it stays', async () => {
    const { exitCode, stdout } = await lading('gc', '--dry-run', ...neverFull);
    expect(exitCode).toBe(0);
    const line = (name: string) =>
      `${name} +[\\d.]+kB +never +kept +The disk is used to \\d+%, and imageGCHighThresholdPercent is 100\\.\n`;
    expect(stdout).toMatch(
      new RegExp(`^IMAGE +SIZE +LAST USED +OUTCOME +WHY\n${names().map(line).join('')}\nWould free 0B\\.\n$`),
    );
    expect((await lading('gc', '--unused')).stdout.split('and imageMinimumGCAge is 2m0s.')).toHaveLength(3);
  });

  test('removes the least recently used first and never what another process has; not enough is an error', async () => {
    const store = await openStore(root);
    const lease = store.leases.acquire({ images: [used!.imageId] });
    try {
      const dryRun = await lading('gc', '--dry-run', ...full, ...ofAnyAge);
      expect(dryRun.exitCode).toBe(1);
      expect(dryRun.stdout).toMatch(
        /img2:1 .* never +would be removed +Space is needed, and no container has had it\./,
      );
      expect(dryRun.stdout).toMatch(/img1:1 .* now +kept +A container or a pull has it\./);
      expect(store.images.list()).toHaveLength(2);

      const { exitCode, stdout, stderr } = await lading('-v', 'gc', ...full, ...ofAnyAge);
      expect(exitCode).toBe(1);
      expect(stdout).toMatch(/img2:1 .* removed +Space is needed/);
      expect(stderr).toMatch(
        /error: Insufficient free disk space on the node's image filesystem \(\d+% of .* used\)\. Failed to free sufficient space by deleting unused images \(freed \d+ bytes\)\./,
      );
      expect(stderr).toContain('code: ERR_LADING_IMAGE_GC');
      expect(store.images.list().map(({ id }) => id)).toEqual([used!.imageId]);
    } finally {
      lease.release();
      store.close();
    }
  });

  test('removes what has not been used for longer than the maximum age, in JSON too', async () => {
    const hour = 3_600_000;
    const store = await openStore(root, { now: () => Date.now() - 2 * hour });
    store.imageUses.note([used!.imageId]);
    store.database.run('UPDATE images SET created_ms = ?', Date.now() - 3 * hour);
    store.close();
    const { stdout } = await lading('gc', ...neverFull, '--kubelet-image-maximum-gc-age', '150m', '-o', 'json');
    const { imageCollection, layers } = JSON.parse(stdout);
    expect(imageCollection.images).toMatchObject([
      { names: [names()[1]], outcome: 'removed', reason: { fact: 'too-old' } },
      { names: [names()[0]], outcome: 'kept', lastUsedAt: expect.stringMatching(/^\d{4}-/) },
    ]);
    expect(layers.length).toBeGreaterThan(0);
  });

  test('says what stays in the trash because it cannot be deleted, as check --repair does', async (context) => {
    const stuck = join(root, 'trash', '0123456789abcdef');
    await mkdir(stuck, { recursive: true });
    const file = join(stuck, 'file');
    await writeFile(file, '');
    if (spawnSync('chattr', ['+i', file]).status !== 0) return context.skip('no file can be made immutable here');
    onTestFinished(() => void spawnSync('chattr', ['-i', file]));
    const line = /^1 thing in the trash cannot be deleted: EPERM.*; `lading gc` deletes it once .*\n$/m;
    expect((await lading('gc', ...neverFull)).stdout).toMatch(line);
    expect((await lading('check', '--repair')).stdout).toMatch(line);
    expect((await lading('check')).stdout).toContain('1 leftover that nothing needs');
    expect(JSON.parse((await lading('gc', ...neverFull, '-o', 'json')).stdout).notDeleted).toEqual([
      { path: stuck, reason: expect.stringContaining('EPERM') },
    ]);
    spawnSync('chattr', ['-i', file]);
    expect((await lading('gc', ...neverFull)).stdout).not.toMatch(line);
    expect(await readdir(join(root, 'trash'))).toEqual([]);
  });

  test('--unused removes all that no container has', async () => {
    expect((await lading('gc', '--unused', ...ofAnyAge)).exitCode).toBe(0);
    expect((await lading('images')).stderr).toContain('No images on this node');
  });
});
