import { describe, expect, test } from 'vitest';
import { containerRuntimeSuite } from '../suites/container-runtime.ts';
import { busyboxMissing } from '../support/busybox.ts';
import { isNested, nestedTests, nestedTimeoutMs, runNested } from '../support/nested-tests.ts';
import { whyNot } from '../support/runtimes.ts';

const reason = busyboxMissing ?? (await whyNot('crun'));
const cgroups = process.env.LADING_USER_NAMESPACE === undefined;

describe.skipIf(reason)(`containers by crun${reason ? ` (skipped: ${reason})` : ''}`, () => {
  if (reason) test('needs crun', () => undefined);
  else containerRuntimeSuite('crun', { seccomp: true, cgroups, tellsOutOfMemory: false });
});

describe.runIf(reason?.includes('hybrid') && !isNested && process.geteuid!() === 0)('crun on hybrid cgroups', () => {
  test('works where the hierarchy of version 2 is out of sight', { timeout: nestedTimeoutMs }, () => {
    const script = 'umount /sys/fs/cgroup/unified && exec "$@"';
    const command = [process.execPath, ...nestedTests(['test/runtime/crun.test.ts'])];
    const { exitCode, output } = runNested(['unshare', '--mount', 'sh', '-c', script, 'sh', ...command]);
    expect(output).toMatch(/Tests .*[0-9]{2} passed/);
    expect(exitCode, output).toBe(0);
  });
});
