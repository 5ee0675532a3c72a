import { describe, expect, test } from 'vitest';
import { type HostFacts, IdMap } from '../../src/runtime/host-facts.ts';
import type { RuntimeContainer } from '../../src/runtime/index.ts';
import { buildSpec } from '../../src/runtime/spec.ts';

const root: HostFacts = {
  inUserNamespace: false,
  uidMap: new IdMap('0 0 4294967295'),
  gidMap: new IdMap('0 0 4294967295'),
  maySetGroups: true,
  cgroupNamespaces: true,
  capabilities: new Set(['CAP_CHOWN', 'CAP_KILL']),
};
const oneUser: HostFacts = {
  ...root,
  inUserNamespace: true,
  uidMap: new IdMap('         0       1000          1\n'),
  gidMap: new IdMap('         0       1000          1\n'),
  maySetGroups: false,
};
const container: RuntimeContainer = {
  id: 'c1',
  bundleDir: '/bundle',
  rootfs: '/bundle/rootfs',
  process: {
    args: ['a'],
    env: ['A=1'],
    cwd: '/w',
    user: { uid: 5, gid: 6, additionalGids: [7, 6, 7] },
    capabilities: ['CAP_CHOWN', 'CAP_SYS_ADMIN'],
    noNewPrivileges: true,
  },
  hostname: 'h',
  mounts: [],
  readonlyRootfs: true,
  maskedPaths: ['/m'],
  readonlyPaths: ['/r'],
  seccomp: 'default',
  cgroupPath: '/lading/c1',
};
const full = { cgroups: true, seccomp: true };

describe('process', () => {
  test('has what it may have', () => {
    const spec = buildSpec(container, root, full, 5);
    expect(spec.process).toEqual({
      terminal: false,
      args: ['a'],
      env: ['A=1'],
      cwd: '/w',
      user: { uid: 5, gid: 6, additionalGids: [6, 7] },
      capabilities: { bounding: ['CAP_CHOWN'], effective: ['CAP_CHOWN'], permitted: ['CAP_CHOWN'] },
      noNewPrivileges: true,
      oomScoreAdj: 5,
    });
    expect(spec.root).toEqual({ path: '/bundle/rootfs', readonly: true });
    expect(spec.hostname).toBe('h');
  });

  test('has no groups where they are forbidden, and no score that nobody asked for', () => {
    const { process } = buildSpec(container, oneUser, full, undefined);
    expect(process).toMatchObject({ user: { additionalGids: [] } });
    expect(process).not.toHaveProperty('oomScoreAdj');
  });
});

describe('isolation', () => {
  test('namespaces, masks, cgroup and seccomp profile', () => {
    const { linux } = buildSpec({ ...container, memoryLimit: 1024 }, root, full, undefined);
    expect(linux.namespaces.map(({ type }) => type)).toEqual(['pid', 'ipc', 'uts', 'mount', 'cgroup']);
    expect(linux.maskedPaths).toEqual(['/m']);
    expect(linux.readonlyPaths).toEqual(['/r']);
    expect(linux.cgroupsPath).toBe('/lading/c1');
    expect(linux.resources).toEqual({ devices: [{ allow: false, access: 'rwm' }], memory: { limit: 1024 } });
    expect(linux.seccomp?.defaultAction).toBe('SCMP_ACT_ERRNO');
  });

  test('without what is not there or not wanted', () => {
    const { linux } = buildSpec(container, { ...root, cgroupNamespaces: false }, { cgroups: false, seccomp: false }, 1);
    expect(linux.namespaces.map(({ type }) => type)).not.toContain('cgroup');
    expect(linux).not.toHaveProperty('cgroupsPath');
    expect(linux).not.toHaveProperty('resources');
    expect(linux).not.toHaveProperty('seccomp');
    expect(buildSpec({ ...container, seccomp: 'unconfined' }, root, full, 1).linux).not.toHaveProperty('seccomp');
  });
});

describe('mounts', () => {
  const destinations = (spec: ReturnType<typeof buildSpec>) => spec.mounts.map(({ destination }) => destination);

  test('the system first, then those of the pod, the shallow before the deep', () => {
    const bind = (destination: string, readonly: boolean) => ({ source: '/s', destination, readonly });
    const mounts = [bind('/a/b/c', true), bind('/a', false), bind('/dev/shm', false)];
    const spec = buildSpec({ ...container, mounts }, root, full, undefined);
    expect(destinations(spec)).toEqual([
      ...['/proc', '/dev', '/dev/pts', '/dev/mqueue', '/sys', '/sys/fs/cgroup'],
      ...['/a', '/dev/shm', '/a/b/c'],
    ]);
    const own = spec.mounts.slice(-3).map(({ type, options }) => [type, options.at(-1)]);
    expect(own).toEqual([
      ['bind', 'rw'],
      ['bind', 'rw'],
      ['bind', 'ro'],
    ]);
  });

  test('in a user namespace the sysfs of the node, its cgroups covered, and no group that does not exist', () => {
    const spec = buildSpec(container, oneUser, { cgroups: false, seccomp: true }, undefined);
    const at = (destination: string) => spec.mounts.find((mount) => mount.destination === destination)!;
    expect(at('/sys')).toMatchObject({ source: '/sys', options: expect.arrayContaining(['rbind', 'ro']) });
    expect(at('/sys/fs/cgroup')).toMatchObject({ type: 'tmpfs', options: expect.arrayContaining(['ro']) });
    expect(at('/dev/pts').options).not.toContain('gid=5');
    expect(buildSpec(container, root, full, 1).mounts[2]!.options).toContain('gid=5');
  });
});
