import { errorCode } from './errors.ts';

export interface RunProgramOptions {
  /** For its standard input. */
  readonly input: string;
  /** It is killed after this. */
  readonly timeoutMs: number;
  /** It is killed when it prints more. */
  readonly maxOutputBytes: number;
  /** Default: that of this process. */
  readonly environment?: NodeJS.ProcessEnv;
  /** It is killed when this is aborted. */
  readonly signal?: AbortSignal | undefined;
}

export type RanProgram =
  | {
      readonly outcome: 'ended' /** Undefined when a signal ended it. */;
      readonly exitCode: number | undefined;
      readonly stdout: string;
    }
  | { readonly outcome: 'not-found' | 'timed-out' | 'too-much-output' | 'aborted' }
  | { readonly outcome: 'not-started'; readonly code: string };

/** Runs a program to its end, without a shell. What it says on standard error is dropped: it may hold secrets. */
export async function runProgram(
  program: string,
  args: readonly string[],
  { input, timeoutMs, maxOutputBytes, environment, signal }: RunProgramOptions,
): Promise<RanProgram> {
  // Few commands need it, and each would load it.
  const { spawn } = process.getBuiltinModule('node:child_process');
  const child = spawn(program, args, {
    stdio: ['pipe', 'pipe', 'ignore'],
    ...(environment && { env: environment }),
  });
  const { promise, resolve } = Promise.withResolvers<RanProgram>();
  const chunks: Buffer[] = [];
  let size = 0;
  const giveUp = (outcome: 'timed-out' | 'too-much-output' | 'aborted') => {
    child.kill('SIGKILL');
    child.stdout.destroy(); // children of a script may hold the other end
    resolve({ outcome });
  };
  const timer = setTimeout(giveUp, timeoutMs, 'timed-out');
  const onAbort = () => giveUp('aborted');
  signal?.addEventListener('abort', onAbort, { once: true });
  if (signal?.aborted) onAbort();
  child.stdout.on('data', (chunk: Buffer) => {
    size += chunk.length;
    if (size > maxOutputBytes) giveUp('too-much-output');
    else chunks.push(chunk);
  });
  child.once('error', (error) => {
    const code = errorCode(error) ?? 'unknown';
    resolve(code === 'ENOENT' ? { outcome: 'not-found' } : { outcome: 'not-started', code });
  });
  child.once('close', (code) => {
    resolve({ outcome: 'ended', exitCode: code ?? undefined, stdout: Buffer.concat(chunks).toString('utf8') });
  });
  child.stdin.on('error', () => {}); // a program may end without reading its input
  child.stdin.end(input);
  try {
    return await promise;
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener('abort', onAbort);
  }
}
