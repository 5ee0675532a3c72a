import { spawnSync } from 'node:child_process';
import { chmodSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterEach, describe, expect, onTestFinished, test, vi } from 'vitest';
import { selectRuntime } from '../../src/runtime/index.ts';
import { findProgram } from '../../src/runtime/installed-programs.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const isRoot = process.platform === 'linux' && process.geteuid?.() === 0;

afterEach(() => {
  vi.unstubAllEnvs();
});

/** Puts a program before all others of its name. */
async function install(name: string, script: string): Promise<string> {
  const folder = await temporaryFolder();
  const file = path.join(folder, name);
  writeFileSync(file, `#!/bin/sh\n${script}\n`);
  chmodSync(file, 0o755);
  vi.stubEnv('PATH', `${folder}:${process.env.PATH}`);
  return file;
}

/** A runtime that starts nothing: it says why and fails. Counts how often it is asked to run. */
async function installBroken(name: string): Promise<() => number> {
  const count = path.join(await temporaryFolder(), 'count');
  await install(
    name,
    `case "$*" in *" run "*) echo x >> ${count}; echo "${name}: out of luck" >&2; exit 1;; *) echo "${name} version 9.9";; esac`,
  );
  return () => readFileSync(count, 'utf8').trim().split('\n').length;
}

describe.skipIf(!isRoot)('choice (needs root on Linux)', () => {
  test('is the first that runs a container, with the reason why not of those before', async () => {
    await installBroken('runc');
    await installBroken('crun');
    const stateDir = path.join(await temporaryFolder(), 'new', 'state');
    const { runtime, rejected } = await selectRuntime({ stateDir });
    expect(runtime.name).toBe('embedded');
    expect(runtime.isolation).toBe('reduced');
    expect(runtime.limitations.length).toBeGreaterThan(0);
    expect(rejected).toEqual([
      { name: 'runc', reason: 'runc: out of luck' },
      { name: 'crun', reason: 'crun: out of luck' },
    ]);
    expect(readdirSync(stateDir).filter((entry) => entry.startsWith('trial-'))).toEqual([]);
  });

  test('is remembered until the program changes', async () => {
    const tries = await installBroken('runc');
    const stateDir = await temporaryFolder();
    await selectRuntime({ stateDir });
    await selectRuntime({ stateDir });
    expect(tries()).toBe(1);
    const again = await installBroken('runc');
    await selectRuntime({ stateDir });
    expect(again()).toBe(1);
  });

  test('a record that cannot be read is made anew', async () => {
    const stateDir = await temporaryFolder();
    writeFileSync(path.join(stateDir, 'trials.json'), '{"runc":');
    await selectRuntime({ stateDir, prefer: 'embedded' });
    expect(Object.keys(JSON.parse(readFileSync(path.join(stateDir, 'trials.json'), 'utf8')))).toEqual(['embedded']);
  });

  test('one that was asked for and does not work is an error, not another one', async () => {
    await installBroken('crun');
    const choice = selectRuntime({ stateDir: await temporaryFolder(), prefer: 'crun' });
    await expect(choice).rejects.toThrow('containers cannot run here: crun: crun: out of luck');
    await expect(choice).rejects.toMatchObject({ code: 'ERR_LADING_RUNTIME_UNSUPPORTED' });
  });

  test('on a disk that is mounted noexec the disk is blamed, not the runtimes', async (context) => {
    const disk = await temporaryFolder();
    const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'noexec', 'tmpfs', disk]).status === 0;
    if (!mounted) return context.skip('nothing can be mounted here');
    onTestFinished(() => {
      spawnSync('umount', [disk]);
    });
    await expect(selectRuntime({ stateDir: path.join(disk, 'state') })).rejects.toMatchObject({
      code: 'ERR_LADING_RUNTIME_UNSUPPORTED',
      hint: `${disk} is mounted noexec: nothing that is there can run. Choose another folder with --root.`,
    });
  });

  test('a runtime that fails because of seccomp is taken without it, and says so', async () => {
    const real = findProgram('runc');
    if (!real) return;
    const refuseSeccomp = `case "$*" in *" run "*) for last; do :; done; while [ "$1" != --bundle ]; do shift; done;
      if grep -q defaultErrnoRet "$2/config.json"; then echo "seccomp: not built in" >&2; exit 1; fi;; esac`;
    await install('runc', `all="$*"; ( set -- $all; ${refuseSeccomp} ) || exit 1; exec ${real} "$@"`);
    const { runtime } = await selectRuntime({ stateDir: await temporaryFolder(), prefer: 'runc' });
    expect(runtime.isolation).toBe('reduced');
    expect(runtime.limitations.join()).toContain('has no seccomp');
  });
});

describe('machines that cannot run containers', () => {
  function pretend(property: 'platform' | 'arch' | 'geteuid', value: unknown): void {
    const before = Object.getOwnPropertyDescriptor(process, property)!;
    Object.defineProperty(process, property, { ...before, value });
    onTestFinished(() => {
      Object.defineProperty(process, property, before);
    });
  }

  test.each(['darwin', 'win32'])('%s says so, and what works', async (platform) => {
    pretend('platform', platform);
    await expect(selectRuntime({ stateDir: '/nowhere' })).rejects.toMatchObject({
      code: 'ERR_LADING_RUNTIME_UNSUPPORTED',
      message: expect.stringContaining(`needs Linux on x64 or arm64, and this is ${platform}`),
      hint: expect.stringContaining('Everything but running works here'),
    });
  });

  test.skipIf(process.platform !== 'linux')(
    'a user who is not root is told of user namespaces (needs Linux)',
    async () => {
      pretend('geteuid', () => 1000);
      await expect(selectRuntime({ stateDir: '/nowhere' })).rejects.toThrow('needs root or a user namespace');
    },
  );
});
