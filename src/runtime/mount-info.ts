/**
 * Reads `/proc/<pid>/mountinfo`.
 * @see https://man7.org/linux/man-pages/man5/proc_pid_mountinfo.5.html
 */
export interface MountInfo {
  /** The directory of the file system that is mounted. */
  readonly root: string;
  /** As seen from the root directory of the process. */
  readonly mountPoint: string;
  /** Flags of this mount: `ro`, `nosuid`, `nodev`, `noexec`, `relatime`, … */
  readonly options: readonly string[];
  readonly type: string;
  /** Options of the file system. */
  readonly superOptions: readonly string[];
}

/** In the order of the kernel: of two mounts at one place the later is the one that is seen. */
export function parseMountInfo(text: string): MountInfo[] {
  return text
    .split('\n')
    .filter(Boolean)
    .map((line) => {
      const fields = line.split(' ');
      const [type = '', , superOptions = ''] = fields.slice(fields.indexOf('-', 6) + 1);
      return {
        root: unescapePath(fields[3] ?? ''),
        mountPoint: unescapePath(fields[4] ?? ''),
        options: (fields[5] ?? '').split(','),
        type,
        superOptions: superOptions.split(','),
      };
    });
}

/** The mount that holds a path, which has no symlinks. */
export function mountAt(mounts: readonly MountInfo[], path: string): MountInfo | undefined {
  const holds = ({ mountPoint }: MountInfo) =>
    mountPoint === '/' || path === mountPoint || path.startsWith(`${mountPoint}/`);
  const byDepth = mounts.filter(holds).sort((a, b) => a.mountPoint.length - b.mountPoint.length);
  return byDepth.at(-1);
}

/** Blank, tab, newline and backslash are written as three octal digits. */
function unescapePath(path: string): string {
  return path.replace(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)));
}
