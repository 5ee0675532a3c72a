/** Init containers, sidecars and image volumes with real containers, on every container runtime that works here. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import type { RuntimeChoice } from '../../src/runtime/index.ts';
import { busyboxMissing } from '../support/busybox.ts';
import { type PushedImage, pushBusyboxImage } from '../support/busybox-image.ts';
import { type DockerRegistry, dockerRegistryMissing, startDockerRegistry } from '../support/docker-registry.ts';
import { programMissing } from '../support/foreign-clients.ts';
import { runLading } from '../support/lading-process.ts';
import { leftoversOf } from '../support/leftovers.ts';
import { manifestText, pod, shell } from '../support/manifest.ts';
import { whyNot } from '../support/runtimes.ts';

const missing = dockerRegistryMissing ?? busyboxMissing ?? programMissing('skopeo');

describe('runc', async () => describeRuntime('runc', missing ?? (await whyNot('runc'))));
describe('crun', async () => describeRuntime('crun', missing ?? (await whyNot('crun'))));
describe('embedded', async () => describeRuntime('embedded', missing ?? (await whyNot('embedded'))));

let registry: DockerRegistry;
let app: PushedImage;
let data: PushedImage;
beforeAll(async () => {
  if (missing) return;
  registry = await startDockerRegistry();
  app = await pushBusyboxImage(registry.address, 'app:1', { version: 'one' });
  data = await pushBusyboxImage(registry.address, 'data:1', { version: 'two', files: { 'share/text': 'from data\n' } });
});
afterAll(() => registry?.close());

function describeRuntime(runtime: RuntimeChoice, reason: string | undefined): void {
  describe.skipIf(reason)(`lading run --runtime ${runtime}${reason ? ` (skipped: ${reason})` : ''}`, () => {
    let root: string;
    beforeAll(async () => {
      root = await mkdtemp(path.join(tmpdir(), 'lading-e2e-kinds-'));
    });
    afterAll(() => rm(root, { recursive: true, force: true }));
    afterEach(() => expect(leftoversOf(root)).toEqual([]));

    const run = (...objects: object[]) =>
      runLading(['--root', root, 'run', '--runtime', runtime, '-'], { stdin: manifestText(...objects) });

    test('init containers end before the others start; a sidecar runs beside them and ends with the pod', async () => {
      const initContainers = [
        shell('setup', app.name, 'echo setting up'),
        shell('proxy', app.name, 'echo proxying; while :; do sleep 0.1; done', { restartPolicy: 'Always' }),
        shell('second', app.name, 'echo second'),
      ];
      const main = shell('main', app.name, 'echo running');
      const { exitCode, stdout } = await run(pod('web', [main], { initContainers, terminationGracePeriodSeconds: 1 }));
      expect(exitCode).toBe(0);
      const lines = stdout.trim().split('\n');
      expect(lines.toSorted()).toEqual(
        ['main] running', 'proxy] proxying', 'second] second', 'setup] setting up'].map((line) => `[web/${line}`),
      );
      const order = ['setup', 'second', 'main'].map((name) => lines.findIndex((line) => line.includes(`/${name}]`)));
      expect(order).toEqual(order.toSorted((a, b) => a - b));
    });

    test('an ephemeral container runs once, by its own pull policy, and keeps no pod alive', async () => {
      const ephemeralContainers = [
        shell('debug', app.name, 'echo debugging; exit 3', { imagePullPolicy: 'Always', targetContainerName: 'main' }),
        shell('absent', `${registry.address}/absent:1`, 'true', { imagePullPolicy: 'Never' }),
      ];
      const main = shell('main', app.name, 'echo running; sleep 0.3');
      const text = manifestText(pod('web', [main], { ephemeralContainers, restartPolicy: 'OnFailure' }));
      const { exitCode, stdout, stderr } = await runLading(
        ['--root', root, 'run', '--runtime', runtime, '--retry', '-'],
        { stdin: text },
      );
      expect([exitCode, stdout.trim().split('\n').toSorted()], stderr).toEqual([
        0,
        ['[web/debug] debugging', '[web/main] running'],
      ]);
      expect(stderr).toContain('web/absent  ErrImageNeverPull');
    });

    test('an init container that fails under Never ends the pod with its exit code', async () => {
      const initContainers = [shell('setup', app.name, 'exit 9')];
      const { exitCode, stdout } = await run(pod('web', [shell('main', app.name, 'echo running')], { initContainers }));
      expect([exitCode, stdout]).toEqual([9, '']);
    });

    test('an image is mounted read-only, whole or in part', async () => {
      const volumes = [{ name: 'data', image: { reference: data.name } }];
      const volumeMounts = [
        { name: 'data', mountPath: '/all' },
        { name: 'data', mountPath: '/part', subPath: 'share' },
        { name: 'data', mountPath: '/file', subPath: 'share/text' },
      ];
      const script = 'cat /version /all/version /part/text /file; touch /all/x || echo read-only; ls /all/x';
      const { exitCode, stdout } = await run(
        pod('web', [shell('main', app.name, script, { volumeMounts })], { volumes }),
      );
      expect(stdout.trim().split('\n')).toEqual(
        ['one', 'two', 'from data', 'from data', 'read-only'].map((line) => `[web/main] ${line}`),
      );
      expect(exitCode).not.toBe(0);
    });

    test('a path that the image does not have, or that leads out of it, is an error', async () => {
      const volumes = [{ name: 'data', image: { reference: data.name } }];
      const volumeMounts = [{ name: 'data', mountPath: '/part', subPath: 'nothing/here' }];
      const main = shell('main', app.name, 'echo running', { volumeMounts });
      const { exitCode, stdout, stderr } = await run(pod('web', [main], { volumes }));
      expect([exitCode, stdout]).toEqual([1, '']);
      expect(stderr).toContain(`image ${data.name} has no path "nothing/here" to mount`);
    });
  });
}
