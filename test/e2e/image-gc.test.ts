/** Which images are in use, and when they were last used, is known to every process on a node. */
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { busyboxMissing } from '../support/busybox.ts';
import { type PushedImage, pushBusyboxImage } from '../support/busybox-image.ts';
import { type DockerRegistry, dockerRegistryMissing, startDockerRegistry } from '../support/docker-registry.ts';
import { programMissing } from '../support/foreign-clients.ts';
import { RunningLading, runLading } from '../support/lading-process.ts';
import { manifestText, pod, shell } from '../support/manifest.ts';
import { whyNot } from '../support/runtimes.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const missing = dockerRegistryMissing ?? busyboxMissing ?? programMissing('skopeo') ?? (await whyNot('embedded'));

describe.skipIf(missing)(`lading gc beside lading run${missing ? ` (skipped: ${missing})` : ''}`, () => {
  let registry: DockerRegistry;
  let app: PushedImage;
  let data: PushedImage;
  let old: PushedImage;
  let lately: PushedImage;
  beforeAll(async () => {
    registry = await startDockerRegistry();
    const push = (name: string) => pushBusyboxImage(registry.address, `${name}:1`, { version: name });
    [app, data, old, lately] = [await push('app'), await push('data'), await push('old'), await push('lately')];
  });
  afterAll(() => registry?.close());

  test('never removes what a container has or mounts, and the others in the order of their last use', async () => {
    const root = ['--root', path.join(await temporaryFolder(), 'node')];
    const run = [...root, 'run', '--runtime', 'embedded', '--grace-period', '0', '-'];
    const once = ({ name }: PushedImage) => manifestText(pod('once', [{ name: 'main', image: name }]));
    const used = async (image: PushedImage) => {
      const { exitCode, stderr } = await runLading(run, { stdin: once(image) });
      expect(exitCode, stderr).toBe(0);
    };
    await used(old);
    await used(lately);
    await runLading([...root, 'pull', '-q', app.name]);
    const mounts = { volumeMounts: [{ name: 'data', mountPath: '/data' }] };
    const volumes = [{ name: 'data', image: { reference: data.name } }];
    const web = pod('web', [shell('main', app.name, 'echo up; exec sleep 1000', mounts)], { volumes });
    const running = new RunningLading(run, { stdin: manifestText(web) });
    onTestFinished(() => running.end());
    await running.prints('up');

    const gc = [...root, 'gc', '--unused', '--kubelet-image-minimum-gc-age', '1ms', '-o', 'json'];
    const collected = async () => {
      const { imageCollection } = JSON.parse((await runLading(gc)).stdout);
      return imageCollection.images.map(
        ({ names, outcome, reason }: { names: string[]; outcome: string; reason: { fact: string } }) =>
          `${names[0]} ${outcome} ${reason.fact}`,
      );
    };
    expect(await collected()).toEqual([
      `${old.name} removed space`,
      `${lately.name} removed space`,
      ...[app, data].map(({ name }) => `${name} kept in-use`).sort(),
    ]);
    running.interrupt();
    await running.ended;
    expect((await collected()).sort()).toEqual([app, data].map(({ name }) => `${name} removed space`).sort());
  });
});
