/** Images in and out of the node of an ordinary user, whose files belong to a user namespace. */
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { pushImage, tarOf, testImage } from '../pull/support/test-image.ts';
import { type DockerRegistry, dockerRegistryMissing, startDockerRegistry } from '../support/docker-registry.ts';
import { runLading } from '../support/lading-process.ts';
import { OrdinaryUser, ordinaryUserMissing } from '../support/ordinary-user.ts';

const missing = dockerRegistryMissing ?? ordinaryUserMissing;
const image = testImage({ layers: [tarOf({ 'a/': '', 'a/one': '1' }), tarOf({ 'a/two': '2' })] });

describe.skipIf(missing)(`an ordinary user${missing ? ` (skipped: ${missing})` : ''}`, () => {
  let registry: DockerRegistry;
  let user: OrdinaryUser;

  beforeAll(async () => {
    registry = await startDockerRegistry();
    await pushImage(registry, 'app', '1', image);
    user = new OrdinaryUser({ ids: 'none' });
  });
  afterAll(async () => {
    user?.remove();
    await registry?.close();
  });

  test('pulls, pushes, saves through a pipe, and loads', async () => {
    const name = `${registry.address}/app:1`;
    const succeed = async (result: ReturnType<typeof runLading>) => {
      const { exitCode, stdout, stderr } = await result;
      expect(exitCode, stderr).toBe(0);
      return stdout.trimEnd();
    };
    const run = (...args: string[]) => succeed(runLading(args, user.process));
    await run('pull', '-q', name);
    expect(await run('push', '-q', name, `${registry.address}/other:1`)).toBe(image.manifest.digest);
    const command = user.process.command!;
    const [start, lading] = [command.slice(0, -2), command.slice(-2)];
    const other = path.join(path.dirname(user.root), 'other');
    const pipe = `"$1" "$2" save -q ${name} | "$1" "$2" --root ${other} load -q`;
    const piped = { ...user.process, command: [...start, 'sh', '-c', pipe, 'sh', ...lading] };
    expect(await succeed(runLading([], piped))).toBe(name);
    await run('--root', other, 'check');
    const images = JSON.parse(await run('--root', other, 'images', '-o', 'json'));
    expect(images).toMatchObject([{ name, imageId: image.config.digest, digest: image.manifest.digest }]);
  });
});
