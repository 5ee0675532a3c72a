import { mkdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import {
  defaultCapabilities,
  defaultMaskedPaths,
  defaultReadonlyPaths,
  type ProcessSpec,
  type RuntimeContainer,
} from '../../src/runtime/index.ts';
import { makeBusyboxRootfs } from './busybox.ts';

export interface ContainerWishes extends Partial<Omit<RuntimeContainer, 'process'>> {
  readonly process?: Partial<ProcessSpec>;
}

let made = 0;

/** A container with a busybox root file system in `folder`, as a pod without wishes of its own would get it. */
export async function makeContainer(
  folder: string,
  args: readonly string[],
  wishes: ContainerWishes = {},
): Promise<RuntimeContainer & { readonly logPath: string }> {
  made += 1;
  const id = `lading-test-${process.pid}-${made}`;
  const bundleDir = path.join(folder, id);
  const rootfs = path.join(bundleDir, 'rootfs');
  await mkdir(bundleDir);
  await makeBusyboxRootfs(rootfs);
  return {
    id,
    bundleDir,
    rootfs,
    hostname: 'web-0',
    mounts: [],
    readonlyRootfs: false,
    maskedPaths: defaultMaskedPaths,
    readonlyPaths: defaultReadonlyPaths,
    seccomp: 'default',
    cgroupPath: `/lading-test-${process.pid}/${id}`,
    logPath: path.join(bundleDir, 'output.log'),
    ...wishes,
    process: {
      args,
      env: ['PATH=/bin'],
      cwd: '/',
      user: { uid: 0, gid: 0, additionalGids: [] },
      capabilities: defaultCapabilities,
      noNewPrivileges: false,
      ...wishes.process,
    },
  };
}

export interface LogRecord {
  readonly time: string;
  readonly stream: 'stdout' | 'stderr';
  readonly tag: 'F' | 'P';
  readonly text: string;
}

export async function readLog(file: string): Promise<LogRecord[]> {
  const lines = (await readFile(file, 'latin1')).split('\n');
  if (lines.pop() !== '') throw new Error('the log does not end with a newline');
  return lines.map((line) => {
    const [, time, stream, tag, text] = /^(\S+) (stdout|stderr) ([FP]) (.*)$/s.exec(line) ?? [];
    if (time === undefined) throw new Error(`no log record: ${line.slice(0, 200)}`);
    return { time, stream, tag, text } as LogRecord;
  });
}

/** What a reader of the log gets back: the bytes of one stream. */
export function bytesOf(records: readonly LogRecord[], stream: 'stdout' | 'stderr' = 'stdout'): string {
  return records
    .filter((entry) => entry.stream === stream)
    .map(({ text, tag }) => (tag === 'F' ? `${text}\n` : text))
    .join('');
}
