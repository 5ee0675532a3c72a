import { spawnSync } from 'node:child_process';
import { statSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../..', import.meta.url));
const nested = 'LADING_NESTED_TESTS';
const timeoutMs = 150_000;
/** For the test that waits for them. */
export const nestedTimeoutMs = timeoutMs + 10_000;

/** True in tests that `runNestedTests` runs: these do not nest again. */
export const isNested = process.env[nested] !== undefined;

/** vitest with some test files, as the arguments of node. */
export function nestedTests(files: readonly string[]): string[] {
  const vitest = path.join(root, 'node_modules/vitest/vitest.mjs');
  // The usual loader writes a file into node_modules, where another user may not.
  return [vitest, 'run', '--root', root, '--configLoader', 'native', ...files];
}

/**
 * Runs a command that leads to `nestedTests`, in circumstances that a test cannot give itself.
 * @returns what it printed, for a test that expects exit code 0
 */
export function runNested(
  command: readonly string[],
  options: { env?: NodeJS.ProcessEnv } = {},
): { exitCode: number | null; output: string } {
  const { status, stdout, stderr } = spawnSync(command[0]!, command.slice(1), {
    cwd: root,
    env: { ...process.env, NO_COLOR: '1', [nested]: '1', ...options.env },
    encoding: 'utf8',
    timeout: timeoutMs,
  });
  return { exitCode: status, output: stdout + stderr };
}

/** Why another user of the machine cannot run this project's tests, undefined if that is possible. */
export function closedToOthers(): string | undefined {
  for (let folder = root; folder !== path.dirname(folder); folder = path.dirname(folder)) {
    if ((statSync(folder).mode & readAndEnter) !== readAndEnter) return `${folder} cannot be read by other users`;
  }
  return undefined;
}

const readAndEnter = 0o005;
