import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

/** Stripping types takes most of the time of a start. */
const compileCache = fileURLToPath(new URL('../../node_modules/.cache/lading', import.meta.url));
const main = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url));

/** This Node with Lading's main file. */
export const ladingCommand: readonly string[] = [process.execPath, main];

export interface LadingResult {
  readonly exitCode: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface LadingProcessOptions {
  /** Added to the environment, which otherwise has nothing that changes what Lading does. */
  readonly env?: Readonly<Record<string, string>>;
  /** What standard input holds; without it there is none. */
  readonly stdin?: string;
  /** Leaves standard input open, for tests that write to it as the program asks. */
  readonly keepStdin?: true;
  /** The program and its first arguments; by default `ladingCommand`. */
  readonly command?: readonly string[];
  readonly cwd?: string;
}

/** Of the real program: nothing in it changes what Lading does. */
export function ladingEnvironment(): NodeJS.ProcessEnv {
  const { LADING_ROOT: _, FORCE_COLOR: __, NODE_DEBUG: ___, ...inherited } = process.env;
  return { ...inherited, NODE_COMPILE_CACHE: compileCache, LADING_CONFIG: '/dev/null' };
}

/** Starts the real program with pipes for its output, in a process group of its own as a shell would. */
export function startLading(args: readonly string[], options: LadingProcessOptions = {}): ChildProcess {
  const { env = {}, stdin, keepStdin, command = ladingCommand, cwd } = options;
  const [program, ...rest] = [...command, ...args];
  const child = spawn(program!, rest, {
    env: { ...ladingEnvironment(), ...env },
    stdio: [stdin === undefined && !keepStdin ? 'ignore' : 'pipe', 'pipe', 'pipe'],
    detached: true,
    ...(cwd === undefined ? {} : { cwd }),
  });
  child.stdin?.on('error', () => {});
  if (!keepStdin) child.stdin?.end(stdin);
  killWithUs.add(child);
  child.once('exit', () => killWithUs.delete(child));
  return child;
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

/** The real program while it runs, for tests that wait for what it prints and then do something to it. */
export class RunningLading {
  readonly child: ChildProcess;
  readonly ended: Promise<LadingResult>;
  stdout = '';
  stderr = '';

  constructor(args: readonly string[], options: LadingProcessOptions = {}) {
    this.child = startLading(args, options);
    this.child.stdout!.setEncoding('utf8').on('data', (chunk: string) => {
      this.stdout += chunk;
    });
    this.child.stderr!.setEncoding('utf8').on('data', (chunk: string) => {
      this.stderr += chunk;
    });
    this.ended = once(this.child, 'close').then(([exitCode]) => {
      return { exitCode: exitCode as number | null, stdout: this.stdout, stderr: this.stderr };
    });
  }

  /** Waits until the stream holds the text, `times` times. @throws Error with all output when the program ends before */
  async prints(wanted: string, { times = 1, stream = 'stdout' as 'stdout' | 'stderr' } = {}): Promise<void> {
    let ended = false;
    void this.ended.then(() => {
      ended = true;
    });
    const isThere = () => this[stream].split(wanted).length > times;
    while (!isThere() && !ended) await sleep(pollMs);
    if (isThere()) return;
    throw new Error(`lading ended before it printed ${JSON.stringify(wanted)}:\n${this.stdout}\n${this.stderr}`);
  }

  /**
   * After a test that may have failed: has it stop its containers without waiting for them, if it still runs. A third
   * interrupt would end it before it has cleaned up.
   */
  async end(): Promise<void> {
    this.child.kill('SIGINT');
    const hurrying = setTimeout(() => this.child.kill('SIGINT'), 100);
    const killing = setTimeout(() => this.child.kill('SIGKILL'), endTimeoutMs);
    await this.ended;
    clearTimeout(hurrying);
    clearTimeout(killing);
  }

  /** Ctrl-C, once, and what the program makes of it: it has cleaned up then. */
  async interrupted(): Promise<LadingResult> {
    this.interrupt();
    return this.ended;
  }

  /** Ctrl-C: a terminal sends SIGINT to the whole process group. */
  interrupt(): void {
    process.kill(-this.child.pid!, 'SIGINT');
  }
}

const pollMs = 10;
const endTimeoutMs = 10_000;
const killWithUs = new Set<ChildProcess>();
process.once('exit', () => {
  for (const child of killWithUs) child.kill('SIGKILL');
});
