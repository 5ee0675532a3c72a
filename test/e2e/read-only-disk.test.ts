/** `lading run` where the node is on a disk that is read-only. */
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { mount, umount2, unmountFlags } from '../../src/lib/libc.ts';
import { busyboxMissing } from '../support/busybox.ts';
import { type PushedImage, pushBusyboxImage } from '../support/busybox-image.ts';
import { type DockerRegistry, dockerRegistryMissing, startDockerRegistry } from '../support/docker-registry.ts';
import { programMissing } from '../support/foreign-clients.ts';
import { RunningLading, runLading } from '../support/lading-process.ts';
import { leftoversOf } from '../support/leftovers.ts';
import { manifestText, pod, shell } from '../support/manifest.ts';
import { rootMissing } from '../support/root.ts';
import { whyNot } from '../support/runtimes.ts';

const missing =
  rootMissing ?? dockerRegistryMissing ?? busyboxMissing ?? programMissing('skopeo') ?? (await whyNot('embedded'));

describe.skipIf(missing)(`pods of a node on a read-only disk${missing ? ` (needs ${missing})` : ''}`, () => {
  let folder: string;
  let disk: string;
  let registry: DockerRegistry;
  let image: PushedImage;
  let other: PushedImage;

  const lading = (...args: string[]) => [['--root', path.join(disk, 'node'), ...args], { env }] as const;
  let env: Record<string, string>;
  const run = (policy: string, name: string, script: string) => {
    const [args, options] = lading('run', '--runtime', 'embedded', '-');
    const container = shell('main', name, script, { imagePullPolicy: policy });
    return [args, { ...options, stdin: manifestText(pod('web', [container])) }] as const;
  };

  beforeAll(async () => {
    registry = await startDockerRegistry();
    image = await pushBusyboxImage(registry.address, 'app:1', { version: 'one' });
    other = await pushBusyboxImage(registry.address, 'app:2', { version: 'two' });
    folder = await mkdtemp(path.join(tmpdir(), 'lading-e2e-read-only-'));
    disk = path.join(folder, 'disk');
    env = { LADING_SOCKET_DIR: path.join(folder, 'run') };
    execFileSync('mkdir', [disk]);
    mount('tmpfs', disk, 'tmpfs', 0, 'size=100m');
    expect((await runLading(...lading('pull', '-q', image.name))).exitCode).toBe(0);
    execFileSync('mount', ['-o', 'remount,ro', disk]);
  });
  afterAll(async () => {
    await registry?.close();
    if (disk) umount2(disk, unmountFlags.detach);
    if (folder) await rm(folder, { recursive: true, force: true });
  });
  const stateFolder = () => {
    const nodes = path.join(folder, 'run', 'nodes');
    return path.join(nodes, readdirSync(nodes)[0]!);
  };
  afterEach(() => expect(leftoversOf(stateFolder())).toEqual([]));

  test.each(['Never', 'IfNotPresent', 'Always'])('run under %s, and write elsewhere', async (policy) => {
    const result = await runLading(...run(policy, image.name, 'cat /version; echo written > /version; cat /version'));
    expect(result).toMatchObject({ exitCode: 0, stdout: '[web/main] one\n[web/main] written\n' });
    expect(result.stderr).toContain(
      `warning: ${disk}/node is on a read-only disk: what containers write goes to ${stateFolder()}, and nothing can be pulled`,
    );
  });

  test('cannot have an image that is not there', async () => {
    const { exitCode, stderr } = await runLading(...run('IfNotPresent', other.name, 'true'));
    expect(exitCode).toBe(1);
    expect(stderr).toContain(`cannot pull ${other.name}: the file system of ${disk}/node is read-only`);
    expect(stderr).toContain('Mount the file system writable');
  });

  test('that a kill leaves are cleaned up by the next start', async () => {
    const running = new RunningLading(...run('Never', image.name, 'echo ready; while :; do sleep 0.1; done'));
    onTestFinished(() => running.end());
    await running.prints('ready');
    expect(readFileSync('/proc/self/mountinfo', 'utf8')).toContain(`${stateFolder()}/containers`);
    running.child.kill('SIGKILL');
    await running.ended;
    expect((await runLading(...run('Never', image.name, 'cat /version'))).stdout).toBe('[web/main] one\n');
  });
});
