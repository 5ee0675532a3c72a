import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { errorMessage, LadingError } from '../lib/errors.ts';
import { defaultCapabilities } from './capabilities.ts';
import type { ContainerRuntime, RuntimeContainer } from './container.ts';
import { defaultMaskedPaths, defaultReadonlyPaths } from './default-paths.ts';
import { trialProgram } from './trial-program.ts';

/** A container takes a tenth of a second; a runtime that hangs must not take Lading with it. */
const trialTimeoutMs = 20_000;

/**
 * Runs one container with everything that pods get by default, and cleans up after it.
 * @param stateDir an existing directory for the trial's files
 * @returns why it does not work, in the runtime's own words; undefined if it does
 */
export async function tryRuntime(runtime: ContainerRuntime, stateDir: string): Promise<string | undefined> {
  const bundleDir = mkdtempSync(join(stateDir, 'trial-'));
  const container = trialContainer(bundleDir);
  try {
    const failure = await withTimeout(runOnce(runtime, container)).catch(reasonOf);
    await runtime.cleanUp(container.id, bundleDir);
    return failure;
  } catch (error) {
    return reasonOf(error);
  } finally {
    rmSync(bundleDir, { recursive: true, force: true });
  }
}

async function runOnce(runtime: ContainerRuntime, container: RuntimeContainer): Promise<string | undefined> {
  const running = await runtime.start(container);
  const { exitCode } = await running.exited;
  return exitCode === 0 ? undefined : `a trial container ended with exit code ${exitCode}`;
}

/** Without the name of the trial's container, which means nothing to anybody. */
function reasonOf(error: unknown): string {
  const reason = error instanceof LadingError ? error.data.reason : undefined;
  return typeof reason === 'string' ? reason : errorMessage(error);
}

async function withTimeout(trial: Promise<string | undefined>): Promise<string | undefined> {
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise<string>((resolve) => {
    timer = setTimeout(
      () => resolve(`a trial container did not end within ${trialTimeoutMs / 1000} s`),
      trialTimeoutMs,
    );
  });
  // Cleaning up after a timeout makes the start fail, when nobody waits for it any more.
  trial.catch(() => undefined);
  try {
    return await Promise.race([trial, timeout]);
  } finally {
    clearTimeout(timer);
  }
}

function trialContainer(bundleDir: string): RuntimeContainer {
  const rootfs = join(bundleDir, 'rootfs');
  mkdirSync(rootfs);
  writeFileSync(join(rootfs, 'trial'), trialProgram(process.arch), { mode: 0o755 });
  const id = `lading-${basename(bundleDir)}`;
  return {
    id,
    bundleDir,
    rootfs,
    process: {
      args: ['/trial'],
      env: [],
      cwd: '/',
      user: { uid: 0, gid: 0, additionalGids: [] },
      capabilities: defaultCapabilities,
      noNewPrivileges: false,
    },
    hostname: 'trial',
    mounts: [],
    readonlyRootfs: false,
    maskedPaths: defaultMaskedPaths,
    readonlyPaths: defaultReadonlyPaths,
    seccomp: 'default',
    cgroupPath: `/${id}`,
  };
}
