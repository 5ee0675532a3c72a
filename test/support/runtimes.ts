import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { type RuntimeChoice, selectRuntime } from '../../src/runtime/index.ts';

/** Why a runtime cannot run containers here, in its own words; undefined where it can. */
export async function whyNot(prefer: RuntimeChoice): Promise<string | undefined> {
  const stateDir = await mkdtemp(path.join(tmpdir(), 'lading-trial-'));
  try {
    await selectRuntime({ stateDir, prefer });
    return undefined;
  } catch (error) {
    return (error as Error).message;
  } finally {
    await rm(stateDir, { recursive: true, force: true });
  }
}
