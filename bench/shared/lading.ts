import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const path = (name: string) => fileURLToPath(new URL(`../../${name}`, import.meta.url));

/** The program as npm installs it, newly built. */
export function buildLading(): void {
  const { status } = spawnSync(process.execPath, [path('scripts/build.ts')], { stdio: 'inherit' });
  if (status !== 0) throw new Error(`the build ended with ${status}`);
}

export const ladingCommand: readonly string[] = [process.execPath, path('bin/lading.cjs')];

/** What is compiled once is kept apart from what the user's own runs keep. */
export const compileCache = { XDG_CACHE_HOME: path('node_modules/.cache') };
