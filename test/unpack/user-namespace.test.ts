import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readlinkSync, writeFileSync } from 'node:fs';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

const script = fileURLToPath(new URL('../../scripts/layers.ts', import.meta.url));
/** What may be missing there: devices; everything else in the corpus works. */
const deviceCases = 3;

function whyNot(): string | undefined {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) return 'needs root on Linux, to map all ids';
  const { status, stderr, error } = spawnSync('unshare', ['-U', '-m', 'true'], { encoding: 'utf8' });
  return status === 0 ? undefined : `no user namespaces here: ${error?.message ?? stderr}`;
}

const reason = whyNot();

test.skipIf(reason !== undefined)(`the layer corpus in a user namespace${reason ? ` (${reason})` : ''}`, async () => {
  const { exitCode, output } = await runInUserNamespace([process.execPath, script]);
  const summary = output.trimEnd().split('\n').at(-1)!;
  const [, passed, failed, skipped] = /^(\d+) passed, (\d+) failed, (\d+) skipped$/.exec(summary)?.map(Number) ?? [];
  expect({ exitCode, failed, output }).toMatchObject({ exitCode: 0, failed: 0 });
  expect(skipped).toBeLessThanOrEqual(deviceCases);
  expect(passed).toBeGreaterThan(100);
  expect(output).not.toContain('Only copying is run');
});

/** As root of a namespace in which all ids are mapped to themselves. */
async function runInUserNamespace(command: string[]): Promise<{ exitCode: number; output: string }> {
  const child = spawn('unshare', ['-U', '-m', 'sh', '-c', 'read go && exec "$@"', 'sh', ...command], {
    stdio: ['pipe', 'pipe', 'inherit'],
    timeout: 50_000,
  });
  const output = text(child.stdout);
  const exited = once(child, 'exit');
  const own = readlinkSync('/proc/self/ns/user');
  while (readlinkSync(`/proc/${child.pid}/ns/user`) === own) await new Promise((resolve) => setTimeout(resolve, 5));
  for (const map of ['uid_map', 'gid_map']) writeFileSync(`/proc/${child.pid}/${map}`, '0 0 4294967295\n');
  child.stdin.end('go\n');
  const [exitCode] = (await exited) as [number];
  return { exitCode, output: await output };
}
