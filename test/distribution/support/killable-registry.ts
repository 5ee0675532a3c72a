import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import type { GarbageReport, OwnContent, ServingOptions } from '../../../src/distribution/index.ts';

const collector = fileURLToPath(new URL('./garbage-process.ts', import.meta.url));
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
  { crashAt, options = {} }: { crashAt?: string; options?: Partial<ServingOptions & OwnContent> } = {},
): Promise<KillableRegistry> {
  const { child, exited } = start([program, root, JSON.stringify(options)], crashAt);
  const [line] = (await once(createInterface({ input: child.stdout! }), 'line')) as [string];
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

/**
 * Collects garbage in a process of its own.
 * @returns undefined if it died at `crashAt`
 */
export async function collectInProcess(
  root: string,
  { crashAt, graceMs }: { crashAt?: string; graceMs: number },
): Promise<GarbageReport | undefined> {
  const { child, exited } = start([collector, root, String(graceMs)], crashAt);
  const [report] = await Promise.all([text(child.stdout!), exited]);
  return report === '' ? undefined : JSON.parse(report);
}

function start(args: readonly string[], crashAt: string | undefined) {
  const child = spawn(process.execPath, args, {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, ...(crashAt !== undefined && { LADING_CRASH_AT: crashAt }) },
  });
  running.add(child);
  return { child, exited: once(child, 'exit').then(() => running.delete(child)) };
}

const running = new Set<ChildProcess>();
process.once('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});
