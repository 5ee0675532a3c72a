import { relative } from 'node:path';
import { type Capability, grantedCapabilities } from './capabilities.ts';
import type { RuntimeContainer } from './container.ts';
import { type HostFacts, supplementaryGroups } from './host-facts.ts';
import { pathInRootfs } from './rootfs-path.ts';
import { defaultSeccompProfile, type SeccompProfile } from './seccomp-default.ts';

/**
 * `config.json` of a bundle: the container in the words of the OCI runtime specification.
 * @see https://github.com/opencontainers/runtime-spec/blob/v1.0.2/config.md
 */
export interface OciSpec {
  readonly ociVersion: '1.0.2';
  readonly process: object;
  readonly root: { readonly path: string; readonly readonly: boolean };
  readonly hostname: string;
  readonly mounts: readonly OciMount[];
  readonly linux: {
    readonly namespaces: readonly { readonly type: string }[];
    readonly maskedPaths: readonly string[];
    readonly readonlyPaths: readonly string[];
    readonly cgroupsPath?: string;
    readonly resources?: object;
    readonly seccomp?: SeccompProfile;
  };
}

interface OciMount {
  readonly destination: string;
  readonly type: string;
  readonly source: string;
  readonly options: readonly string[];
}

/** What the runtime that reads the specification can do here. */
export interface SpecFeatures {
  readonly cgroups: boolean;
  readonly seccomp: boolean;
}

/** @param oomScoreAdj what the kernel allows of the container's wish */
export function buildSpec(
  container: RuntimeContainer,
  host: HostFacts,
  features: SpecFeatures,
  oomScoreAdj: number | undefined,
): OciSpec {
  const capabilities = grantedCapabilities(container.process.capabilities, host.capabilities);
  return {
    ociVersion: '1.0.2',
    process: processOf(container, host, capabilities, oomScoreAdj),
    root: { path: container.rootfs, readonly: container.readonlyRootfs },
    hostname: container.hostname,
    mounts: mountsOf(container, host, features),
    linux: {
      namespaces: namespacesOf(host),
      maskedPaths: container.maskedPaths,
      readonlyPaths: container.readonlyPaths,
      ...(features.cgroups ? { cgroupsPath: container.cgroupPath, resources: resourcesOf(container) } : {}),
      ...(features.seccomp && container.seccomp === 'default'
        ? { seccomp: defaultSeccompProfile(capabilities, process.arch) }
        : {}),
    },
  };
}

function processOf(
  { process: { args, env, cwd, user, noNewPrivileges } }: RuntimeContainer,
  host: HostFacts,
  capabilities: readonly Capability[],
  oomScoreAdj: number | undefined,
): object {
  return {
    terminal: false,
    args,
    env,
    cwd,
    user: { uid: user.uid, gid: user.gid, additionalGids: supplementaryGroups(user, host) },
    // Nothing inheritable: a program with file capabilities would gain what its user does not have (CVE-2022-24769).
    capabilities: { bounding: capabilities, effective: capabilities, permitted: capabilities },
    noNewPrivileges,
    ...(oomScoreAdj === undefined ? {} : { oomScoreAdj }),
  };
}

/** The network is the node's. */
function namespacesOf(host: HostFacts): { type: string }[] {
  const types = ['pid', 'ipc', 'uts', 'mount', ...(host.cgroupNamespaces ? ['cgroup'] : [])];
  return types.map((type) => ({ type }));
}

function mountsOf(container: RuntimeContainer, host: HostFacts, features: SpecFeatures): OciMount[] {
  const own = new Set(container.mounts.map(({ destination }) => destination));
  const binds = container.mounts.map(({ source, destination, readonly }) => ({
    // crun does not make what a symlink of the image points to.
    destination: `/${relative(container.rootfs, pathInRootfs(container.rootfs, destination))}`,
    type: 'bind',
    source,
    options: ['rbind', 'rprivate', readonly ? 'ro' : 'rw'],
  }));
  const depth = ({ destination }: OciMount) => destination.split('/').filter(Boolean).length;
  return [
    ...systemMounts(host, features).filter(({ destination }) => !own.has(destination)),
    ...binds.sort((one, other) => depth(one) - depth(other)),
  ];
}

function systemMounts(host: HostFacts, features: SpecFeatures): OciMount[] {
  const quiet = ['nosuid', 'noexec', 'nodev'];
  const terminals = ['nosuid', 'noexec', 'newinstance', 'ptmxmode=0666', 'mode=0620'];
  const terminalGroup = 5;
  return [
    mount('/proc', 'proc', 'proc', quiet),
    mount('/dev', 'tmpfs', 'tmpfs', ['nosuid', 'strictatime', 'mode=755', 'size=65536k']),
    mount('/dev/pts', 'devpts', 'devpts', [...terminals, ...(host.gidMap.has(terminalGroup) ? ['gid=5'] : [])]),
    mount('/dev/shm', 'tmpfs', 'shm', [...quiet, 'mode=1777', 'size=65536k']),
    mount('/dev/mqueue', 'mqueue', 'mqueue', quiet),
    ...(host.inUserNamespace
      ? // A user namespace may not mount the sysfs of a network that it does not own, so the node's is shown; the
        // cgroups in it would be writable for the user they are delegated to (CVE-2023-25809), so they are covered.
        [
          mount('/sys', 'none', '/sys', ['rbind', ...quiet, 'ro']),
          mount('/sys/fs/cgroup', 'tmpfs', 'tmpfs', [...quiet, 'ro', 'mode=755']),
        ]
      : [mount('/sys', 'sysfs', 'sysfs', [...quiet, 'ro'])]),
    ...(features.cgroups ? [mount('/sys/fs/cgroup', 'cgroup', 'cgroup', [...quiet, 'relatime', 'ro'])] : []),
  ];
}

function mount(destination: string, type: string, source: string, options: readonly string[]): OciMount {
  return { destination, type, source, options };
}

/** Without device rules a container could open every device node that it makes. */
function resourcesOf(container: RuntimeContainer): object {
  return {
    devices: [{ allow: false, access: 'rwm' }],
    ...(container.memoryLimit === undefined ? {} : { memory: { limit: container.memoryLimit } }),
  };
}
