import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { isAlive, type ProcessIdentity, processWithPid } from '../lib/process-identity.ts';

/**
 * What `cleanUp` must know about a container when the process that started it is gone: kept in the bundle directory
 * from the moment there is a process.
 */
export interface ProcessRecord {
  /** The runtime's own process for the container, and, once known, the container's first process. */
  readonly processes: readonly ProcessIdentity[];
  readonly cgroupPath?: string | undefined;
  /** Where an OCI runtime was used: the program, and the directory with its state. */
  readonly oci?: { readonly path: string; readonly root: string } | undefined;
}

const fileName = 'process.json';

export function writeRecord(
  bundleDir: string,
  pids: readonly number[],
  facts: Omit<ProcessRecord, 'processes'> = {},
): void {
  const processes = pids.map(processWithPid).filter((identity) => identity !== undefined);
  const record: ProcessRecord = { processes, ...facts };
  writeFileSync(join(bundleDir, fileName), JSON.stringify(record));
}

/** Undefined when no process was ever started, or its record is gone with everything else. */
export function readRecord(bundleDir: string): ProcessRecord | undefined {
  try {
    return JSON.parse(readFileSync(join(bundleDir, fileName), 'utf8')) as ProcessRecord;
  } catch {
    // Not there, or cut short by a kill in the instant in which it was written.
    return undefined;
  }
}

export function removeRecord(bundleDir: string): void {
  rmSync(join(bundleDir, fileName), { force: true });
}

/**
 * Sends SIGKILL to those processes that are still the recorded ones and waits until they are gone.
 * @returns those that remain after `timeoutMs`
 */
export async function killAndWait(
  processes: readonly ProcessIdentity[],
  timeoutMs: number,
): Promise<readonly ProcessIdentity[]> {
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    const running = processes.filter(isRunning);
    if (running.length === 0 || Date.now() > deadline) return running;
    for (const { pid } of running) killIfAllowed(pid);
    await sleep(10);
  }
}

/** In a user namespace, a process of another one may be out of reach, and end with its parent all the same. */
function killIfAllowed(pid: number): void {
  try {
    sendSignal(pid, 'SIGKILL');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EPERM') throw error;
  }
}

/** False if there is no such process any more. */
export function sendSignal(pid: number, signal: NodeJS.Signals): boolean {
  try {
    process.kill(pid, signal);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false;
    throw error;
  }
}

/** A process that only waits to be reaped by a parent that never does has ended. */
export function isRunning(identity: ProcessIdentity): boolean {
  return isAlive(identity) && processState(identity.pid) !== 'Z';
}

function processState(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return stat[stat.lastIndexOf(')') + 2];
  } catch {
    return undefined;
  }
}
