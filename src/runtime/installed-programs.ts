import { execFile } from 'node:child_process';
import { accessSync, constants, statSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);
const timeoutMs = 10_000;

/** Where programs of the administrator are; not on the `PATH` of every user. */
const systemFolders = ['/usr/local/sbin', '/usr/local/bin', '/usr/sbin', '/usr/bin', '/sbin', '/bin'];

/** Path of a program on `PATH` or in the usual folders of the system, undefined if it is in none. */
export function findProgram(name: string): string | undefined {
  return findOnPath(name) ?? findIn(systemFolders, name);
}

/** Path of a program on `PATH`: for what the user chooses by what is there, such as an OCI runtime. */
export function findOnPath(name: string): string | undefined {
  return findIn((process.env.PATH ?? '').split(delimiter).filter(Boolean), name);
}

function findIn(folders: readonly string[], name: string): string | undefined {
  return folders.map((folder) => join(folder, name)).find(isProgram);
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}

/** What a program prints, on both outputs; '' if it fails. */
export async function outputOf(path: string, args: readonly string[]): Promise<string> {
  try {
    const { stdout, stderr } = await run(path, args, { timeout: timeoutMs });
    return stdout + stderr;
  } catch {
    return '';
  }
}
