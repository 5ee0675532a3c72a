import { mkdtempSync, rmSync } from 'node:fs';
import { constants } from 'node:os';
import { join } from 'node:path';

const folders = new Set<string>();
process.once('exit', () => [...folders].forEach(removeFolder));
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => process.exit(128 + constants.signals[signal]));
}

/** An empty folder below `parent`; what `removeFolder` has not removed goes when the process ends, interrupted or not. */
export function scratchFolder(parent: string): string {
  const folder = mkdtempSync(join(parent, 'lading-bench-'));
  folders.add(folder);
  return folder;
}

export function removeFolder(folder: string): void {
  rmSync(folder, { recursive: true, force: true });
  folders.delete(folder);
}
