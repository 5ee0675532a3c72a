/** Turns whatever a command threw into a message for people and an exit code: 1 failed, 2 wrong usage. */
import { styleText } from 'node:util';
import { CommanderError } from 'commander';
import { type ErrorCode, errorCode, errorMessage, LadingError } from '../lib/errors.ts';
import { printable } from './output.ts';

export const exitCodes = { done: 0, failed: 1, usage: 2 } as const;

/** The command line itself is wrong, or something that it names is not of the form it must have. */
export class UsageError extends LadingError {
  constructor(message: string, details: { hint?: string | undefined; cause?: unknown; code?: ErrorCode } = {}) {
    super(details.code ?? 'ERR_LADING_USAGE', message, details);
  }
}

/** Parses an argument; what is wrong with it is wrong usage. */
export function parseArgument<T>(parse: (text: string) => T, text: string): T {
  try {
    return parse(text);
  } catch (error) {
    if (!(error instanceof LadingError)) throw error;
    throw new UsageError(error.message, { code: error.code, hint: error.hint, cause: error.cause });
  }
}

export interface ReportOptions {
  readonly stderr: NodeJS.WriteStream;
  /** Also codes, causes, and stacks of what looks like a bug. */
  readonly verbose: boolean;
  /** What the user typed up to the command, for the hint where to find its usage: `lading images`. */
  readonly command: string;
}

/** Writes the report. Returns the exit code. */
export function reportError(error: unknown, options: ReportOptions): number {
  if (error instanceof CommanderError) return reportUsage(error, options);
  const { verbose } = options;
  const known = error instanceof LadingError || isSystemError(error);
  write(options, known ? errorMessage(error) : `unexpected: ${errorMessage(error)}`, hintFor(error, options));
  if (verbose) for (const line of details(error, known)) options.stderr.write(`${printable(line)}\n`);
  return error instanceof UsageError ? exitCodes.usage : exitCodes.failed;
}

/** Commander's own errors: an unknown option, a missing argument; or that help was asked for and is printed. */
function reportUsage(error: CommanderError, options: ReportOptions): number {
  if (error.exitCode === 0) return exitCodes.done;
  // A command that needs a subcommand got none: its help is on stderr.
  if (error.code === 'commander.help') return exitCodes.usage;
  const [message = '', suggestion] = error.message.replace(/^error: /, '').split('\n');
  const similar = /Did you mean (?:one of )?(.*)\?/.exec(suggestion ?? '')?.[1];
  write(options, message, similar ? `did you mean ${similar}?` : usageHint(options));
  return exitCodes.usage;
}

function write({ stderr }: ReportOptions, message: string, hint: string | undefined): void {
  stderr.write(`${paint(stderr, 'red', 'error:')} ${printable(message)}\n`);
  if (hint !== undefined) stderr.write(`${paint(stderr, 'cyan', 'hint:')} ${printable(hint)}\n`);
}

function usageHint({ command }: ReportOptions): string {
  return `\`${command} --help\` shows how to use it.`;
}

function hintFor(error: unknown, options: ReportOptions): string | undefined {
  if (error instanceof UsageError) return error.hint ?? usageHint(options);
  if (error instanceof LadingError) return error.hint;
  const code = errorCode(error);
  if (code === 'EACCES' || code === 'EPERM')
    return 'Run as the user who owns the folder, or choose another one with --root.';
  if (code === 'ENOTDIR' || code === 'EEXIST')
    return 'Something else is where a folder has to be: move it away, or choose another folder with --root.';
  if (isSystemError(error)) return undefined;
  return options.verbose
    ? 'This is a bug in Lading. Please report it with the lines below.'
    : 'This is a bug in Lading. Run the command again with -v and report what it prints.';
}

function details(error: unknown, known: boolean): string[] {
  const lines: string[] = [];
  const code = errorCode(error);
  if (code !== undefined) lines.push(`code: ${code}`);
  if (!known && error instanceof Error && error.stack) lines.push(error.stack);
  const seen = new Set<unknown>([error]);
  for (let cause = causeOf(error); cause !== undefined && !seen.has(cause); cause = causeOf(cause)) {
    seen.add(cause);
    const causeCode = errorCode(cause);
    lines.push(`caused by: ${errorMessage(cause)}${causeCode === undefined ? '' : ` [${causeCode}]`}`);
  }
  return lines;
}

function causeOf(error: unknown): unknown {
  return error instanceof Error ? (error.cause ?? undefined) : undefined;
}

/** Of the operating system, as Node reports it: EACCES, ENOSPC, EADDRINUSE, … */
function isSystemError(error: unknown): boolean {
  return error instanceof Error && 'errno' in error && 'syscall' in error;
}

function paint(stream: NodeJS.WriteStream, color: 'red' | 'cyan', text: string): string {
  return styleText(color, text, { stream });
}
