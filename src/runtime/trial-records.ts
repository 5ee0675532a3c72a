import { readFileSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { thisProcess } from '../lib/process-identity.ts';
import { cgroupHierarchies } from './cgroup.ts';
import type { RuntimeChoice } from './container.ts';
import type { OciFeatures } from './oci-runtime.ts';

export interface TrialOutcome {
  readonly version: string;
  readonly features?: OciFeatures;
  /** Why the runtime does not work; absent if it does. */
  readonly failure?: string | undefined;
}

interface TrialRecord {
  readonly circumstances: string;
  readonly atMs: number;
  readonly outcome: TrialOutcome;
}

/** Changed when a trial of today means something else than one of before. */
const recordVersion = 1;
/** A failure may have had a passing reason, such as a full disk. */
const failureValidMs = 10 * 60_000;

/** Outcomes of trials in a file, each as good as long as nothing that it depended on has changed. */
export class TrialRecords {
  readonly #file: string;

  constructor(file: string) {
    this.#file = file;
  }

  /** @param path of the runtime's program */
  async outcome<O extends TrialOutcome>(name: RuntimeChoice, path: string, trial: () => Promise<O>): Promise<O> {
    const circumstances = circumstancesOf(path);
    const known = this.#read()[name];
    if (known?.circumstances === circumstances && isFresh(known)) return known.outcome as O;
    const outcome = await trial();
    this.#write({ ...this.#read(), [name]: { circumstances, atMs: Date.now(), outcome } });
    return outcome;
  }

  #read(): Partial<Record<RuntimeChoice, TrialRecord>> {
    try {
      return JSON.parse(readFileSync(this.#file, 'utf8')) as Partial<Record<RuntimeChoice, TrialRecord>>;
    } catch {
      return {};
    }
  }

  #write(records: Partial<Record<RuntimeChoice, TrialRecord>>): void {
    const temporary = `${this.#file}.${process.pid}`;
    writeFileSync(temporary, JSON.stringify(records));
    renameSync(temporary, this.#file);
  }
}

function isFresh({ outcome, atMs }: TrialRecord): boolean {
  return outcome.failure === undefined || Math.abs(Date.now() - atMs) < failureValidMs;
}

/** The program, the boot, what this process may do, and the cgroups that it sees. */
function circumstancesOf(path: string): string {
  const { mtimeMs, size } = statSync(path);
  const status = readFileSync('/proc/self/status', 'utf8');
  const privileges = /^CapPrm:\s*(.*)$/m.exec(status)?.[1];
  return JSON.stringify({
    recordVersion,
    path,
    mtimeMs,
    size,
    node: process.execPath,
    bootId: thisProcess().bootId,
    privileges,
    uidMap: readFileSync('/proc/self/uid_map', 'utf8'),
    cgroups: cgroupHierarchies(),
  });
}
