import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import type { ContainerConfig } from '../../src/cri/index.ts';
import { containerProcess } from '../../src/engine/container-process.ts';
import type { ImageConfig } from '../../src/oci/index.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const config: ContainerConfig = {
  metadata: { name: 'web', attempt: 0 },
  image: { image: 'sha256:0' },
  command: [],
  args: [],
  workingDir: '',
  envs: [],
  mounts: [],
  logPath: '',
  labels: {},
  annotations: {},
  linux: {},
};

function image(defaults: ImageConfig['config']): ImageConfig {
  return { architecture: 'amd64', os: 'linux', config: defaults, rootfs: { type: 'layers', diffIds: [] } };
}

async function rootfs(): Promise<string> {
  const folder = await temporaryFolder();
  mkdirSync(path.join(folder, 'etc'));
  writeFileSync(path.join(folder, 'etc/passwd'), 'root:x:0:0::/:\nweb:x:101:102::/:\n');
  writeFileSync(path.join(folder, 'etc/group'), 'root:x:0:\nweb:x:102:\nlogs:x:103:web\n');
  return folder;
}

describe('the process of a container', () => {
  test.each([
    { command: [], args: [], expected: ['/entry', 'cmd'] },
    { command: [], args: ['a'], expected: ['/entry', 'a'] },
    { command: ['/c'], args: [], expected: ['/c'] },
    { command: ['/c'], args: ['a'], expected: ['/c', 'a'] },
  ])('command $command and args $args replace Entrypoint and Cmd', async ({ command, args, expected }) => {
    const defaults = image({ Entrypoint: ['/entry'], Cmd: ['cmd'] });
    const process = containerProcess({ ...config, command, args }, defaults, await rootfs(), 'pod');
    expect(process.args).toEqual(expected);
  });

  test('nothing to run is an error that says what to do', async () => {
    const root = await rootfs();
    expect(() => containerProcess(config, image({}), root, 'pod')).toThrow('no command specified for container web');
  });

  test('the environment of the pod wins over the image, the image over the defaults', async () => {
    const process = containerProcess(
      {
        ...config,
        args: ['x'],
        envs: [
          { key: 'A', value: 'pod' },
          { key: 'EMPTY', value: '' },
        ],
      },
      image({ Env: ['A=image', 'B=image=2', 'PATH=/only'] }),
      await rootfs(),
      'pod-name',
    );
    expect(process.env).toEqual(['PATH=/only', 'HOSTNAME=pod-name', 'A=pod', 'B=image=2', 'EMPTY=']);
  });

  test('the working directory of the pod wins over the image', async () => {
    const root = await rootfs();
    const defaults = image({ WorkingDir: '/image' });
    expect(containerProcess({ ...config, args: ['x'] }, defaults, root, '').cwd).toBe('/image');
    expect(containerProcess({ ...config, args: ['x'], workingDir: '/pod' }, defaults, root, '').cwd).toBe('/pod');
    expect(containerProcess({ ...config, args: ['x'] }, image({}), root, '').cwd).toBe('/');
  });

  test('the user comes from the pod, else from the image, with the groups that the image knows', async () => {
    const root = await rootfs();
    const as = (securityContext: NonNullable<ContainerConfig['linux']['securityContext']>, User = '') =>
      containerProcess({ ...config, args: ['x'], linux: { securityContext } }, image({ User }), root, '').user;
    expect(as({}, 'web')).toEqual({ uid: 101, gid: 102, additionalGids: [103] });
    expect(as({})).toMatchObject({ uid: 0, gid: 0 });
    expect(as({ runAsUser: { value: 7 } }, 'web')).toMatchObject({ uid: 7, gid: 0 });
    expect(as({ runAsUser: { value: 7 }, runAsGroup: { value: 8 }, supplementalGroups: [9] })).toEqual({
      uid: 7,
      gid: 8,
      additionalGids: [9],
    });
    expect(as({ runAsGroup: { value: 8 } }, 'web')).toMatchObject({ uid: 101, gid: 8 });
  });

  test('capabilities are the default set, changed by add and drop; ALL is understood', async () => {
    const root = await rootfs();
    const capabilities = (change: { addCapabilities?: string[]; dropCapabilities?: string[] }) =>
      containerProcess(
        { ...config, args: ['x'], linux: { securityContext: { capabilities: change } } },
        image({}),
        root,
        '',
      ).capabilities;
    expect(capabilities({})).toContain('CAP_CHOWN');
    expect(capabilities({})).not.toContain('CAP_SYS_ADMIN');
    expect(capabilities({ addCapabilities: ['NET_ADMIN'], dropCapabilities: ['chown'] })).toContain('CAP_NET_ADMIN');
    expect(capabilities({ dropCapabilities: ['CHOWN'] })).not.toContain('CAP_CHOWN');
    expect(capabilities({ addCapabilities: ['NET_BIND_SERVICE'], dropCapabilities: ['ALL'] })).toEqual([
      'CAP_NET_BIND_SERVICE',
    ]);
  });
});
