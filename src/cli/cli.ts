import type { Command } from 'commander';
import type { Configuration, Settings } from './configuration/configuration.ts';
import { type DocumentFormat, printDocument } from './output.ts';

/** What a command gets from the program around it. */
export interface Cli {
  /** Results. Everything that is not the result of a command goes to `stderr`. */
  readonly stdout: NodeJS.WriteStream;
  readonly stderr: NodeJS.WriteStream;
  /** Aborted when the command shall end; the reason is an `Interruption`. */
  readonly signal: AbortSignal;
  /** What a second signal does, once, instead of ending the process at once. */
  onSecondInterrupt(hurry: () => void): void;
  /** What SIGHUP does from now on, instead of ending the command. */
  onHangup(reload: () => void): void;
  /** `-v`. */
  readonly verbose: boolean;
  /** Known when an action runs, not before. @throws LadingError `ERR_LADING_CONFIG` */
  readonly configuration: Configuration;
  /** What the configuration says. */
  readonly settings: Settings;
  /** Tells the user of an error without ending the command. Returns the exit code that it asks for. */
  report(error: unknown): number;
}

/** Declares arguments, options, examples and the action of one command. Loads what the action needs when it runs. */
export type DefineCommand = (command: Command, cli: Cli) => void;

/** Ends a command with an exit code when everything has been said already. */
export class Exit extends Error {
  readonly exitCode: number;

  constructor(exitCode: number) {
    super(`exit code ${exitCode}`);
    this.name = 'Exit';
    this.exitCode = exitCode;
  }
}

/** Why a command was told to end: a signal, or SIGPIPE for an output that nobody reads any more. */
export class Interruption extends Error {
  readonly signal: NodeJS.Signals;

  constructor(signal: NodeJS.Signals) {
    super(`interrupted by ${signal}`);
    this.name = 'Interruption';
    this.signal = signal;
  }
}

/** How the configuration wants the store of the node. */
export function storeOptions({ settings }: Pick<Cli, 'settings'>, options: { readOnly?: boolean } = {}) {
  return { ...options, keepCompressedLayers: settings['store.keepCompressedLayers'] };
}

/**
 * Does the same to each argument. One that fails is reported and keeps the others from nothing but exit code 0. With a
 * format, what the tasks return is printed: a document for one argument, an array of documents for several.
 */
export async function forEachArgument<T>(
  cli: Cli,
  values: readonly T[],
  task: (value: T) => Promise<unknown>,
  format?: DocumentFormat,
): Promise<void> {
  let exitCode = 0;
  const documents: unknown[] = [];
  for (const value of values) {
    try {
      documents.push(await task(value));
    } catch (error) {
      if (cli.signal.aborted || values.length === 1) throw error;
      exitCode = Math.max(exitCode, cli.report(error));
    }
  }
  if (format) await printDocument(cli, values.length === 1 ? documents[0] : documents, format);
  if (exitCode !== 0) throw new Exit(exitCode);
}
