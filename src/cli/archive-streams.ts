/** Archives on standard input and output, for which the path `-` stands. */
import { fstatSync, statSync } from 'node:fs';
import { addAbortSignal } from 'node:stream';
import type { ArchiveInput, ArchiveOutput } from '../transfer/index.ts';
import type { Cli } from './cli.ts';
import { UsageError } from './error-report.ts';

/**
 * What an archive is read from. Destroy standard input when it is not read any more.
 * @param hint for who would type an archive
 */
export function archiveInput(cli: Cli, path: string, hint: string): ArchiveInput['from'] {
  if (path !== '-') return path;
  if (process.stdin.isTTY) throw new UsageError('an archive cannot come from the terminal', { hint });
  // Whoever waits for input that does not come can still be stopped.
  return { stream: addAbortSignal(cli.signal, process.stdin), name: 'on standard input' };
}

/**
 * What an archive is written to. What leads to standard output by another name, as `/dev/stdout` does, is written there
 * like `-`: opened again, a file would lose what others have written to it.
 * @param hint for who would see an archive
 */
export async function archiveOutput(cli: Cli, path: string, hint: string): Promise<ArchiveOutput> {
  const { fileOutput, streamOutput } = await import('../transfer/index.ts');
  if (!isStandardOutput(path)) return fileOutput(path);
  if (cli.stdout.isTTY) throw new UsageError('an archive is not for the terminal', { hint });
  return streamOutput(cli.stdout, cli.signal);
}

/** Whether an archive that is written to the path is on standard output, where nothing may follow it. */
export function isStandardOutput(path: string): boolean {
  if (path === '-') return true;
  try {
    const [found, own] = [statSync(path, { bigint: true }), fstatSync(1, { bigint: true })];
    return found.dev === own.dev && found.ino === own.ino;
  } catch {
    return false;
  }
}
