import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const program = fileURLToPath(new URL('./registry-process.ts', import.meta.url));

/** A registry in a process of its own. */
export interface KillableRegistry {
  readonly port: number;
  readonly exited: Promise<unknown>;
  /** As by `kill -9`; resolves when the process is gone. */
  kill(): Promise<void>;
  /** The most memory the process has had, in MiB; Linux only. */
  peakMemoryMib(): number;
}

/** @param crashAt where the process dies by itself, see `src/lib/crash-point.ts` */
export async function startKillableRegistry(
  root: string,
  { crashAt }: { crashAt?: string } = {},
): Promise<KillableRegistry> {
  const child = spawn(process.execPath, [program, root], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, ...(crashAt !== undefined && { LADING_CRASH_AT: crashAt }) },
  });
  running.add(child);
  const exited = once(child, 'exit').then(() => running.delete(child));
  const [line] = (await once(createInterface({ input: child.stdout }), 'line')) as [string];
  return {
    port: Number(line),
    exited,
    kill: async () => {
      child.kill('SIGKILL');
      await exited;
    },
    peakMemoryMib: () => {
      const peak = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${child.pid}/status`, 'utf8'))!;
      return Number(peak[1]) / 1024;
    },
  };
}

const running = new Set<ChildProcess>();
process.once('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});
