import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const built = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));
const sources = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url));

/** The built program where there is one, as it is installed; else the sources. */
export const ladingCommand: readonly string[] = [process.execPath, existsSync(built) ? built : sources];

export const ladingEnvironment: NodeJS.ProcessEnv = {
  ...process.env,
  NODE_COMPILE_CACHE: fileURLToPath(new URL('../../node_modules/.cache/lading', import.meta.url)),
};
