import type { Capability } from './capabilities.ts';
import { allowedSystemCalls, systemCallsByCapability } from './seccomp-syscalls.ts';

/**
 * The seccomp profile of a container that asks for the runtime's default: a list of what is allowed. Other calls fail
 * with EPERM.
 * @see https://github.com/opencontainers/runtime-spec/blob/v1.0.2/config-linux.md#seccomp
 */
export interface SeccompProfile {
  readonly defaultAction: 'SCMP_ACT_ERRNO';
  readonly defaultErrnoRet: number;
  readonly architectures: readonly string[];
  readonly syscalls: readonly SeccompRule[];
}

interface SeccompRule {
  readonly names: readonly string[];
  readonly action: 'SCMP_ACT_ALLOW' | 'SCMP_ACT_ERRNO';
  readonly errnoRet?: number;
  readonly args?: readonly { index: number; value: number; valueTwo?: number; op: string }[];
}

const eperm = 1;
const enosys = 38;

/** A 64-bit machine also runs the programs of its 32-bit forms; without these they would be killed. */
const architectures: Readonly<Record<string, readonly string[]>> = {
  x64: ['SCMP_ARCH_X86_64', 'SCMP_ARCH_X86', 'SCMP_ARCH_X32'],
  arm64: ['SCMP_ARCH_AARCH64', 'SCMP_ARCH_ARM'],
};

/** All CLONE_NEW… flags that clone takes: new cgroup, UTS, IPC, user, PID, network and mount namespaces. */
const newNamespaceFlags = 0x7e020000;
/** PER_LINUX and PER_LINUX32, each also with UNAME26; 0xffffffff only asks. Others bring back address layouts of old. */
const personalities = [0x0, 0x8, 0x20000, 0x20008, 0xffffffff];
/** Talks to the hypervisor and to other virtual machines, which no namespace separates. */
const addressFamilyVsock = 40;

/** @param capabilities those of the container, each of which may allow more calls */
export function defaultSeccompProfile(capabilities: readonly Capability[], machine: string): SeccompProfile {
  const byCapability = capabilities.flatMap((name) => systemCallsByCapability[name] ?? []);
  return {
    defaultAction: 'SCMP_ACT_ERRNO',
    defaultErrnoRet: eperm,
    architectures: architectures[machine] ?? [],
    syscalls: [
      { names: [...new Set([...allowedSystemCalls, ...byCapability])], action: 'SCMP_ACT_ALLOW' },
      allowIf('socket', { index: 0, value: addressFamilyVsock, op: 'SCMP_CMP_NE' }),
      ...personalities.map((value) => allowIf('personality', { index: 0, value, op: 'SCMP_CMP_EQ' })),
      ...(capabilities.includes('CAP_SYS_ADMIN') ? [] : withoutNewNamespaces),
    ],
  };
}

/**
 * `clone` shows its flags to the filter; `clone3` keeps them in memory, where a filter cannot look. ENOSYS makes C
 * libraries fall back to `clone`.
 */
const withoutNewNamespaces: readonly SeccompRule[] = [
  allowIf('clone', { index: 0, value: newNamespaceFlags, valueTwo: 0, op: 'SCMP_CMP_MASKED_EQ' }),
  { names: ['clone3'], action: 'SCMP_ACT_ERRNO', errnoRet: enosys },
];

function allowIf(name: string, arg: NonNullable<SeccompRule['args']>[number]): SeccompRule {
  return { names: [name], action: 'SCMP_ACT_ALLOW', args: [arg] };
}
