import { describe, expect, test } from 'vitest';
import { type Capability, defaultCapabilities } from '../../src/runtime/capabilities.ts';
import { defaultSeccompProfile } from '../../src/runtime/seccomp-default.ts';

/** What Docker documents as refused by its default profile, with the capability that allows it there. */
const documented: Readonly<Record<string, Capability | 'never'>> = {
  acct: 'CAP_SYS_PACCT',
  add_key: 'never',
  bpf: 'CAP_SYS_ADMIN',
  clock_settime: 'CAP_SYS_TIME',
  create_module: 'never',
  delete_module: 'CAP_SYS_MODULE',
  finit_module: 'CAP_SYS_MODULE',
  get_kernel_syms: 'never',
  get_mempolicy: 'CAP_SYS_NICE',
  init_module: 'CAP_SYS_MODULE',
  io_uring_enter: 'never',
  io_uring_register: 'never',
  io_uring_setup: 'never',
  ioperm: 'CAP_SYS_RAWIO',
  iopl: 'CAP_SYS_RAWIO',
  kcmp: 'CAP_SYS_PTRACE',
  kexec_file_load: 'never',
  kexec_load: 'never',
  keyctl: 'never',
  lookup_dcookie: 'CAP_SYS_ADMIN',
  mbind: 'CAP_SYS_NICE',
  mount: 'CAP_SYS_ADMIN',
  move_pages: 'CAP_SYS_NICE',
  nfsservctl: 'never',
  open_by_handle_at: 'CAP_DAC_READ_SEARCH',
  perf_event_open: 'CAP_SYS_ADMIN',
  pivot_root: 'never',
  query_module: 'never',
  quotactl: 'CAP_SYS_ADMIN',
  reboot: 'CAP_SYS_BOOT',
  request_key: 'never',
  set_mempolicy: 'CAP_SYS_NICE',
  setns: 'CAP_SYS_ADMIN',
  settimeofday: 'CAP_SYS_TIME',
  stime: 'CAP_SYS_TIME',
  swapoff: 'never',
  swapon: 'never',
  sysfs: 'never',
  _sysctl: 'never',
  umount: 'CAP_SYS_ADMIN',
  umount2: 'CAP_SYS_ADMIN',
  unshare: 'CAP_SYS_ADMIN',
  uselib: 'never',
  userfaultfd: 'never',
  ustat: 'never',
  vm86: 'never',
  vm86old: 'never',
};

function allowed(capabilities: readonly Capability[]): Set<string> {
  const { syscalls } = defaultSeccompProfile(capabilities, 'x64');
  return new Set(
    syscalls.filter(({ action, args }) => action === 'SCMP_ACT_ALLOW' && !args).flatMap(({ names }) => names),
  );
}

describe('refused calls', () => {
  test.each(Object.entries(documented))('%s (%s)', (name, capability) => {
    expect(allowed(defaultCapabilities)).not.toContain(name);
    if (capability === 'never') expect(allowed(['CAP_SYS_ADMIN', 'CAP_SYS_MODULE'])).not.toContain(name);
    else expect(allowed([capability])).toContain(name);
  });
});

test('ordinary programs may do what they do', () => {
  const names = [
    'read',
    'openat',
    'execve',
    'mmap',
    'futex',
    'epoll_wait',
    'connect',
    'kill',
    'wait4',
    'chown',
    'ptrace',
  ];
  for (const name of names) expect(allowed([])).toContain(name);
});

describe('limits on arguments', () => {
  test('clone makes no namespaces, and clone3 is as if the kernel did not have it', () => {
    const { syscalls } = defaultSeccompProfile([], 'x64');
    expect(syscalls.filter(({ names }) => names.some((name) => name.startsWith('clone')))).toEqual([
      {
        names: ['clone'],
        action: 'SCMP_ACT_ALLOW',
        args: [{ index: 0, value: 0x7e020000, valueTwo: 0, op: 'SCMP_CMP_MASKED_EQ' }],
      },
      { names: ['clone3'], action: 'SCMP_ACT_ERRNO', errnoRet: 38 },
    ]);
    for (const name of ['clone', 'clone3']) expect(allowed(['CAP_SYS_ADMIN'])).toContain(name);
    expect(defaultSeccompProfile(['CAP_SYS_ADMIN'], 'x64').syscalls.some(({ errnoRet }) => errnoRet === 38)).toBe(
      false,
    );
  });

  test('personality takes five values, socket all families but one', () => {
    const { syscalls } = defaultSeccompProfile([], 'x64');
    const args = (name: string) => syscalls.filter(({ names }) => names.includes(name)).flatMap((rule) => rule.args!);
    expect(args('personality').map(({ value }) => value)).toEqual([0, 8, 0x20000, 0x20008, 0xffffffff]);
    expect(args('socket')).toEqual([{ index: 0, value: 40, op: 'SCMP_CMP_NE' }]);
  });
});

test('architectures', () => {
  expect(defaultSeccompProfile([], 'x64').architectures).toEqual([
    'SCMP_ARCH_X86_64',
    'SCMP_ARCH_X86',
    'SCMP_ARCH_X32',
  ]);
  expect(defaultSeccompProfile([], 'arm64').architectures).toEqual(['SCMP_ARCH_AARCH64', 'SCMP_ARCH_ARM']);
});

test('no call is named twice', () => {
  const [plain] = defaultSeccompProfile(['CAP_SYS_ADMIN', 'CAP_BPF', 'CAP_SYSLOG'], 'x64').syscalls;
  expect(new Set(plain!.names).size).toBe(plain!.names.length);
});
