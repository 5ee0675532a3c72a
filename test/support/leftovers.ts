import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';

/** What of a node is there beside its store, one line each: nothing once `lading` has ended. */
export function leftoversOf(root: string): string[] {
  const mounts = readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .filter((line) => line.includes(root));
  const folders = ['containers', 'sandboxes', 'runtime/runc', 'runtime/crun'].flatMap((name) => {
    const folder = path.join(root, name);
    return existsSync(folder) ? readdirSync(folder).map((entry) => `folder ${name}/${entry}`) : [];
  });
  return [
    ...processesThatMention(root).map((command) => `process ${command}`),
    ...mounts.map((mount) => `mount ${mount}`),
    ...folders,
  ];
}

/** Names of the cgroups of all pods that run on a node. */
export function podCgroups(root: string): string[] {
  return readdirSync(path.join(root, 'sandboxes')).map((id) => `lading-${id.slice(0, 13)}`);
}

/** Folders of these names in all cgroup hierarchies. */
export function cgroupFolders(names: readonly string[]): string[] {
  const mountPoints = readFileSync('/proc/self/mounts', 'utf8')
    .split('\n')
    .map((line) => line.split(' '))
    .filter(([, , type]) => type === 'cgroup' || type === 'cgroup2')
    .map(([, mountPoint]) => mountPoint!);
  return mountPoints.flatMap((mountPoint) =>
    readdirSync(mountPoint)
      .filter((name) => names.includes(name))
      .map((name) => path.join(mountPoint, name)),
  );
}

/** Pids of the processes that have a line, `NAME=VALUE`, in their environment. */
export function processesWithVariable(line: string): number[] {
  return processes().filter((pid) => readProcess(pid, 'environ').split('\0').includes(line));
}

function processesThatMention(text: string): string[] {
  return processes()
    .map((pid) => readProcess(pid, 'cmdline').replaceAll('\0', ' '))
    .filter((command) => command.includes(text));
}

function processes(): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number);
}

/** Empty when the process has ended meanwhile. */
function readProcess(pid: number, file: 'cmdline' | 'environ'): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'utf8');
  } catch {
    return '';
  }
}
