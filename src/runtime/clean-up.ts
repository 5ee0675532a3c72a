import { existsSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { LadingError } from '../lib/errors.ts';
import { removeCgroup } from './cgroup.ts';
import { killAndWait, readRecord, removeRecord } from './process-record.ts';
import { runApart } from './run-apart.ts';

/** SIGKILL ends a process within milliseconds unless the kernel is stuck in its file system. */
const killTimeoutMs = 10_000;

/** Names of the files that the runtimes keep in a bundle directory. */
export const bundleFiles = {
  spec: 'config.json',
  pid: 'init.pid',
  log: 'runtime.log',
  plan: 'plan.json',
  status: 'status.fifo',
} as const;

/**
 * Kills what runs of a container and removes what its runtime made, going by the record in the bundle directory: which
 * runtime it was does not matter, nor whether this process started it. May be called again.
 * @throws LadingError `ERR_LADING_RUNTIME_CLEANUP` when something stays
 */
export async function cleanUpContainer(id: string, bundleDir: string): Promise<void> {
  const record = readRecord(bundleDir);
  if (record) {
    const { processes, oci, cgroupPath } = record;
    // The runtime's own process first: while it lives it may still be starting the container.
    await kill(id, processes.slice(0, 1));
    if (oci && existsSync(join(oci.root, id))) await deleteState(id, oci);
    await kill(id, processes);
    if (cgroupPath !== undefined) await removeCgroup(cgroupPath, { timeoutMs: killTimeoutMs });
  }
  for (const name of Object.values(bundleFiles)) rmSync(join(bundleDir, name), { force: true });
  removeRecord(bundleDir);
}

async function kill(id: string, processes: Parameters<typeof killAndWait>[0]): Promise<void> {
  const left = await killAndWait(processes, killTimeoutMs);
  if (left.length === 0) return;
  throw new LadingError('ERR_LADING_RUNTIME_CLEANUP', `processes of container ${id} do not end although killed`, {
    hint: `Look at /proc/${left[0]!.pid}/stack: a process in the kernel's hands ends only when the kernel lets go.`,
    data: { pids: left.map(({ pid }) => pid) },
  });
}

async function deleteState(id: string, { path, root }: { path: string; root: string }): Promise<void> {
  try {
    await runApart(path, ['--root', root, 'delete', '--force', id], { timeoutMs: killTimeoutMs * 2 });
  } catch (error) {
    if (!existsSync(join(root, id))) return;
    throw new LadingError('ERR_LADING_RUNTIME_CLEANUP', `${path} cannot delete container ${id}`, {
      hint: `Try: ${path} --root ${root} delete --force ${id}`,
      cause: error,
    });
  }
}
