import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { accessSync, constants, existsSync, mkdirSync, rmdirSync, writeFileSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import {
  type CgroupHierarchy,
  cgroupHierarchies,
  checkCgroupPath,
  holdCgroup,
  oomKills,
  removeCgroup,
} from '../../src/runtime/cgroup.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const version1 = [
  '31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755',
  '32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct',
  '35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory',
  '40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,name=systemd',
];
const version2 = '41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw';
const boundElsewhere = '50 31 0:32 /docker/abc /mnt/memory ro,relatime - cgroup cgroup rw,memory';

describe('hierarchies', () => {
  test('version 1, one per set of controllers', () => {
    const found = cgroupHierarchies([...version1, boundElsewhere].join('\n'));
    expect(found.map(({ version, mountPoint, controllers }) => [version, mountPoint, controllers.slice(1)])).toEqual([
      [1, '/sys/fs/cgroup/cpu,cpuacct', ['cpu', 'cpuacct']],
      [1, '/sys/fs/cgroup/memory', ['memory']],
      [1, '/sys/fs/cgroup/systemd', ['name=systemd']],
    ]);
  });

  test('version 2', () => {
    const unified = '31 23 0:28 / /sys/fs/cgroup rw,nosuid,relatime shared:4 - cgroup2 cgroup2 rw,nsdelegate';
    expect(cgroupHierarchies(unified)).toEqual([{ version: 2, mountPoint: '/sys/fs/cgroup', controllers: [] }]);
  });

  test('hybrid, and none', () => {
    expect(cgroupHierarchies([...version1, version2].join('\n')).map(({ version }) => version)).toEqual([1, 1, 1, 2]);
    expect(cgroupHierarchies('22 27 0:21 / /proc rw,relatime - proc proc rw')).toEqual([]);
  });
});

describe('kills for memory', () => {
  test.each([
    ['1', 1, 'memory.oom_control', 'oom_kill_disable 0\nunder_oom 0\noom_kill 3\n'],
    ['2', 2, 'memory.events', 'low 0\nhigh 0\nmax 5\noom 1\noom_kill 3\noom_group_kill 0\n'],
  ] as const)('are read from version %s', async (_, version, file, content) => {
    const mountPoint = await temporaryFolder();
    await mkdir(path.join(mountPoint, 'a/b'), { recursive: true });
    await writeFile(path.join(mountPoint, 'a/b', file), content);
    const cpu: CgroupHierarchy = { version: 1, mountPoint: '/nowhere', controllers: ['rw', 'cpu'] };
    const hierarchy: CgroupHierarchy = { version, mountPoint, controllers: version === 1 ? ['rw', 'memory'] : [] };
    expect(oomKills('/a/b', [cpu, hierarchy])).toBe(3);
    expect(oomKills('/a/c', [cpu, hierarchy])).toBe(0);
  });
});

test.each(['', '/', 'a', 'a/b', '/a/../b', '/a//b', '/a/.', '../a'])('%j is no cgroup path', (cgroupPath) => {
  expect(() => checkCgroupPath(cgroupPath)).toThrow(/is no cgroup path/);
});

const [writable] = cgroupHierarchies().filter(({ mountPoint }) => canWrite(mountPoint));

describe.skipIf(!writable)('removal (needs a cgroup hierarchy that may be written)', () => {
  test('keeps the folders above a cgroup that is about to be made', async () => {
    const pod = `/lading-test-${process.pid}-held`;
    const folder = (below: string) => path.join(writable!.mountPoint, pod, below);
    mkdirSync(folder('first'), { recursive: true });
    onTestFinished(() => {
      if (existsSync(folder(''))) rmdirSync(folder(''));
    });
    holdCgroup(`${pod}/second`);
    await removeCgroup(`${pod}/first`, { timeoutMs: 10_000, hierarchies: [writable!] });
    expect(existsSync(folder('first'))).toBe(false);
    expect(existsSync(folder(''))).toBe(true);
    await removeCgroup(`${pod}/second`, { timeoutMs: 10_000, hierarchies: [writable!] });
    expect(existsSync(folder(''))).toBe(false);
  });

  test('kills what runs in the cgroup and below, and removes the folders above that are empty', async () => {
    const name = `lading-test-${process.pid}-cgroup`;
    const folder = (below: string) => path.join(writable!.mountPoint, name, below);
    mkdirSync(folder('pod/container/inner'), { recursive: true });
    mkdirSync(folder('other'));
    onTestFinished(() => {
      for (const left of ['other', '']) if (existsSync(folder(left))) rmdirSync(folder(left));
    });
    const sleeper = spawn('sleep', ['1000'], { stdio: 'ignore' });
    const ended = once(sleeper, 'exit');
    writeFileSync(path.join(folder('pod/container/inner'), 'cgroup.procs'), String(sleeper.pid));

    await removeCgroup(`/${name}/pod/container`, { timeoutMs: 10_000, hierarchies: [writable!] });
    expect((await ended)[1]).toBe('SIGKILL');
    expect(existsSync(folder('pod'))).toBe(false);
    expect(existsSync(folder('other'))).toBe(true);

    await removeCgroup(`/${name}/pod/container`, { timeoutMs: 10_000, hierarchies: [writable!] });
    await removeCgroup(`/${name}/other`, { timeoutMs: 10_000, hierarchies: [writable!] });
    expect(existsSync(folder(''))).toBe(false);
    expect(existsSync(writable!.mountPoint)).toBe(true);
  });
});

function canWrite(folder: string): boolean {
  try {
    accessSync(folder, constants.W_OK);
    return process.geteuid?.() === 0 && process.env.LADING_USER_NAMESPACE === undefined;
  } catch {
    return false;
  }
}
