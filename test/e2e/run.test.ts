/** `lading run` with every container runtime that works here: a real registry, real images, real containers. */
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import type { RuntimeChoice } from '../../src/runtime/index.ts';
import { busyboxMissing } from '../support/busybox.ts';
import { type PushedImage, pushBusyboxImage } from '../support/busybox-image.ts';
import { type DockerRegistry, dockerRegistryMissing, startDockerRegistry } from '../support/docker-registry.ts';
import { programMissing } from '../support/foreign-clients.ts';
import { ladingCommand, RunningLading, runLading } from '../support/lading-process.ts';
import { cgroupFolders, leftoversOf, podCgroups, processesWithVariable } from '../support/leftovers.ts';
import { manifestText, pod, shell } from '../support/manifest.ts';
import { whyNot } from '../support/runtimes.ts';
import { startStuckRegistry } from '../support/stuck-registry.ts';

const missing = dockerRegistryMissing ?? busyboxMissing ?? programMissing('skopeo');

describe('runc', async () => describeRuntime('runc', missing ?? (await whyNot('runc'))));
describe('crun', async () => describeRuntime('crun', missing ?? (await whyNot('crun'))));
describe('embedded', async () => describeRuntime('embedded', missing ?? (await whyNot('embedded'))));

let registry: DockerRegistry;
let image: PushedImage;
beforeAll(async () => {
  if (missing) return;
  registry = await startDockerRegistry();
  image = await pushBusyboxImage(registry.address, 'app:1', { version: 'one' });
});
afterAll(() => registry?.close());

/** Waits until it is told to end, and says so. */
const untilTold = (onTerm: string) => `trap '${onTerm}' TERM; echo ready; while :; do sleep 0.1; done`;

function describeRuntime(runtime: RuntimeChoice, reason: string | undefined): void {
  describe.skipIf(reason)(`lading run --runtime ${runtime}${reason ? ` (skipped: ${reason})` : ''}`, () => {
    let root: string;
    beforeAll(async () => {
      root = await mkdtemp(path.join(tmpdir(), 'lading-e2e-run-'));
    });
    afterAll(() => rm(root, { recursive: true, force: true }));
    afterEach(() => expect(leftoversOf(root)).toEqual([]));

    const argsFor = (...more: string[]) => ['--root', root, 'run', '--runtime', runtime, ...more];
    const runToEnd = (text: string) => runLading(argsFor('-'), { stdin: text });

    async function start(text: string, ...options: string[]): Promise<RunningLading> {
      const file = path.join(root, 'pod.yaml');
      await writeFile(file, text);
      const running = new RunningLading(argsFor(...options, file));
      onTestFinished(() => running.end());
      return running;
    }

    test('output, events and exit code of a container with a command, arguments, variables and a folder', async () => {
      const script = 'echo "$1: $GREETING in $(pwd)"; echo "as $(id -u) on $(hostname)" >&2; exit 7';
      const container = {
        name: 'main',
        image: image.name,
        command: ['/bin/sh', '-c'],
        args: [script, 'sh', 'first argument'],
        workingDir: '/tmp',
        env: [
          { name: 'WHO', value: 'world' },
          { name: 'GREETING', value: 'hello $(WHO)' },
        ],
      };
      const { exitCode, stdout, stderr } = await runToEnd(manifestText(pod('web', [container])));
      expect(stdout).toBe('[web/main] first argument: hello world in /tmp\n');
      expect(stderr).toContain('[web/main] as 0 on web\n');
      expect(exitCode).toBe(7);
      const took = '[0-9.]+m?s';
      const size = 'Image size: [1-9][0-9]+ bytes\\.';
      expect(eventsOf(stderr, 'web/main')).toEqual([
        `Pulling: Pulling image "${image.name}"`,
        expect.stringMatching(
          `^Pulled: Successfully pulled image "${image.name}" in ${took} \\(${took} including waiting\\)\\. ${size}$`,
        ),
        'Created: Container created',
        'Started: Container started',
      ]);

      const again = await runToEnd(manifestText(pod('web', [{ name: 'main', image: image.name }])));
      expect([again.exitCode, again.stdout]).toEqual([0, '[web/main] one\n']);
      expect(eventsOf(again.stderr, 'web/main')[0]).toBe(
        `Pulled: Container image "${image.name}" already present on machine and can be accessed by the pod`,
      );
    });

    test('several containers, several documents, one file', async () => {
      const { exitCode, stdout } = await runToEnd(
        manifestText(
          pod('first', [shell('a', image.name, 'echo I am a'), shell('b', image.name, 'echo I am b; exit 3')]),
          pod('second', [shell('c', image.name, 'printf "no newline"'), shell('d', image.name, 'exit 4')]),
        ),
      );
      expect(stdout.trimEnd().split('\n').sort()).toEqual([
        '[first/a] I am a',
        '[first/b] I am b',
        '[second/c] no newline',
      ]);
      expect(exitCode, 'the first code that is not 0').toBe(3);
    });

    test('OnFailure restarts at once, and then waits in back-off', async () => {
      const spec = { restartPolicy: 'OnFailure' };
      const running = await start(manifestText(pod('retry', [shell('main', image.name, 'echo try; exit 1')], spec)));
      await running.prints('BackOff', { stream: 'stderr' });
      running.interrupt();
      const { exitCode, stdout, stderr } = await running.ended;
      expect(exitCode).toBe(130);
      expect(stdout).toBe('[retry/main] try\n[retry/main] try\n');
      const reasons = eventsOf(stderr, 'retry/main').map((event) => event.split(':')[0]);
      expect(reasons).toEqual(['Pulled', 'Created', 'Started', 'Pulled', 'Created', 'Started', 'BackOff']);
      expect(stderr).toMatch(
        /retry\/main {2}BackOff: Back-off restarting failed container main in pod retry_default\([0-9a-f-]{36}\)\n/,
      );
    });

    test('the pull policy is evaluated anew at every restart: Always follows a tag that moved', async () => {
      const { name } = await pushBusyboxImage(registry.address, `${runtime}:moving`, { version: 'before' });
      const script = 'cat /version; exec sleep 1000';
      const markOf = (policy: string) => `${policy}-${runtime}-${process.pid}`;
      const pods = ['IfNotPresent', 'Always'].map((imagePullPolicy) => {
        const env = [{ name: 'LADING_TEST', value: markOf(imagePullPolicy) }];
        const containers = [shell('main', name, script, { env, imagePullPolicy })];
        return pod(imagePullPolicy.toLowerCase(), containers, { restartPolicy: 'OnFailure' });
      });
      const kill = (policy: string) => {
        for (const pid of processesWithVariable(`LADING_TEST=${markOf(policy)}`)) process.kill(pid, 'SIGKILL');
      };
      const running = await start(manifestText(...pods), '--grace-period', '0');
      await running.prints('before', { times: 2 });
      const after = await pushBusyboxImage(registry.address, `${runtime}:moving`, { version: 'after' });
      kill('IfNotPresent');
      await running.prints('before', { times: 3 });
      // Only now: its pull moves the tag on this node.
      kill('Always');
      await running.prints('after');
      running.interrupt();
      const { exitCode, stdout } = await running.ended;
      expect(exitCode).toBe(130);
      expect(stdout.trimEnd().split('\n').sort()).toEqual([
        '[always/main] after',
        '[always/main] before',
        '[ifnotpresent/main] before',
        '[ifnotpresent/main] before',
      ]);
      const { stdout: images } = await runLading(['--root', root, 'images', '-o', 'json', name]);
      expect(JSON.parse(images)).toMatchObject([{ digest: after.manifest, imageId: after.config }]);
    });

    test('ends with the program that reads its output, and leaves nothing', async () => {
      const text = manifestText(pod('web', [shell('main', image.name, 'while :; do echo tick; sleep 0.1; done')]));
      const command = `"$@" | head -n 1; echo "\${PIPESTATUS[0]}"`;
      const { stdout, stderr } = await runLading(argsFor('--grace-period', '0', '-'), {
        stdin: text,
        command: ['bash', '-c', command, 'bash', ...ladingCommand],
      });
      expect(stdout).toBe('[web/main] tick\n141\n');
      expect(stderr).not.toContain('Ctrl-C');
    });

    describe('Ctrl-C', () => {
      /** Some runtimes use no cgroups; those that do call them so. */
      async function runningPod(text: string, ...options: string[]) {
        const running = await start(text, ...options);
        await running.prints('ready');
        const cgroups = podCgroups(root);
        if (runtime !== 'embedded') expect(cgroupFolders(cgroups)).not.toEqual([]);
        return { running, cgroups };
      }

      test('a container ends as it wishes', async () => {
        const script = untilTold('echo bye; exit 0');
        const { running, cgroups } = await runningPod(manifestText(pod('web', [shell('main', image.name, script)])));
        running.interrupt();
        const { exitCode, stdout, stderr } = await running.ended;
        expect(stdout).toBe('[web/main] ready\n[web/main] bye\n');
        expect(exitCode).toBe(130);
        expect(stderr).toMatch(/\ninterrupted\n$/);
        expect(cgroupFolders(cgroups)).toEqual([]);
      });

      test('a grace period beyond what a timer can count is none that is over at once', async () => {
        const script = untilTold('sleep 0.5; echo bye; exit 0');
        const text = manifestText(pod('web', [shell('main', image.name, script)]));
        const { running } = await runningPod(text, '--grace-period', '3000000');
        running.interrupt();
        const { exitCode, stdout, stderr } = await running.ended;
        expect([exitCode, stdout]).toEqual([130, '[web/main] ready\n[web/main] bye\n']);
        expect(stderr).not.toContain('Warning');
      });

      test('one that does not is killed after the grace period', async () => {
        const pods = manifestText(pod('web', [shell('main', image.name, untilTold('echo no'))]));
        const { running, cgroups } = await runningPod(pods, '--grace-period', '1');
        running.interrupt();
        const { exitCode, stdout } = await running.ended;
        expect(stdout).toBe('[web/main] ready\n[web/main] no\n');
        expect(exitCode).toBe(130);
        expect(cgroupFolders(cgroups)).toEqual([]);
      });

      test('a second one does not wait', async () => {
        const { running, cgroups } = await runningPod(
          manifestText(pod('web', [shell('main', image.name, untilTold('echo no'))])),
          ...['--grace-period', '1000'],
        );
        running.interrupt();
        await running.prints('[web/main] no');
        running.interrupt();
        expect((await running.ended).exitCode).toBe(130);
        expect(cgroupFolders(cgroups)).toEqual([]);
      });

      test('while an image is pulled', async () => {
        const { layers } = await pushBusyboxImage(registry.address, 'stuck:1', { version: `stuck for ${runtime}` });
        const { digest } = layers.at(-1)!;
        const stuck = await startStuckRegistry(registry, { digest, bytes: 1 });
        onTestFinished(() => stuck.close());
        const name = `${stuck.address}/stuck:1`;
        const running = await start(manifestText(pod('web', [{ name: 'main', image: name }])));
        await expect.poll(() => stuck.log, { timeout: 20_000 }).toContainEqual(expect.stringContaining(digest));
        running.interrupt();
        const { exitCode, stdout } = await running.ended;
        expect([exitCode, stdout]).toEqual([130, '']);
        const { stdout: images } = await runLading(['--root', root, 'images', '-o', 'json', name]);
        expect(images).toBe('[]\n');
      });
    });

    test('what a killed lading left is cleaned up by the next one', async () => {
      const mark = `killed-${runtime}-${process.pid}`;
      const env = [{ name: 'LADING_TEST', value: mark }];
      const running = await start(manifestText(pod('web', [shell('main', image.name, untilTold('exit 0'), { env })])));
      await running.prints('ready');
      const cgroups = podCgroups(root);
      running.child.kill('SIGKILL');
      await running.ended;
      expect(await readdir(path.join(root, 'containers'))).toHaveLength(1);

      const { exitCode, stdout } = await runToEnd(manifestText(pod('next', [{ name: 'main', image: image.name }])));
      expect([exitCode, stdout]).toEqual([0, '[next/main] one\n']);
      expect(leftoversOf(root)).toEqual([]);
      expect(processesWithVariable(`LADING_TEST=${mark}`)).toEqual([]);
      expect(cgroupFolders(cgroups)).toEqual([]);
    });
  });
}

/** The events of one object, without its name. */
function eventsOf(stderr: string, object: string): string[] {
  const prefix = `${object}  `;
  return stderr
    .split('\n')
    .filter((line) => line.startsWith(prefix))
    .map((line) => line.slice(prefix.length))
    .filter((line) => /^[A-Z][A-Za-z]+: /.test(line) && !/^(Always|IfNotPresent|Never): /.test(line));
}
