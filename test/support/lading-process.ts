import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';

const main = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url));

export interface LadingResult {
  readonly exitCode: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface LadingProcessOptions {
  /** Added to the environment, which otherwise has nothing that changes what Lading does. */
  readonly env?: Readonly<Record<string, string>>;
}

/** Starts the real program with pipes for its output. */
export function startLading(args: readonly string[], { env = {} }: LadingProcessOptions = {}): ChildProcess {
  const { LADING_ROOT: _, FORCE_COLOR: __, NODE_DEBUG: ___, ...inherited } = process.env;
  return spawn(process.execPath, [main, ...args], { env: { ...inherited, ...env }, stdio: ['ignore', 'pipe', 'pipe'] });
}

/** Runs the real program to its end. */
export async function runLading(args: readonly string[], options: LadingProcessOptions = {}): Promise<LadingResult> {
  const child = startLading(args, options);
  const [stdout, stderr, [exitCode]] = await Promise.all([
    text(child.stdout!),
    text(child.stderr!),
    once(child, 'close') as Promise<[number | null]>,
  ]);
  return { exitCode, stdout, stderr };
}
