/** `lading run --image-override`: an earlier digest of a tag, from the node or from the registry. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { busyboxMissing } from '../support/busybox.ts';
import { type PushedImage, pushBusyboxImage } from '../support/busybox-image.ts';
import { type DockerRegistry, dockerRegistryMissing, startDockerRegistry } from '../support/docker-registry.ts';
import { programMissing } from '../support/foreign-clients.ts';
import { runLading } from '../support/lading-process.ts';
import { manifestText, pod } from '../support/manifest.ts';

const missing = dockerRegistryMissing ?? busyboxMissing ?? programMissing('skopeo');

describe.skipIf(missing)(`lading run --image-override${missing ? ` (skipped: ${missing})` : ''}`, () => {
  let registry: DockerRegistry;
  let root: string;
  let one: PushedImage;
  let two: PushedImage;

  const lading = (args: string[], stdin?: string) =>
    runLading(['--root', root, ...args], stdin === undefined ? {} : { stdin });
  const run = (overrides: string[], fields: object = {}) =>
    lading(
      ['run', ...overrides.flatMap((text) => ['--image-override', text]), '-'],
      manifestText(pod('web', [{ name: 'main', image: one.name, ...fields }])),
    );

  beforeAll(async () => {
    registry = await startDockerRegistry();
    root = await mkdtemp(path.join(tmpdir(), 'lading-e2e-override-'));
    one = await pushBusyboxImage(registry.address, 'app:1', { version: 'one' });
    await lading(['pull', one.name]);
    two = await pushBusyboxImage(registry.address, 'app:1', { version: 'two' });
    await lading(['pull', two.name]);
  });
  afterAll(async () => {
    await registry?.close();
    await rm(root, { recursive: true, force: true });
  });

  test('runs an earlier digest that is still on the node, also by its beginning, and says so', async () => {
    const asked = (await registry.requests()).length;
    const byPrefix = await run([`${one.name}=${one.manifest.slice(7, 19)}`]);
    expect([byPrefix.exitCode, byPrefix.stdout]).toEqual([0, '[web/main] one\n']);
    const repository = one.name.replace(/:1$/, '');
    expect(byPrefix.stderr).toContain(
      `ImageOverridden: Image "${one.name}" is overridden for this run: "${repository}@${one.manifest}"`,
    );
    expect(byPrefix.stderr).toContain('web/main  IfNotPresent: runs ');
    expect((await registry.requests()).length).toBe(asked);
    // The policy of the manifest holds, for the digest.
    const always = await run([`${one.name}=${one.manifest}`], { imagePullPolicy: 'Always' });
    expect([always.stdout, always.stderr]).toEqual(['[web/main] one\n', expect.stringContaining('Pulling image "')]);
    expect((await run([])).stdout).toBe('[web/main] two\n');
  });

  test('fetches one that is gone from the node, and says when it is nowhere', async () => {
    await lading(['rmi', `${one.name.replace(/:1$/, '')}@${one.manifest}`]);
    expect((await run([`${one.name}=${one.manifest}`])).stdout).toBe('[web/main] one\n');
    const none = `sha256:${'0'.repeat(64)}`;
    const nowhere = await run([`${one.name}=${none}`]);
    expect([nowhere.exitCode, nowhere.stdout]).toEqual([1, '']);
    expect(nowhere.stderr).toContain(`error: ${none} of ${one.name} is not on this node (${root}), and the registry`);
    expect(nowhere.stderr).toContain(`hint: \`lading history ${one.name}\` lists the digests`);
  });

  test.each<[what: string, override: (name: string) => string, exitCode: number, message: string]>([
    [
      'a name that no container uses',
      () => 'other:1=sha256:123456',
      1,
      'error: other:1 has had no digest that begins with',
    ],
    [
      'a digest that the name never had',
      (name) => `${name}=0000000`,
      1,
      'has had no digest that begins with 0000000 on this node',
    ],
    ['no digest', (name) => name, 2, 'expected NAME=DIGEST'],
    ['another word', (name) => `${name}=latest`, 2, 'latest is no digest'],
    ['a name that is none', () => `A B=sha256:123456`, 2, 'invalid reference format'],
  ])('%s is refused', async (_, override, exitCode, message) => {
    const result = await run([override(one.name)]);
    expect([result.exitCode, result.stderr]).toEqual([exitCode, expect.stringContaining(message)]);
    const unused = await run([`other:1=${one.manifest}`]);
    expect(unused.stderr).toContain(`error: no container uses the image other:1\nhint: The images of these pods are`);
  });
});
