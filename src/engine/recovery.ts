/** What a killed process left of its containers, found at the next start by the owner file in each folder. */
import { readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isAlive, type ProcessIdentity, thisProcess } from '../lib/process-identity.ts';
import type { ContainerRuntime } from '../runtime/index.ts';
import { removeRootfs } from './rootfs.ts';

const ownerFile = 'owner.json';
/** Another process may be between making the folder and writing the owner into it. */
const unownedGraceMs = 60_000;

/** Marks `directory` as one of this process; it is removed by whoever finds this process gone. */
export async function writeOwner(directory: string): Promise<void> {
  await writeFile(join(directory, ownerFile), JSON.stringify(thisProcess()));
}

/** Containers first, which may still use what is in the other folders. @returns how many containers were cleaned up */
export async function recoverContainers(root: string, runtime: ContainerRuntime): Promise<number> {
  const orphans = await orphansIn(join(root, 'containers'));
  for (const directory of orphans) {
    await runtime.cleanUp(directory.slice(directory.lastIndexOf('/') + 1), directory);
    await removeRootfs(directory);
  }
  for (const folder of ['sandboxes', 'logs']) {
    for (const directory of await orphansIn(join(root, folder))) await rm(directory, { recursive: true, force: true });
  }
  return orphans.length;
}

async function orphansIn(folder: string): Promise<string[]> {
  const names = await readdir(folder).catch(() => []);
  const orphans: string[] = [];
  for (const name of names) {
    const directory = join(folder, name);
    if (!(await ownerLives(directory))) orphans.push(directory);
  }
  return orphans;
}

async function ownerLives(directory: string): Promise<boolean> {
  try {
    return isAlive(JSON.parse(await readFile(join(directory, ownerFile), 'utf8')) as ProcessIdentity);
  } catch {
    const folder = await stat(directory).catch(() => undefined);
    // Gone: another process has cleaned it up meanwhile.
    return folder === undefined || Date.now() - folder.mtimeMs < unownedGraceMs;
  }
}
