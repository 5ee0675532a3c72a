import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { programMissing } from './foreign-clients.ts';

/** Why tests cannot start a containerd of their own, undefined where they can: the reason for a skip. */
export const containerdMissing: string | undefined =
  process.getuid?.() === 0 ? (programMissing('containerd') ?? programMissing('ctr')) : 'containerd needs root';

/** A containerd with everything it has in a temporary folder, gone after `close()`. */
export interface Containerd {
  /** Runs `ctr`. @returns what it printed; throws what it printed when it fails */
  ctr(...args: string[]): Promise<string>;
  close(): Promise<void>;
}

const startTimeoutMs = 20_000;
const commandTimeoutMs = 50_000;

export async function startContainerd(): Promise<Containerd> {
  const folder = await mkdtemp(path.join(tmpdir(), 'lading-containerd-'));
  const [configFile, socket] = [path.join(folder, 'config.toml'), path.join(folder, 'containerd.sock')];
  await writeFile(
    configFile,
    `version = 2
root = "${folder}/root"
state = "${folder}/state"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
address = "${socket}"
[ttrpc]
address = "${socket}.ttrpc"
`,
  );
  const child = spawn('containerd', ['--config', configFile], { stdio: 'ignore' });
  leftovers.add(child);
  const close = async () => {
    if (child.exitCode === null && child.signalCode === null) {
      child.kill('SIGKILL');
      await once(child, 'exit');
    }
    leftovers.delete(child);
    await rm(folder, { recursive: true, force: true });
  };
  for (let waitedMs = 0; !existsSync(socket); waitedMs += 20) {
    if (waitedMs > startTimeoutMs || child.exitCode !== null) {
      await close();
      throw new Error('containerd did not start');
    }
    await sleep(20);
  }
  return {
    ctr: async (...args) => {
      const { stdout } = await promisify(execFile)('ctr', ['--address', socket, ...args], {
        timeout: commandTimeoutMs,
      });
      return stdout;
    },
    close,
  };
}

const leftovers = new Set<ChildProcess>();
process.once('exit', () => {
  for (const child of leftovers) child.kill('SIGKILL');
});
