import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isAlive, type ProcessIdentity, thisProcess } from '../lib/process-identity.ts';

/** This process among those that run pods on a node. */
export interface AgentOfNode {
  /** No other process did when this one began. */
  readonly alone: boolean;
  leave(): Promise<void>;
}

/** Each process has a file with its identity; those of processes that are gone are removed. */
export async function joinAgents(directory: string): Promise<AgentOfNode> {
  const folder = join(directory, 'image_manager', 'agents');
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const own = `${process.pid}.json`;
  // First the own file: of two that begin at once neither may believe that it is alone.
  await writeFile(join(folder, own), JSON.stringify(thisProcess()), { mode: 0o600 });
  let alone = true;
  for (const name of await readdir(folder)) {
    if (name === own) continue;
    const lives = await isOfLiving(join(folder, name));
    if (lives) alone = false;
    else await rm(join(folder, name), { force: true });
  }
  return { alone, leave: () => rm(join(folder, own), { force: true }) };
}

/** One that is being written counts as living. */
async function isOfLiving(file: string): Promise<boolean> {
  try {
    const text = await readFile(file, 'utf8');
    return text === '' || isAlive(JSON.parse(text) as ProcessIdentity);
  } catch {
    return false;
  }
}
