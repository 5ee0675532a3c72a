import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { programMissing } from './foreign-clients.ts';
import type { LadingProcessOptions } from './lading-process.ts';

/** Ids that no user of the machine has, others in each process. */
const slot = process.pid % 1_000_000;
const ordinaryUid = 400_000_000 + slot;
const range = { start: 500_000_000 + slot * 1_100, count: 1_100 };
const project = fileURLToPath(new URL('../..', import.meta.url));

/** Why tests cannot become an ordinary user, undefined where they can: the reason for a skip. */
export const ordinaryUserMissing: string | undefined =
  process.geteuid?.() !== 0
    ? 'needs root, to become another user'
    : (programMissing('setpriv') ?? (canBindMounts() ? undefined : 'a mount namespace cannot be made here'));

/** The same for a user who has a range of further ids. */
export const rangeMissing: string | undefined =
  ['/etc/subuid', '/etc/subgid'].find((file) => !existsSync(file)) !== undefined ||
  ['newuidmap', 'newgidmap'].some((program) => spawnSync(program).error !== undefined)
    ? 'newuidmap is not installed (Debian and Ubuntu: apt-get install uidmap)'
    : undefined;

function canBindMounts(): boolean {
  return spawnSync('unshare', ['--mount', 'mount', '--bind', '/etc', '/etc']).status === 0;
}

/**
 * A user who exists in the mount namespaces of the commands that it runs, and nowhere else: accounts are files of a
 * temporary folder that are mounted over those of the machine.
 */
export class OrdinaryUser {
  readonly uid = ordinaryUid;
  /** The node that `lading` takes unless it is told another one. */
  readonly root: string;
  readonly #folder: string;

  /** @param ids how many further ids the user has in `/etc/subuid` */
  constructor({ ids }: { ids: 'none' | 'range' }) {
    this.#folder = mkdtempSync(path.join(tmpdir(), 'lading-user-'));
    chmodSync(this.#folder, 0o755);
    const file = (name: string) => path.join(this.#folder, name);
    mkdirSync(file('home'));
    chownSync(file('home'), this.uid, this.uid);
    this.root = file('home/data/lading');
    const account = `lading-test:x:${this.uid}:`;
    writeFileSync(
      file('passwd'),
      `${readFileSync('/etc/passwd', 'utf8')}${account}${this.uid}::${file('home')}:/bin/sh\n`,
    );
    writeFileSync(file('group'), `${readFileSync('/etc/group', 'utf8')}${account}\n`);
    const subordinate = ids === 'range' ? `lading-test:${range.start}:${range.count}\n` : '';
    for (const name of ['subuid', 'subgid']) writeFileSync(file(name), subordinate);
    writeFileSync(file('node'), '');
    mkdirSync(file('project'));
  }

  /** How this user runs Lading, wherever on the disk this project and Node are. */
  get process(): LadingProcessOptions {
    const script = `
      cd "$1"
      for name in passwd group subuid subgid; do test ! -e /etc/$name || mount --bind $name /etc/$name; done
      mount --bind "$2" node
      mount --bind "$3" project
      shift 3
      exec "$@"`;
    const become = ['setpriv', '--reuid', String(this.uid), '--regid', String(this.uid), '--clear-groups', '--'];
    const lading = ['node', 'project/src/cli/main.ts'].map((name) => path.join(this.#folder, name));
    const [home, data] = ['home', 'home/data'].map((name) => path.join(this.#folder, name)) as [string, string];
    return {
      command: [
        'unshare',
        '--mount',
        'sh',
        '-euc',
        script,
        'sh',
        this.#folder,
        process.execPath,
        project,
        ...become,
        ...lading,
      ],
      env: { HOME: home, XDG_DATA_HOME: data, XDG_RUNTIME_DIR: path.join(home, 'run'), USER: '', LOGNAME: '' },
      cwd: '/',
    };
  }

  /** What runs as this user, or as one of its further ids. */
  processes(): string[] {
    return readdirSync('/proc')
      .filter((name) => /^\d+$/.test(name))
      .flatMap((pid) => {
        try {
          const uid = Number(/^Uid:\t(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]);
          const own = uid === this.uid || (uid >= range.start && uid < range.start + range.count);
          return own ? [`${pid} ${readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ')}`] : [];
        } catch {
          return [];
        }
      });
  }

  remove(): void {
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
