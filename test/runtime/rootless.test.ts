/** The same suites for users who are not root: run again by vitest in a user namespace of such a user. */
import { spawnSync } from 'node:child_process';
import { chmodSync, chownSync, copyFileSync, linkSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { findProgram } from '../../src/runtime/installed-programs.ts';
import { busyboxMissing } from '../support/busybox.ts';
import { closedToOthers, isNested, nestedTests, nestedTimeoutMs, runNested } from '../support/nested-tests.ts';

const enter = fileURLToPath(new URL('../support/enter-user-namespace.ts', import.meta.url));
const isRoot = process.geteuid?.() === 0 && !isNested;
const reason = isRoot ? (busyboxMissing ?? closedToOthers()) : 'needs root, to become another user';

/** A user without a name and without a range in /etc/subuid. */
const loneUser = 64_321;

describe.skipIf(reason)(`without root${reason ? ` (skipped: ${reason})` : ''}`, { timeout: nestedTimeoutMs }, () => {
  let folder: string;
  let node: string;

  beforeAll(() => {
    folder = mkdtempSync(path.join(tmpdir(), 'lading-rootless-'));
    chmodSync(folder, 0o755);
    node = path.join(folder, 'node');
    // The program that runs this test may lie in a folder that is closed to others.
    try {
      linkSync(process.execPath, node);
    } catch {
      copyFileSync(process.execPath, node);
    }
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  function runAs(user: number, files: readonly string[]) {
    const home = path.join(folder, String(user));
    mkdirSync(home, { recursive: true });
    chownSync(home, user, user);
    const become = ['setpriv', '--reuid', String(user), '--regid', String(user), '--clear-groups', '--'];
    const ofRoot = ['XDG_CACHE_HOME', 'XDG_CONFIG_HOME', 'XDG_DATA_HOME', 'XDG_RUNTIME_DIR', 'USER', 'LOGNAME'];
    const env = { HOME: home, TMPDIR: home, ...Object.fromEntries(ofRoot.map((name) => [name, undefined])) };
    return runNested([...become, node, enter, ...nestedTests(files)], { env });
  }

  test('the embedded runtime works with the one user of its user namespace', () => {
    const { exitCode, output } = runAs(loneUser, ['test/runtime/embedded.test.ts']);
    expect(output).toMatch(/Tests .*[0-9]{2} passed/);
    expect(exitCode, output).toBe(0);
  });

  test.skipIf(!findProgram('runc'))('runc works with the one user of its user namespace', () => {
    const { exitCode, output } = runAs(loneUser, ['test/runtime/runc.test.ts']);
    expect(output).toMatch(/Tests .*[0-9]{2} passed/);
    expect(exitCode, output).toBe(0);
  });

  const manyUsers = userWithRange();
  test.skipIf(manyUsers === undefined)(
    'both work with a range of users (needs newuidmap, and a user in /etc/subuid)',
    () => {
      const { exitCode, output } = runAs(manyUsers!, ['test/runtime/embedded.test.ts', 'test/runtime/runc.test.ts']);
      expect(output).toMatch(/Tests .*[0-9]{2} passed/);
      expect(exitCode, output).toBe(0);
    },
  );
});

/** Some user of this machine that /etc/subuid and /etc/subgid give a range. */
function userWithRange(): number | undefined {
  if (!findProgram('newuidmap') || !findProgram('newgidmap')) return undefined;
  try {
    const names = (file: string) =>
      readFileSync(file, 'utf8')
        .split('\n')
        .map((line) => line.split(':')[0]!);
    const groups = new Set(names('/etc/subgid'));
    for (const name of names('/etc/subuid')) {
      const { status, stdout } = spawnSync('id', ['-u', name], { encoding: 'utf8' });
      if (name !== '' && groups.has(name) && status === 0 && Number(stdout) > 0) return Number(stdout);
    }
  } catch {
    // No such files.
  }
  return undefined;
}
