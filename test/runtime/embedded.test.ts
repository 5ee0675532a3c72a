import { spawnSync } from 'node:child_process';
import { closeSync, existsSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, onTestFinished, test } from 'vitest';
import { isInUserNamespace, selectRuntime } from '../../src/runtime/index.ts';
import { containerRuntimeSuite } from '../suites/container-runtime.ts';
import { busyboxMissing } from '../support/busybox.ts';
import { bytesOf, makeContainer, readLog } from '../support/container.ts';
import { whyNot } from '../support/runtimes.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const supervisorScript = fileURLToPath(new URL('../support/supervisor.ts', import.meta.url));
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
    // Not even its owner; EACCES is for users who do not own it.
    expect(bytesOf(await readLog(container.logPath))).toBe(isInUserNamespace() ? 'EACCES\n' : 'EROFS\n');
  });

  /** @see https://nvd.nist.gov/vuln/detail/CVE-2024-21626 the same hole in runc */
  test('gives no container a folder of the node as its working directory', async () => {
    const folder = await temporaryFolder();
    // Node closes what it inherits up to here in the programs that it starts.
    const descriptor = 200;
    const cwd = `/proc/self/fd/${descriptor}`;
    const container = await makeContainer(folder, ['ls'], { process: { cwd } });
    const order = path.join(folder, 'order.json');
    writeFileSync(order, JSON.stringify({ stateDir: path.join(folder, 'state'), prefer: 'embedded', container }));
    const nodeRoot = openSync('/', 'r');
    onTestFinished(() => closeSync(nodeRoot));
    const ignored = Array<'ignore'>(descriptor - 3).fill('ignore');
    const { stderr } = spawnSync(process.execPath, [supervisorScript, order], {
      stdio: ['ignore', 'ignore', 'pipe', ...ignored, nodeRoot],
      encoding: 'utf8',
    });
    expect(stderr).toContain(`the working directory ${cwd} is not in the root file system`);
    expect(existsSync(container.logPath) && readFileSync(container.logPath, 'utf8')).toBeFalsy();
  });
});
