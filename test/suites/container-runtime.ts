/** What every container runtime must do, run against the real thing. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { capabilityNumber, grantedCapabilities, ownCapabilities } from '../../src/runtime/capabilities.ts';
import { cgroupHierarchies } from '../../src/runtime/cgroup.ts';
import { hostFacts } from '../../src/runtime/host-facts.ts';
import {
  type ContainerRuntime,
  defaultCapabilities,
  type RuntimeChoice,
  selectRuntime,
} from '../../src/runtime/index.ts';
import { probeOomScore } from '../../src/runtime/oom-score.ts';
import { bytesOf, type ContainerWishes, makeContainer, readLog } from '../support/container.ts';

export interface RuntimeFeatures {
  readonly seccomp: boolean;
  readonly cgroups: boolean;
  readonly tellsOutOfMemory: boolean;
}

/** @param name a runtime that works here */
export function containerRuntimeSuite(name: RuntimeChoice, features: RuntimeFeatures): void {
  const host = hostFacts();
  const oneUserOnly = host.uidMap.count === 1;
  /** runc and crun cannot map one user to another where there is but one. */
  const onlyRoot = oneUserOnly && name !== 'embedded';
  const someUser = { uid: 1000, gid: 1001, additionalGids: [5, 50] };

  let folder: string;
  let stateDir: string;
  let runtime: ContainerRuntime;

  beforeAll(async () => {
    stateDir = await mkdtemp(path.join(tmpdir(), 'lading-runtime-state-'));
    ({ runtime } = await selectRuntime({ stateDir, prefer: name }));
  });
  afterAll(() => rm(stateDir, { recursive: true, force: true }));
  beforeEach(async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'lading-runtime-'));
  });
  afterEach(async () => {
    try {
      for (const bundle of readdirSync(folder)) await runtime.cleanUp(bundle, path.join(folder, bundle));
      expectNothingLeft();
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });

  /** No mount, no cgroup, no process, no state, no file of the runtime's in the bundles. */
  function expectNothingLeft(): void {
    expect(mountInfo().includes(folder)).toBe(false);
    expect(cgroupHierarchies().flatMap(({ mountPoint }) => testFoldersIn(mountPoint))).toEqual([]);
    expect(processesThatMention(folder)).toEqual([]);
    const states = existsSync(path.join(stateDir, name)) ? readdirSync(path.join(stateDir, name)) : [];
    expect(states).toEqual([]);
    for (const bundle of readdirSync(folder)) {
      const left = readdirSync(path.join(folder, bundle)).filter((file) => file !== 'rootfs' && file !== 'output.log');
      expect(left).toEqual([]);
    }
  }

  async function runToEnd(args: readonly string[], wishes: ContainerWishes = {}) {
    const container = await makeContainer(folder, args, wishes);
    const running = await runtime.start(container);
    const exit = await running.exited;
    await runtime.cleanUp(container.id, container.bundleDir);
    const records = await readLog(container.logPath);
    return { ...exit, records, stdout: bytesOf(records), stderr: bytesOf(records, 'stderr') };
  }

  function shell(script: string, wishes: ContainerWishes = {}) {
    return runToEnd(['sh', '-c', script], wishes);
  }

  async function waitForOutput(logPath: string, text: string): Promise<void> {
    while (!bytesOf(await readLog(logPath)).includes(text)) await sleep(10);
  }

  describe('process', () => {
    test('runs with its arguments, ends with its exit code, and its output is in the log', async () => {
      const script = 'echo "$0|$1"; echo bad >&2; exit 7';
      const { exitCode, oomKilled, records } = await runToEnd(['sh', '-c', script, 'a b', 'ü"\\']);
      expect({ exitCode, oomKilled }).toEqual({ exitCode: 7, oomKilled: false });
      const shown = records.map(({ stream, tag, text }) => [stream, tag, Buffer.from(text, 'latin1').toString()]);
      expect(shown.sort()).toEqual([
        ['stderr', 'F', 'bad'],
        ['stdout', 'F', 'a b|ü"\\'],
      ]);
    });

    test('has exactly the environment given, and HOME', async () => {
      const { stdout } = await runToEnd(['env'], { process: { env: ['PATH=/bin', 'A=1=2', 'EMPTY=', 'B=x y'] } });
      expect(stdout.trim().split('\n').sort()).toEqual(['A=1=2', 'B=x y', 'EMPTY=', 'HOME=/root', 'PATH=/bin']);
    });

    test('starts in its working directory, made if need be', async () => {
      expect((await runToEnd(['pwd'], { process: { cwd: '/srv/new/place' } })).stdout).toBe('/srv/new/place\n');
    });

    test('is process 1 and sees its own processes only', async () => {
      const { stdout } = await shell('echo $$; sleep 0 & ps | wc -l');
      const [pid, lines] = stdout.trim().split('\n').map(Number);
      expect(pid).toBe(1);
      expect(lines).toBeLessThan(8);
    });

    test('has the hostname of its pod', async () => {
      expect((await runToEnd(['hostname'], { hostname: 'db-3' })).stdout).toBe('db-3\n');
    });

    test('finds its standard input empty and nothing else open', async () => {
      const { stdout } = await shell('cat; ls /proc/self/fd');
      // 3 is the folder that ls reads.
      expect(stdout.trim().split('\n')).toEqual(['0', '1', '2', '3']);
    });

    test('has no signal ignored or blocked', async () => {
      const { stdout } = await runToEnd(['cat', '/proc/self/status']);
      expect(statusField(stdout, 'SigIgn')).toBe(0n);
      expect(statusField(stdout, 'SigBlk')).toBe(0n);
    });
  });

  describe('user and privileges', () => {
    test.skipIf(onlyRoot)('runs as the user and groups given', async () => {
      const { stdout } = await runToEnd(['cat', '/proc/self/status'], { process: { user: someUser } });
      expect(stdout).toMatch(/^Uid:\s+1000\s+1000\s+1000\s+1000$/m);
      expect(stdout).toMatch(/^Gid:\s+1001\s+1001\s+1001\s+1001$/m);
      const groups = /^Groups:\s*(.*?)\s*$/m.exec(stdout)![1]!.split(' ').map(Number);
      if (!oneUserOnly) expect(groups.sort((a, b) => a - b)).toEqual([5, 50, 1001]);
    });

    test.runIf(onlyRoot)('refuses a user that the user namespace does not have', async () => {
      const container = await makeContainer(folder, ['true'], { process: { user: someUser } });
      await expect(runtime.start(container)).rejects.toMatchObject({ code: 'ERR_LADING_RUNTIME_USER' });
    });

    test.skipIf(onlyRoot)('a user can open /dev/stdout again', async () => {
      const { stdout, exitCode } = await shell('echo again > /dev/stdout', { process: { user: someUser } });
      expect({ stdout, exitCode }).toEqual({ stdout: 'again\n', exitCode: 0 });
    });

    test('root has the default capabilities, and can gain no others', async () => {
      const { stdout } = await runToEnd(['cat', '/proc/self/status']);
      const expected = maskOf(defaultCapabilities);
      for (const set of ['CapPrm', 'CapEff', 'CapBnd']) expect(statusField(stdout, set)).toBe(expected);
      for (const set of ['CapInh', 'CapAmb']) expect(statusField(stdout, set)).toBe(0n);
    });

    test('has the capabilities given, and all that this process has with CAP_ALL', async () => {
      const two = await runToEnd(['cat', '/proc/self/status'], {
        process: { capabilities: ['CAP_KILL', 'CAP_CHOWN'] },
      });
      expect(statusField(two.stdout, 'CapEff')).toBe(0x21n);
      const none = await runToEnd(['cat', '/proc/self/status'], { process: { capabilities: [] } });
      expect(statusField(none.stdout, 'CapBnd')).toBe(0n);
      const all = await runToEnd(['cat', '/proc/self/status'], { process: { capabilities: ['CAP_ALL'] } });
      expect(statusField(all.stdout, 'CapEff')).toBe(maskOf(['CAP_ALL']));
    });

    test.skipIf(onlyRoot)('an ordinary user has none in force', async () => {
      const { stdout } = await runToEnd(['cat', '/proc/self/status'], { process: { user: someUser } });
      expect(statusField(stdout, 'CapEff')).toBe(0n);
      expect(statusField(stdout, 'CapPrm')).toBe(0n);
    });

    test('no_new_privs as asked', async () => {
      const asked = await runToEnd(['cat', '/proc/self/status'], { process: { noNewPrivileges: true } });
      expect(asked.stdout).toMatch(/^NoNewPrivs:\s+1$/m);
    });

    test('oom_score_adj as asked, or as near as the kernel allows', async () => {
      const { own, mayLower } = probeOomScore();
      const higher = await runToEnd(['cat', '/proc/self/oom_score_adj'], { process: { oomScoreAdj: 777 } });
      expect(higher.stdout).toBe('777\n');
      const lower = await runToEnd(['cat', '/proc/self/oom_score_adj'], { process: { oomScoreAdj: -500 } });
      expect(lower.stdout).toBe(`${mayLower ? -500 : own}\n`);
    });

    test.runIf(features.seccomp)(
      'the default seccomp profile is in force, and only where it is asked for',
      async () => {
        const script = 'cat /proc/self/status; unshare -U true && echo made';
        const { stdout, stderr } = await shell(script);
        expect(stdout).toMatch(/^Seccomp:\s+2$/m);
        expect(stdout).not.toContain('made');
        expect(stderr).toContain('Operation not permitted');
        expect((await shell(script, { seccomp: 'unconfined' })).stdout).toMatch(/^Seccomp:\s+0$/m);
      },
    );

    test.runIf(!features.seccomp)('says that there is no seccomp filter', async () => {
      expect(runtime.isolation).toBe('reduced');
      expect(runtime.limitations.join('\n')).toContain('seccomp');
    });
  });

  describe('files', () => {
    test('masked paths are empty, read-only paths cannot be written', async () => {
      const { stdout, stderr } = await shell('ls /hidden | wc -l; wc -c < /etc/passwd; touch /shown/new', {
        maskedPaths: ['/hidden', '/etc/passwd', '/not/there'],
        readonlyPaths: ['/shown', '/not/there'],
        mounts: ['/hidden', '/shown'].map((destination) => ({ source: folder, destination, readonly: false })),
      });
      expect(stdout).toBe('0\n0\n');
      expect(stderr).toContain('Read-only file system');
      expect(existsSync(path.join(folder, 'new'))).toBe(false);
    });

    test('/proc/sys cannot be written and /proc/kcore not be read', async () => {
      const { stdout, stderr } = await shell('head -c 1 /proc/kcore | wc -c; echo 1 > /proc/sys/kernel/panic');
      expect(stdout).toBe('0\n');
      expect(stderr).toMatch(/panic.*Read-only file system/);
    });

    test('a read-only root file system cannot be written, /dev/shm can', async () => {
      const { stdout, stderr } = await shell('touch /tmp/x; touch /dev/shm/x && echo shm', { readonlyRootfs: true });
      expect(stdout).toBe('shm\n');
      expect(stderr).toContain('Read-only file system');
    });

    test('a writable one keeps what is written', async () => {
      const container = await makeContainer(folder, ['sh', '-c', 'echo kept > /tmp/x']);
      await (await runtime.start(container)).exited;
      expect(await readFile(path.join(container.rootfs, 'tmp/x'), 'utf8')).toBe('kept\n');
    });

    test('mounts files and directories, read-only where asked, at places that are made', async () => {
      const data = path.join(folder, 'data');
      await mkdir(data);
      await writeFile(path.join(data, 'file'), 'content\n');
      const { stdout, stderr } = await shell('cat /deep/down/config; touch /rw/made; touch /ro/made; ls /ro', {
        mounts: [
          { source: path.join(data, 'file'), destination: '/deep/down/config', readonly: true },
          { source: data, destination: '/ro', readonly: true },
          { source: data, destination: '/rw', readonly: false },
        ],
      });
      expect(stdout).toBe('content\nfile\nmade\n');
      expect(stderr).toContain('Read-only file system');
      await rm(data, { recursive: true });
    });

    test('a symlink of the image does not lead a mount out of the root file system', async () => {
      const outside = path.join(folder, 'outside');
      await mkdir(outside);
      const source = path.join(folder, 'source');
      await mkdir(source);
      await writeFile(path.join(source, 'content'), '');
      const container = await makeContainer(folder, ['ls', '/link/'], {
        mounts: [{ source, destination: '/link', readonly: false }],
      });
      await symlink(outside, path.join(container.rootfs, 'link'));
      await (await runtime.start(container)).exited;
      expect(bytesOf(await readLog(container.logPath))).toBe('content\n');
      expect(readdirSync(outside)).toEqual([]);
      await rm(outside, { recursive: true });
      await rm(source, { recursive: true });
    });

    test('has the devices that programs expect, and cannot open one that it makes', async () => {
      const { stdout, stderr } = await shell(
        'echo x > /dev/null; head -c 3 /dev/zero | wc -c; head -c 3 /dev/urandom | wc -c; ls -l /dev/pts/ptmx | wc -l;' +
          'mknod /tmp/disk b 7 0; head -c 1 /tmp/disk && echo opened; mknod /dev/shm/zero c 1 5; mount -t tmpfs x /tmp',
      );
      expect(stdout).toBe('3\n3\n1\n');
      expect(stderr).toMatch(/disk.*(not permitted|denied|No such)/);
      expect(stderr).toMatch(/mount.*(permission|permitted)/i);
    });
  });

  describe('end', () => {
    test('SIGTERM reaches process 1, which may handle it', async () => {
      const script = 'trap "echo bye; exit 3" TERM; echo ready; while :; do sleep 0.05; done';
      const container = await makeContainer(folder, ['sh', '-c', script]);
      const running = await runtime.start(container);
      await waitForOutput(container.logPath, 'ready');
      await running.kill('SIGTERM');
      expect(await running.exited).toEqual({ exitCode: 3, oomKilled: false });
      expect(bytesOf(await readLog(container.logPath))).toBe('ready\nbye\n');
    });

    test('SIGKILL ends it with 137 and everything that it started', async () => {
      const container = await makeContainer(folder, ['sh', '-c', 'sleep 1000 & echo ready; sleep 1000']);
      const running = await runtime.start(container);
      await waitForOutput(container.logPath, 'ready');
      expect(runs(running.pid)).toBe(true);
      await running.kill('SIGKILL');
      expect((await running.exited).exitCode).toBe(137);
      expect(runs(running.pid)).toBe(false);
      await running.kill('SIGKILL');
    });

    test('a program that is not there is an error of the start, in plain words', async () => {
      for (const program of ['nosuch', '/bin/nosuch']) {
        const container = await makeContainer(folder, [program]);
        const failure = await runtime.start(container).catch((error: Error) => error);
        expect(failure).toMatchObject({ code: 'ERR_LADING_RUNTIME_START', hint: expect.stringContaining(program) });
        expect((failure as Error).message).toMatch(/nosuch.*(not found|no such file)/i);
        expectNothingLeft();
      }
    });

    test('so are a working directory and a mount where no directory can be made', async () => {
      const noPlace = { source: folder, destination: '/proc/no/place', readonly: true };
      for (const wishes of [{ process: { cwd: '/proc/no/place' } }, { mounts: [noPlace] }]) {
        const container = await makeContainer(folder, ['true'], wishes);
        const start = runtime.start(container);
        await expect(start).rejects.toMatchObject({ code: 'ERR_LADING_RUNTIME_START' });
        expectNothingLeft();
      }
    });

    test('so are a mount of what is not there and a log in a folder that is not there', async () => {
      const missing = path.join(folder, 'missing');
      const mounts = [{ source: missing, destination: '/data', readonly: true }];
      for (const wishes of [{ mounts }, { logPath: path.join(missing, 'log') }]) {
        const container = await makeContainer(folder, ['true'], wishes);
        const start = runtime.start(container);
        await expect(start).rejects.toMatchObject({ code: 'ERR_LADING_RUNTIME_START' });
        await expect(start).rejects.toThrow(/missing/);
        expectNothingLeft();
      }
    });

    test('an unknown capability is an error of the start', async () => {
      const container = await makeContainer(folder, ['true'], { process: { capabilities: ['CAP_FLY'] } });
      await expect(runtime.start(container)).rejects.toThrow('there is no capability CAP_FLY');
    });

    test.runIf(features.tellsOutOfMemory)('tells when the memory limit was the reason', async () => {
      const { exitCode, oomKilled } = await runToEnd(['tail', '/dev/zero'], { memoryLimit: 24 * 1024 * 1024 });
      expect({ exitCode, oomKilled }).toEqual({ exitCode: 137, oomKilled: true });
    });

    test('what a killed process left is cleaned up by another one, and cleaning up again is nothing', async () => {
      const container = await makeContainer(folder, ['sleep', '1000']);
      const plan = path.join(container.bundleDir, 'rootfs', 'plan.json');
      await writeFile(plan, JSON.stringify({ stateDir, prefer: name, container }));
      const supervisor = spawn(process.execPath, [supervisorScript, plan], { stdio: ['ignore', 'pipe', 'inherit'] });
      const [line] = (await once(supervisor.stdout, 'data')) as [Buffer];
      supervisor.kill('SIGKILL');
      await once(supervisor, 'exit');
      expect(runs(Number(line))).toBe(true);
      await runtime.cleanUp(container.id, container.bundleDir);
      expect(runs(Number(line))).toBe(false);
      expectNothingLeft();
      await runtime.cleanUp(container.id, container.bundleDir);
    });
  });

  describe('log', () => {
    test('has a timestamp with nanoseconds, a stream and a tag in each record, in order', async () => {
      const before = new Date(Date.now() - 5).toISOString();
      const { records } = await shell('seq 1 200');
      expect(records.map(({ text }) => Number(text))).toEqual(Array.from({ length: 200 }, (_, index) => index + 1));
      for (const { time } of records) expect(time).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z$/);
      const times = records.map(({ time }) => time);
      expect(times).toEqual([...times].sort());
      expect(times[0]! > before).toBe(true);
    });

    test('cuts long lines into parts of 16 KiB and keeps a missing newline missing', async () => {
      const { records } = await shell(
        'head -c 40000 /dev/zero | tr "\\0" a; echo; echo; head -c 10 /dev/zero | tr "\\0" b',
      );
      expect(records.map(({ tag, text }) => [tag, text.length])).toEqual([
        ['P', 16384],
        ['P', 16384],
        ['F', 7232],
        ['F', 0],
        ['P', 10],
      ]);
    });

    test('is complete when the container has ended, however much there is', async () => {
      const { records } = await shell('seq 1 200000');
      expect(records.length).toBe(200_000);
      expect(records.at(-1)!.text).toBe('200000');
    });

    test('none is written without a path', async () => {
      const container = await makeContainer(folder, ['sh', '-c', 'seq 1 50000; exit 5']);
      const { exitCode } = await (await runtime.start({ ...container, logPath: undefined })).exited;
      expect(exitCode).toBe(5);
      expect(existsSync(container.logPath)).toBe(false);
    });
  });
}

const supervisorScript = fileURLToPath(new URL('../support/supervisor.ts', import.meta.url));

function maskOf(capabilities: readonly string[]): bigint {
  return grantedCapabilities(capabilities, ownCapabilities()).reduce(
    (mask, name) => mask | (1n << BigInt(capabilityNumber(name))),
    0n,
  );
}

function statusField(status: string, field: string): bigint {
  return BigInt(`0x${new RegExp(`^${field}:\\s*([0-9a-f]+)$`, 'm').exec(status)![1]}`);
}

function mountInfo(): string {
  return readFileSync('/proc/self/mountinfo', 'utf8');
}

function testFoldersIn(mountPoint: string): string[] {
  return readdirSync(mountPoint).filter((entry) => entry.startsWith(`lading-test-${process.pid}`));
}

/** False for one that has ended, even if nobody has asked how. */
function runs(pid: number): boolean {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}

/** Processes with a path in their command line. */
function processesThatMention(text: string): string[] {
  return readdirSync('/proc')
    .filter((entry) => /^\d+$/.test(entry))
    .flatMap((pid) => {
      try {
        const command = readFileSync(`/proc/${pid}/cmdline`, 'utf8');
        return command.includes(text) ? [command.replaceAll('\0', ' ')] : [];
      } catch {
        return [];
      }
    });
}
