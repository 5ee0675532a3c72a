/**
 * A process of its own for tests that kill the one that supervises a container: starts the container described in the
 * file that is its argument, says its pid, and waits.
 */
import { readFile } from 'node:fs/promises';
import { type RuntimeChoice, type RuntimeContainer, selectRuntime } from '../../src/runtime/index.ts';

const { stateDir, prefer, container } = JSON.parse(await readFile(process.argv[2]!, 'utf8')) as {
  stateDir: string;
  prefer: RuntimeChoice;
  container: RuntimeContainer;
};
const { runtime } = await selectRuntime({ stateDir, prefer });
const running = await runtime.start(container);
process.stdout.write(`${running.pid}\n`);
await running.exited;
