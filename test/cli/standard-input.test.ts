import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { expect, onTestFinished, test } from 'vitest';
import { startLading } from '../support/lading-process.ts';

test.each([[['explain', '-']], [['run', '-']], [['login', '127.0.0.1:1', '-u', 'alice', '--password-stdin']]])(
  'Ctrl-C ends lading %j while it waits for its input',
  async (args) => {
    const child = startLading(args, { keepStdin: true });
    onTestFinished(() => void child.kill('SIGKILL'));
    const [said, closed] = [text(child.stderr!), once(child, 'close')];
    // It listens once it takes what is written.
    await new Promise((taken) => child.stdin!.write('a'.repeat(200_000), taken));
    child.kill('SIGINT');
    expect(await closed).toEqual([130, null]);
    expect(await said).toBe('interrupted\n');
  },
  10_000,
);
