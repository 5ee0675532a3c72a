import { expect, test } from 'vitest';
import { runApart } from '../../src/runtime/run-apart.ts';

const options = { timeoutMs: 10_000 };
const onLinux = process.platform === 'linux';

test.skipIf(!onLinux)('the program leads a process group of its own', async () => {
  // The fifth field of /proc/PID/stat is the process group.
  await runApart('sh', ['-c', '[ "$(cut -d " " -f 5 /proc/$$/stat)" = "$$" ]'], options);
});

test('what it says when it fails is told', async () => {
  await expect(runApart('sh', ['-c', 'echo no way >&2; exit 3'], options)).rejects.toThrow('sh ended with 3: no way');
  await expect(runApart('sh', ['-c', 'kill -KILL $$'], options)).rejects.toThrow('sh ended with SIGKILL');
  await expect(runApart('no-such-program', [], options)).rejects.toThrow('ENOENT');
  await expect(runApart('sleep', ['10'], { timeoutMs: 20 })).rejects.toThrow('sleep ended with SIGTERM');
});
