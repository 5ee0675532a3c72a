import { readFileSync } from 'node:fs';
import { LadingError } from '../lib/errors.ts';

/**
 * The capabilities of Linux by number.
 * @see https://man7.org/linux/man-pages/man7/capabilities.7.html
 */
const names = [
  'CAP_CHOWN',
  'CAP_DAC_OVERRIDE',
  'CAP_DAC_READ_SEARCH',
  'CAP_FOWNER',
  'CAP_FSETID',
  'CAP_KILL',
  'CAP_SETGID',
  'CAP_SETUID',
  'CAP_SETPCAP',
  'CAP_LINUX_IMMUTABLE',
  'CAP_NET_BIND_SERVICE',
  'CAP_NET_BROADCAST',
  'CAP_NET_ADMIN',
  'CAP_NET_RAW',
  'CAP_IPC_LOCK',
  'CAP_IPC_OWNER',
  'CAP_SYS_MODULE',
  'CAP_SYS_RAWIO',
  'CAP_SYS_CHROOT',
  'CAP_SYS_PTRACE',
  'CAP_SYS_PACCT',
  'CAP_SYS_ADMIN',
  'CAP_SYS_BOOT',
  'CAP_SYS_NICE',
  'CAP_SYS_RESOURCE',
  'CAP_SYS_TIME',
  'CAP_SYS_TTY_CONFIG',
  'CAP_MKNOD',
  'CAP_LEASE',
  'CAP_AUDIT_WRITE',
  'CAP_AUDIT_CONTROL',
  'CAP_SETFCAP',
  'CAP_MAC_OVERRIDE',
  'CAP_MAC_ADMIN',
  'CAP_SYSLOG',
  'CAP_WAKE_ALARM',
  'CAP_BLOCK_SUSPEND',
  'CAP_AUDIT_READ',
  'CAP_PERFMON',
  'CAP_BPF',
  'CAP_CHECKPOINT_RESTORE',
] as const;

export type Capability = (typeof names)[number];

export const allCapabilities: readonly Capability[] = names;

/** What a container gets unless the pod says otherwise: the set that Docker and containerd give. */
export const defaultCapabilities: readonly Capability[] = [
  'CAP_AUDIT_WRITE',
  'CAP_CHOWN',
  'CAP_DAC_OVERRIDE',
  'CAP_FOWNER',
  'CAP_FSETID',
  'CAP_KILL',
  'CAP_MKNOD',
  'CAP_NET_BIND_SERVICE',
  'CAP_NET_RAW',
  'CAP_SETFCAP',
  'CAP_SETGID',
  'CAP_SETPCAP',
  'CAP_SETUID',
  'CAP_SYS_CHROOT',
];

export function capabilityNumber(name: Capability): number {
  return names.indexOf(name);
}

/** The capabilities that this process may give away: its own permitted set. */
export function ownCapabilities(): ReadonlySet<Capability> {
  const mask = /^CapPrm:\s*([0-9a-f]+)$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? '0';
  const bits = BigInt(`0x${mask}`);
  return new Set(names.filter((_, number) => (bits >> BigInt(number)) & 1n));
}

/**
 * Of the wanted capabilities (`CAP_ALL` for every one) those that are in `available`, in order of their numbers.
 * @throws LadingError `ERR_LADING_RUNTIME_START` for a name that Linux does not have
 */
export function grantedCapabilities(wanted: readonly string[], available: ReadonlySet<Capability>): Capability[] {
  const known: ReadonlySet<string> = new Set<string>([...names, 'CAP_ALL']);
  const unknown = wanted.find((name) => !known.has(name));
  if (unknown !== undefined) {
    throw new LadingError('ERR_LADING_RUNTIME_START', `there is no capability ${unknown}`, {
      hint: 'capabilities(7) lists the names, such as CAP_NET_ADMIN; in a pod they are written without CAP_.',
      data: { capability: unknown },
    });
  }
  const all = wanted.includes('CAP_ALL');
  return names.filter((name) => available.has(name) && (all || wanted.includes(name)));
}
