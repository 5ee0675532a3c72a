/** Lading as an ordinary user: the same commands, in a user namespace with one user or with a range of them. */
import { readdirSync } from 'node:fs';
import path from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import type { ExplainedContainer } from '../../src/cli/explain/explain-subject.ts';
import type { RuntimeChoice } from '../../src/runtime/index.ts';
import { busyboxMissing } from '../support/busybox.ts';
import { type PushedImage, pushBusyboxImage } from '../support/busybox-image.ts';
import { type DockerRegistry, dockerRegistryMissing, startDockerRegistry } from '../support/docker-registry.ts';
import { programMissing } from '../support/foreign-clients.ts';
import { type LadingResult, RunningLading, runLading } from '../support/lading-process.ts';
import { leftoversOf } from '../support/leftovers.ts';
import { manifestText, pod, shell } from '../support/manifest.ts';
import { OrdinaryUser, ordinaryUserMissing, rangeMissing } from '../support/ordinary-user.ts';

const missing = dockerRegistryMissing ?? busyboxMissing ?? programMissing('skopeo') ?? ordinaryUserMissing;

let registry: DockerRegistry;
let image: PushedImage;
/** Has a user, and a file that belongs to it. */
let ofManyUsers: PushedImage;
beforeAll(async () => {
  if (missing) return;
  registry = await startDockerRegistry();
  image = await pushBusyboxImage(registry.address, 'app:1', { version: 'one' });
  ofManyUsers = await pushBusyboxImage(registry.address, 'users:1', {
    version: 'users',
    owners: { version: { uid: 1000, gid: 1001 } },
    config: { User: 'web', Cmd: ['/bin/sh', '-c', 'id -u; ls -ln /version'] },
  });
});
afterAll(() => registry?.close());

describeUser('one user id only', { ids: 'none' }, missing, ({ lading, runtimes }) => {
  test('an image with files of several users is refused, with the way out', async () => {
    const { exitCode, stdout, stderr } = await lading(['pull', ofManyUsers.name]);
    expect([exitCode, stdout]).toEqual([1, '']);
    expect(stderr).toMatch(/^error: cannot unpack "\.\/version": its owner 1000:1001 is not mapped/m);
    expect(stderr).toMatch(/^hint: Add a larger range for your user to \/etc\/subuid/m);
  });

  test.skipIf(!runtimes.includes('runc'))('a container of another user needs the embedded runtime', async () => {
    const stdin = manifestText(
      pod('web', [shell('main', image.name, 'id -u', { securityContext: { runAsUser: 1000 } })]),
    );
    const byRunc = await lading(['run', '--runtime', 'runc', '-'], stdin);
    expect([byRunc.exitCode, byRunc.stdout]).toEqual([1, '']);
    expect(byRunc.stderr).toMatch(/^error: .*runs as user 1000/m);
    expect(byRunc.stderr).toMatch(/^hint: Install newuidmap .*, or choose the embedded runtime\./m);
    const byEmbedded = await lading(['run', '--runtime', 'embedded', '-'], stdin);
    expect([byEmbedded.exitCode, byEmbedded.stdout], byEmbedded.stderr).toEqual([0, '[web/main] 1000\n']);
  });
});

describeUser('a range of ids', { ids: 'range' }, missing ?? rangeMissing, ({ lading, runtimes }) => {
  test.each(runtimes)('%s: users and files of an image have their ids', async (runtime) => {
    const stdin = manifestText(pod('web', [{ name: 'main', image: ofManyUsers.name }]));
    const { exitCode, stdout, stderr } = await lading(['run', '--runtime', runtime, '-'], stdin);
    expect(exitCode, stderr).toBe(0);
    expect(stdout).toMatch(/^\[web\/main\] 1000\n\[web\/main\] .* 1000 +1001 .*\/version\n$/);
  });
});

interface UserTools {
  readonly lading: (args: readonly string[], stdin?: string) => Promise<LadingResult>;
  readonly runtimes: readonly RuntimeChoice[];
}

function describeUser(
  what: string,
  options: { ids: 'none' | 'range' },
  reason: string | undefined,
  more: (tools: UserTools) => void,
): void {
  describe.skipIf(reason)(`an ordinary user with ${what}${reason ? ` (skipped: ${reason})` : ''}`, () => {
    let user: OrdinaryUser;
    beforeAll(() => {
      user = new OrdinaryUser(options);
    });
    afterAll(() => user.remove());
    afterEach(() => {
      expect(user.processes()).toEqual([]);
      expect(leftoversOf(user.root)).toEqual([]);
    });

    const runtimes: RuntimeChoice[] = programMissing('runc') ? ['embedded'] : ['runc', 'embedded'];
    const lading: UserTools['lading'] = (args, stdin = '') => runLading(args, { ...user.process, stdin });

    test('pulls, and lists what there is', async () => {
      const pulled = await lading(['pull', '-q', image.name]);
      expect([pulled.exitCode, pulled.stdout], pulled.stderr).toEqual([0, `${image.manifest}\n`]);
      const images = await lading(['images', '-o', 'json']);
      expect(JSON.parse(images.stdout)).toMatchObject([{ name: image.name, digest: image.manifest }]);
      expect((await lading(['check'])).exitCode).toBe(0);
    });

    test('explains', async () => {
      const { stdout } = await lading(['explain', '-o', 'json', image.name]);
      const { node, items } = JSON.parse(stdout) as { node: string; items: ExplainedContainer[] };
      expect(node).toBe(user.root);
      expect(items).toMatchObject([
        {
          node: { digest: image.manifest, layersUnpacked: 2, layersTotal: 2 },
          outcome: { starts: true, source: 'node' },
        },
      ]);
    });

    test.each(runtimes)('runs a pod with %s', async (runtime) => {
      const script = 'cat /version; id -u; echo to-stderr >&2; touch /written; exit 7';
      const stdin = manifestText(pod('web', [shell('main', image.name, script)]));
      const { exitCode, stdout, stderr } = await lading(['run', '--runtime', runtime, '-'], stdin);
      expect([exitCode, stdout], stderr).toEqual([7, '[web/main] one\n[web/main] 0\n']);
      expect(stderr).toContain('[web/main] to-stderr\n');
      expect(stderr).toContain('web/main  Started: Container started\n');
    });

    const untilTold = "trap 'echo bye; exit 0' TERM; echo ready; while :; do sleep 0.1; done";
    async function start(runtime: RuntimeChoice): Promise<RunningLading> {
      const stdin = manifestText(pod('web', [shell('main', image.name, untilTold)]));
      const running = new RunningLading(['run', '--runtime', runtime, '-'], { ...user.process, stdin });
      onTestFinished(() => running.end());
      await running.prints('ready');
      return running;
    }

    test.each(runtimes)('Ctrl-C lets a container of %s end', async (runtime) => {
      const running = await start(runtime);
      running.interrupt();
      const { exitCode, stdout } = await running.ended;
      expect([exitCode, stdout]).toEqual([130, '[web/main] ready\n[web/main] bye\n']);
    });

    test('another terminal sees what runs, and what has happened', async () => {
      const running = await start(runtimes[0]!);
      const ps = await lading(['ps', '-o', 'json']);
      expect([ps.exitCode, ps.stderr]).toEqual([0, '']);
      expect(JSON.parse(ps.stdout)).toMatchObject([{ name: 'web', containers: [{ name: 'main', status: 'Running' }] }]);
      const retried = await lading(['retry', 'web']);
      expect([retried.exitCode, retried.stderr]).toEqual([1, expect.stringContaining('is not in back-off')]);
      expect((await lading(['events', '--pod', 'web'])).stdout).toContain('Container started');
      await running.interrupted();
      expect((await lading(['ps'])).stderr).toContain('Nothing runs on this node');
    });

    test.each(runtimes)('a killed lading takes its container of %s with it', async (runtime) => {
      const running = await start(runtime);
      running.child.kill('SIGKILL');
      await running.ended;
      await expect.poll(() => user.processes(), { timeout: 20_000 }).toEqual([]);
    });

    more({ lading, runtimes });

    test('removes the image, and nothing is left of it', async () => {
      const names = JSON.parse((await lading(['images', '-o', 'json'])).stdout) as { name: string }[];
      const { exitCode, stderr } = await lading(['rmi', ...names.map(({ name }) => name)]);
      expect(exitCode, stderr).toBe(0);
      expect((await lading(['gc'])).exitCode).toBe(0);
      for (const folder of ['layers', 'fixups', 'trash', 'logs']) {
        expect(readdirSync(path.join(user.root, folder)), folder).toEqual([]);
      }
    });
  });
}
