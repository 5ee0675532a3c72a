/** Questions to people at a terminal. */
import { createInterface } from 'node:readline/promises';
import { Writable } from 'node:stream';
import type { Cli } from './cli.ts';
import { UsageError } from './error-report.ts';

export interface PromptOptions {
  /** What is typed does not show. */
  readonly hidden?: true;
}

/**
 * The answer to a question, asked on stderr so that stdout holds results only.
 * @throws UsageError when the input ends without one; the signal's reason
 */
export async function ask(cli: Cli, question: string, { hidden }: PromptOptions = {}): Promise<string> {
  const nowhere = new Writable({ write: (_chunk, _encoding, done) => done() });
  const lines = createInterface({ input: process.stdin, output: hidden ? nowhere : cli.stderr, terminal: true });
  // While a line is edited, Ctrl-C is a key and no signal.
  lines.on('SIGINT', () => process.kill(process.pid, 'SIGINT'));
  const ended = new Promise<never>((_, reject) =>
    lines.once('close', () => reject(new UsageError('the input ended without an answer'))),
  );
  ended.catch(() => {});
  if (hidden) cli.stderr.write(question);
  try {
    return await Promise.race([lines.question(hidden ? '' : question, { signal: cli.signal }), ended]);
  } catch (error) {
    cli.signal.throwIfAborted();
    throw error;
  } finally {
    if (hidden) cli.stderr.write('\n');
    lines.close();
  }
}
