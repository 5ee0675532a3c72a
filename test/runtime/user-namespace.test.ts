import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { describe, expect, onTestFinished, test } from 'vitest';
import { isInUserNamespace, userNamespaceSupport } from '../../src/runtime/index.ts';
import { explainRefusal } from '../../src/runtime/user-namespace.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const enter = fileURLToPath(new URL('../support/enter-user-namespace.ts', import.meta.url));
const isLinux = process.platform === 'linux';
const support = userNamespaceSupport();

describe('what forbids user namespaces', () => {
  const settings = (values: Record<string, string>) => (file: string) => values[file];

  test.each([
    ['/proc/sys/user/max_user_namespaces', '0', 'user.max_user_namespaces is 0', '=15000'],
    ['/proc/sys/kernel/unprivileged_userns_clone', '0', 'kernel.unprivileged_userns_clone is 0', '=1'],
    [
      '/proc/sys/kernel/apparmor_restrict_unprivileged_userns',
      '1',
      'kernel.apparmor_restrict_unprivileged_userns is 1',
      '=0',
    ],
  ])('%s', (file, value, reason, hint) => {
    const others = { '/proc/sys/user/max_user_namespaces': '95000', '/proc/sys/kernel/unprivileged_userns_clone': '1' };
    const refusal = explainRefusal('unshare: failed', settings({ ...others, [file]: value }));
    expect(refusal.reason).toContain(reason);
    expect(refusal.hint).toContain(hint);
  });

  test('something unknown, in the words of unshare(1)', () => {
    const refusal = explainRefusal('unshare: unshare failed: Operation not permitted', settings({}));
    expect(refusal.reason).toBe('unshare: unshare failed: Operation not permitted');
  });

  test.skipIf(!support.ok)('a real limit of 0 (needs user namespaces)', () => {
    // Inside a user namespace the setting is that namespace's own.
    const index = new URL('../../src/runtime/index.ts', import.meta.url).href;
    const ask = `import(${JSON.stringify(index)}).then((m) => console.log(JSON.stringify(m.userNamespaceSupport())))`;
    const script = `echo 0 > /proc/sys/user/max_user_namespaces && exec "$0" -e '${ask}'`;
    const { stdout } = spawnSync('unshare', ['--user', '--map-root-user', 'sh', '-c', script, process.execPath], {
      encoding: 'utf8',
    });
    expect(JSON.parse(stdout)).toMatchObject({
      ok: false,
      reason: expect.stringContaining('user.max_user_namespaces is 0'),
    });
  });
});

describe.skipIf(!isLinux || !support.ok)('running again inside (needs user namespaces)', () => {
  async function inside(code: string) {
    const script = path.join(await temporaryFolder(), 'script.mjs');
    writeFileSync(script, code);
    const child = spawn(process.execPath, [enter, script, 'an argument'], { stdio: ['ignore', 'pipe', 'inherit'] });
    onTestFinished(() => void child.kill('SIGKILL'));
    const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
    return { child, line: async () => (await lines.next()).value as string, ended: once(child, 'exit') };
  }

  test('it is root there, of a namespace of its own, with its arguments and its exit code', async () => {
    const { line, ended } = await inside(`
      import { readlinkSync } from 'node:fs';
      console.log(JSON.stringify([process.getuid(), readlinkSync('/proc/self/ns/user'), process.argv[2]]));
      process.exitCode = 42;`);
    const [uid, namespace, argument] = JSON.parse(await line());
    expect(uid).toBe(0);
    expect(namespace).not.toBe(readlinkSync('/proc/self/ns/user'));
    expect(argument).toBe('an argument');
    expect(await ended).toEqual([42, null]);
  });

  test('signals reach it', async () => {
    const { child, line, ended } = await inside(`
      process.on('SIGTERM', () => process.exit(7));
      console.log('ready');
      setInterval(() => {}, 1000);`);
    await line();
    child.kill('SIGTERM');
    expect(await ended).toEqual([7, null]);
  });

  test('nothing that it started stays behind, also when it is killed', async () => {
    const { line, ended } = await inside(`
      import { spawn } from 'node:child_process';
      const start = (script) => spawn('sh', ['-c', script], { detached: true, stdio: 'ignore' }).pid;
      console.log(JSON.stringify([process.pid, start('sleep 1000'), start('(setsid sleep 1001 &); sleep 1002')]));
      setInterval(() => {}, 1000);`);
    const [own, ...started] = JSON.parse(await line()) as number[];
    process.kill(own!, 'SIGKILL');
    expect(await ended).toEqual([137, null]);
    expect(started.filter(runs)).toEqual([]);
  });

  test('it is asked to end when the process outside is killed', async () => {
    const { child, line, ended } = await inside(`
      console.log(process.pid);
      setInterval(() => {}, 1000);`);
    const own = Number(await line());
    child.kill('SIGKILL');
    await ended;
    while (runs(own)) await sleep(10);
  });

  test('once is enough', async () => {
    const { status, stderr } = spawnSync(process.execPath, [enter, 'x'], {
      env: { ...process.env, LADING_USER_NAMESPACE: '1' },
      encoding: 'utf8',
    });
    expect(status).toBe(1);
    expect(stderr).toContain('ERR_LADING_USER_NAMESPACE');
  });
});

test.skipIf(!isLinux)('isInUserNamespace is what the kernel says (needs Linux)', () => {
  const whole = /^\s*0\s+0\s+4294967295\s*$/.test(readFileSync('/proc/self/uid_map', 'utf8'));
  expect(isInUserNamespace()).toBe(!whole);
});

function runs(pid: number): boolean {
  return existsSync(`/proc/${pid}`) && !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
}
