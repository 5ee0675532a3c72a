import { existsSync, readFileSync } from 'node:fs';
import { LadingError } from '../lib/errors.ts';
import type { Capability } from './capabilities.ts';
import { ownCapabilities } from './capabilities.ts';
import type { UserIds } from './container.ts';

/** What this process may do on this machine, as far as containers depend on it. Read once, at the start. */
export interface HostFacts {
  /** Root here is an ordinary user of the machine. */
  readonly inUserNamespace: boolean;
  readonly uidMap: IdMap;
  readonly gidMap: IdMap;
  /** False where supplementary groups are forbidden: in user namespaces made without the machine's root. */
  readonly maySetGroups: boolean;
  readonly cgroupNamespaces: boolean;
  readonly capabilities: ReadonlySet<Capability>;
}

export function hostFacts(): HostFacts {
  const uidMap = readIdMap('uid');
  return {
    inUserNamespace: !uidMap.isIdentity,
    uidMap,
    gidMap: readIdMap('gid'),
    maySetGroups: readFileSync('/proc/self/setgroups', 'utf8').trim() === 'allow',
    cgroupNamespaces: existsSync('/proc/self/ns/cgroup'),
    capabilities: ownCapabilities(),
  };
}

/** Which ids exist in this user namespace. */
export class IdMap {
  readonly #ranges: readonly (readonly [inside: number, outside: number, count: number])[];

  /** @param text of `/proc/self/uid_map` or `gid_map` */
  constructor(text: string) {
    this.#ranges = text
      .split('\n')
      .filter((line) => line.trim() !== '')
      .map((line) => line.trim().split(/\s+/).map(Number) as [number, number, number]);
  }

  /** As on a machine without user namespaces: every id stands for itself. */
  get isIdentity(): boolean {
    const [first] = this.#ranges;
    return first !== undefined && first[0] === 0 && first[1] === 0 && first[2] === 0xffffffff;
  }

  get count(): number {
    return this.#ranges.reduce((sum, [, , count]) => sum + count, 0);
  }

  has(id: number): boolean {
    return this.#ranges.some(([inside, , count]) => id >= inside && id < inside + count);
  }
}

function readIdMap(kind: 'uid' | 'gid'): IdMap {
  return new IdMap(readFileSync(`/proc/self/${kind}_map`, 'utf8'));
}

/** What it means that a user namespace has no ids but the user's own. */
export const singleUserLimitation =
  'Only your own user exists in the user namespace (newuidmap is not installed, or /etc/subuid has no range for you): ' +
  'containers run as root of their namespace only, which is you, and all files of an image are yours.';

/** @throws LadingError `ERR_LADING_RUNTIME_USER` when the user namespace has no such user or group */
export function checkUserExists(user: UserIds, host: HostFacts): void {
  const missing = !host.uidMap.has(user.uid)
    ? `user ${user.uid}`
    : [user.gid, ...(host.maySetGroups ? user.additionalGids : [])]
        .filter((gid) => !host.gidMap.has(gid))
        .map((gid) => `group ${gid}`)[0];
  if (missing === undefined) return;
  throw new LadingError(
    'ERR_LADING_RUNTIME_USER',
    `the container runs as ${missing}, and the user namespace that Lading works in without root has no such id`,
    {
      hint: 'Install newuidmap and newgidmap (package uidmap) and give your user a range in /etc/subuid and /etc/subgid, or choose the embedded runtime.',
      data: { uid: user.uid, gid: user.gid },
    },
  );
}

/** The groups to run with: the primary one first, as containerd does, none where they are forbidden. */
export function supplementaryGroups(user: UserIds, host: HostFacts): number[] {
  return host.maySetGroups ? [...new Set([user.gid, ...user.additionalGids])] : [];
}
