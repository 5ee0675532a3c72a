/**
 * Which process a container runs: what the CRI request says, on top of what the image's configuration says.
 * @see https://github.com/opencontainers/image-spec/blob/main/conversion.md
 */
import type { ContainerConfig } from '../cri/index.ts';
import { CriError } from '../cri/index.ts';
import type { ImageConfig } from '../oci/index.ts';
import { allCapabilities, defaultCapabilities, type ProcessSpec, resolveUser } from '../runtime/index.ts';

const defaultPath = 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/**
 * @param rootfs the mounted root file system, for the users and groups that the image knows
 * @throws CriError `UNKNOWN` when there is nothing to run, or no such user
 */
export function containerProcess(
  config: ContainerConfig,
  image: ImageConfig,
  rootfs: string,
  hostname: string,
): ProcessSpec {
  const security = config.linux.securityContext;
  const args = commandLine(config, image);
  if (args.length === 0) {
    throw new CriError('UNKNOWN', `no command specified for container ${config.metadata.name}`, {
      hint: 'Set command or args in the pod: the image has neither Entrypoint nor Cmd.',
    });
  }
  const user = resolveUser(rootfs, userText(security, image));
  return {
    args,
    env: environment(config, image, hostname),
    cwd: config.workingDir || image.config.WorkingDir || '/',
    user: {
      ...user,
      additionalGids: [...new Set([...user.additionalGids, ...(security?.supplementalGroups ?? [])])],
    },
    capabilities: capabilities(security?.capabilities),
    noNewPrivileges: security?.noNewPrivs ?? false,
    ...(config.linux.resources?.oomScoreAdj === undefined ? {} : { oomScoreAdj: config.linux.resources.oomScoreAdj }),
  };
}

/** `command` replaces Entrypoint and, alone, silences Cmd; `args` replaces Cmd. */
function commandLine(config: ContainerConfig, image: ImageConfig): readonly string[] {
  if (config.command.length > 0) return [...config.command, ...config.args];
  const args = config.args.length > 0 ? config.args : (image.config.Cmd ?? []);
  return [...(image.config.Entrypoint ?? []), ...args];
}

function environment(config: ContainerConfig, image: ImageConfig, hostname: string): string[] {
  const merged = new Map<string, string>();
  for (const line of [defaultPath, `HOSTNAME=${hostname}`, ...(image.config.Env ?? [])]) {
    const equals = line.indexOf('=');
    merged.set(equals < 0 ? line : line.slice(0, equals), equals < 0 ? '' : line.slice(equals + 1));
  }
  for (const { key, value } of config.envs) merged.set(key, value);
  return [...merged].map(([key, value]) => `${key}=${value}`);
}

function userText(security: NonNullable<ContainerConfig['linux']['securityContext']> | undefined, image: ImageConfig) {
  const user = security?.runAsUser?.value ?? security?.runAsUsername;
  const group = security?.runAsGroup?.value;
  if (user === undefined) {
    if (group === undefined) return image.config.User ?? '';
    const [imageUser] = (image.config.User ?? '').split(':');
    return `${imageUser || 0}:${group}`;
  }
  return group === undefined ? String(user) : `${user}:${group}`;
}

/** Dropping single names wins over adding ALL; dropping ALL leaves what is added by name. @see cri.md 5 */
function capabilities(
  change: { addCapabilities?: readonly string[]; dropCapabilities?: readonly string[] } | undefined,
): string[] {
  const dropped = new Set((change?.dropCapabilities ?? []).map(capabilityName));
  const named = (change?.addCapabilities ?? []).map(capabilityName);
  const added = named.includes('CAP_ALL') ? allCapabilities : named;
  const kept = dropped.has('CAP_ALL') ? [] : defaultCapabilities;
  return [...new Set([...kept, ...added])].filter((name) => !dropped.has(name));
}

function capabilityName(name: string): string {
  const upper = name.toUpperCase();
  return upper.startsWith('CAP_') ? upper : `CAP_${upper}`;
}
