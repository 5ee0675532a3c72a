import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';

/**
 * Runs a program of a container runtime to its end, in a process group of its own: Ctrl-C in a terminal goes to all of a
 * group, and what cleans up must not be ended by it.
 * @throws Error with what the program said when it fails, or is killed after `timeoutMs`
 */
export async function runApart(
  path: string,
  args: readonly string[],
  { timeoutMs }: { timeoutMs: number },
): Promise<void> {
  const child = spawn(path, args, { stdio: ['ignore', 'ignore', 'pipe'], detached: true, timeout: timeoutMs });
  const [complaint, [code, signal]] = await Promise.all([
    text(child.stderr),
    once(child, 'close') as Promise<[number | null, NodeJS.Signals | null]>,
  ]);
  if (code === 0) return;
  throw new Error(`${path} ended with ${signal ?? code}: ${complaint.trim()}`);
}
