import { existsSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { selectRuntime } from '../../src/runtime/index.ts';
import { containerRuntimeSuite } from '../suites/container-runtime.ts';
import { busyboxMissing } from '../support/busybox.ts';
import { bytesOf, makeContainer, readLog } from '../support/container.ts';
import { whyNot } from '../support/runtimes.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const reason = busyboxMissing ?? (await whyNot('embedded'));

describe.skipIf(reason)(`containers by the embedded runtime${reason ? ` (skipped: ${reason})` : ''}`, () => {
  if (reason) test('needs util-linux', () => undefined);
  else containerRuntimeSuite('embedded', { seccomp: false, cgroups: false, tellsOutOfMemory: false });
});

/** @see https://nvd.nist.gov/vuln/detail/CVE-2019-5736 the same hole in runc */
describe.skipIf(reason)('the program that starts containers', () => {
  test('cannot be written by a container that runs it as /proc/self/exe', async () => {
    const folder = await temporaryFolder();
    const { runtime } = await selectRuntime({ stateDir: path.join(folder, 'state'), prefer: 'embedded' });
    const script =
      'try { fs.accessSync("/proc/self/exe", 2); console.log("writable") } catch (e) { console.log(e.code) }';
    const libraries = ['/lib', '/lib64', '/usr/lib'].filter((source) => existsSync(source));
    const container = await makeContainer(folder, ['/proc/self/exe', '-e', script], {
      mounts: libraries.map((source) => ({ source, destination: source, readonly: true })),
    });
    await (await runtime.start(container)).exited;
    await runtime.cleanUp(container.id, container.bundleDir);
    expect(bytesOf(await readLog(container.logPath))).toBe('EROFS\n');
  });
});
