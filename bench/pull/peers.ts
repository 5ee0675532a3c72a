import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { workingIsal } from '../../src/unpack/isal-gunzip.ts';
import { compileCache, ladingCommand } from '../shared/lading.ts';
import type { Command } from './measure.ts';

/** A node that knows nothing yet, in a folder of its own. */
export interface PreparedPeer extends Command {
  close(): Promise<void>;
}

export interface Peer {
  readonly name: string;
  version(): string;
  /** Everything that a peer needs before the clock starts. */
  prepare(folder: string, reference: string): Promise<PreparedPeer>;
}

export const lading: Peer = {
  name: 'lading',
  version: () => `Node ${process.versions.node}, ISA-L ${workingIsal() ? 'found' : 'not found'}`,
  prepare: (folder, reference) => prepareLading(folder, reference, {}),
};

/** On a host that has no ISA-L: the first `libisal.so.2` that the loader finds is no library. */
export const ladingWithZlib: Peer = {
  name: 'lading-zlib',
  version: () => `Node ${process.versions.node}, its zlib ${process.versions.zlib}`,
  async prepare(folder, reference) {
    const libraries = join(folder, 'libraries');
    await mkdir(libraries, { recursive: true });
    await writeFile(join(libraries, 'libisal.so.2'), '');
    return prepareLading(folder, reference, { LD_LIBRARY_PATH: libraries });
  },
};

async function prepareLading(
  folder: string,
  reference: string,
  env: Readonly<Record<string, string>>,
): Promise<PreparedPeer> {
  const root = join(folder, 'root');
  return {
    command: [...ladingCommand, 'pull', '--root', root, reference],
    env: { ...compileCache, LADING_ROOT: root, ...env },
    close: async () => {},
  };
}

/** Ended also when the run is interrupted. */
const daemons = new Set<ChildProcess>();
process.once('exit', () => {
  for (const daemon of daemons) daemon.kill('SIGKILL');
});

/** A daemon of its own: neither its start nor its end is measured. */
export const containerd: Peer = {
  name: 'containerd',
  version: () => versionOf('containerd'),
  async prepare(folder, reference) {
    const socket = join(folder, 'containerd.sock');
    const config = join(folder, 'config.toml');
    await mkdir(folder, { recursive: true });
    await writeFile(
      config,
      [
        'version = 2',
        `root = ${JSON.stringify(join(folder, 'root'))}`,
        `state = ${JSON.stringify(join(folder, 'state'))}`,
        'disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.devmapper"]',
        '[grpc]',
        `address = ${JSON.stringify(socket)}`,
        '',
      ].join('\n'),
    );
    const daemon = spawn('containerd', ['--config', config, '--log-level', 'error'], { stdio: 'ignore' });
    daemons.add(daemon);
    await answering(daemon, ['ctr', '--address', socket, 'version']);
    const pull = ['images', 'pull', '--plain-http', '--snapshotter', 'overlayfs', reference];
    return { command: ['ctr', '--address', socket, ...pull], servantPid: daemon.pid, close: () => end(daemon) };
  },
};

export const podman: Peer = {
  name: 'podman',
  version: () => versionOf('podman'),
  async prepare(folder, reference) {
    const storage = ['--root', join(folder, 'root'), '--runroot', join(folder, 'run'), '--storage-driver', 'overlay'];
    return {
      command: ['podman', ...storage, 'pull', '--quiet', '--tls-verify=false', reference],
      close: async () => {
        // It leaves its folder mounted on itself.
        spawnSync('umount', [join(folder, 'root', 'overlay')], { stdio: 'ignore' });
      },
    };
  },
};

/** Copies the blobs and unpacks nothing: what the network and the hash alone take. */
export const skopeo: Peer = {
  name: 'skopeo (no unpacking)',
  version: () => versionOf('skopeo'),
  async prepare(folder, reference) {
    const target = `oci:${join(folder, 'layout')}:1`;
    await mkdir(folder, { recursive: true });
    return {
      command: ['skopeo', 'copy', '--quiet', '--src-tls-verify=false', `docker://${reference}`, target],
      close: async () => {},
    };
  },
};

async function answering(daemon: ChildProcess, question: readonly string[]): Promise<void> {
  for (let attempt = 0; attempt < 100; attempt += 1) {
    if (daemon.exitCode !== null) break;
    if (spawnSync(question[0]!, question.slice(1), { stdio: 'ignore' }).status === 0) return;
    await sleep(50);
  }
  throw new Error(`${daemon.spawnargs.join(' ')} does not answer`);
}

async function end(daemon: ChildProcess): Promise<void> {
  daemons.delete(daemon);
  if (daemon.exitCode !== null || daemon.signalCode !== null) return;
  daemon.kill('SIGKILL');
  await once(daemon, 'exit');
}

function versionOf(program: string): string {
  const { stdout } = spawnSync(program, ['--version'], { encoding: 'utf8' });
  return /\d+\.\d+\.\d+\S*/.exec(stdout)?.[0] ?? 'unknown';
}
