import { describe, test } from 'vitest';
import { containerRuntimeSuite } from '../suites/container-runtime.ts';
import { busyboxMissing } from '../support/busybox.ts';
import { whyNot } from '../support/runtimes.ts';

const reason = busyboxMissing ?? (await whyNot('runc'));
const cgroups = process.env.LADING_USER_NAMESPACE === undefined;

describe.skipIf(reason)(`containers by runc${reason ? ` (skipped: ${reason})` : ''}`, () => {
  if (reason) test('needs runc', () => undefined);
  else containerRuntimeSuite('runc', { seccomp: true, cgroups, tellsOutOfMemory: cgroups });
});
