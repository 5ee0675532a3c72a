import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '../lib/clock.ts';
import { debugLog } from '../lib/debug.ts';
import { errorMessage } from '../lib/errors.ts';
import { type DockerConfigForm, decodeDockerConfig, Keyring } from '../policy/index.ts';

const log = debugLog('agent');

/** For so long what was read is used without looking again. */
const cachedMs = 300_000;

export interface NodeKeyringFolders {
  /** The folder of the node, which is the kubelet's root directory. */
  readonly root: string;
  /** Of the kubelet. A command that a user runs wherever he happens to be has none that says anything about the node. */
  readonly workingDirectory?: string;
  readonly home: string;
  /** Where docker keeps its configuration, by default `.docker` below `home`. */
  readonly dockerConfig?: string | undefined;
}

/**
 * The credentials of the node itself, which every pod may use: those of the first docker configuration that is found, in
 * the kubelet's order. Files that cannot be read or decoded are passed over, and files are not merged. Credential helpers
 * are not asked here: without any credential the runtime asks those that the machine has.
 * @see pull-policy.md 8.3
 */
export class NodeKeyring {
  readonly #folders: NodeKeyringFolders;
  readonly #clock: Clock;
  #read: { readonly keyring: Promise<Keyring>; readonly atMs: number } | undefined;

  constructor(folders: NodeKeyringFolders, clock: Clock) {
    this.#folders = folders;
    this.#clock = clock;
  }

  keyring(): Promise<Keyring> {
    const atMs = this.#clock.now();
    if (!this.#read || atMs - this.#read.atMs > cachedMs) this.#read = { keyring: this.#find(), atMs };
    return this.#read.keyring;
  }

  async #find(): Promise<Keyring> {
    const { root, workingDirectory, home, dockerConfig = join(home, '.docker') } = this.#folders;
    const first = workingDirectory === undefined ? [root] : [root, workingDirectory];
    const candidates: readonly [folders: readonly string[], file: string, form: DockerConfigForm][] = [
      [[...first, dockerConfig, '/.docker'], 'config.json', 'dockerconfigjson'],
      [[...first, home, '/'], '.dockercfg', 'dockercfg'],
    ];
    const keyring = new Keyring();
    for (const [folders, file, form] of candidates) {
      for (const folder of folders) {
        const path = join(folder, file);
        try {
          keyring.add(decodeDockerConfig(await readFile(path, 'utf8'), form));
          return keyring;
        } catch (error) {
          log('no credentials of the node in %s: %s', path, errorMessage(error));
        }
      }
    }
    return keyring;
  }
}
