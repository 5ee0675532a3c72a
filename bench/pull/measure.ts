import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { text } from 'node:stream/consumers';

export interface Measurement {
  readonly wallSeconds: number;
  /** User and system time of all processes that took part. */
  readonly cpuSeconds: number;
  /** Sum of the resident peaks of all processes that took part: an upper bound. */
  readonly peakBytes: number;
  /** Passed to write(2) and its kin, whether or not it reached a device. */
  readonly writtenBytes: number;
}

export interface Command {
  readonly command: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** A process that works for the command and was there before it. */
  readonly servantPid?: number | undefined;
}

/** Peaks only grow: what the last sample misses is little. Looking costs a tenth of a millisecond. */
const sampleIntervalMs = 40;
const clockTicksPerSecond = 100;

/**
 * Runs a command to its end and measures it with its children, and with its servant.
 * @throws Error with its output if it fails
 */
export async function measure({ command, env = {}, servantPid }: Command): Promise<Measurement> {
  const before = servantPid === undefined ? nothing : servantUsage(servantPid);
  if (servantPid !== undefined) resetPeak(servantPid);
  // Bash adds up times and bytes of all descendants that were waited for; /proc forgets them.
  const script = 'TIMEFORMAT="%R %U %S"; time "$@" >&2; code=$?; cat /proc/$$/io >&3; exit $code';
  const child = spawn('bash', ['-c', script, 'bash', ...command], {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'ignore', 'pipe', 'pipe'],
  });
  const peaks = new Map<number, number>();
  const sampling = setInterval(() => samplePeaks(child.pid!, peaks), sampleIntervalMs);
  try {
    const [errors, io, [code]] = await Promise.all([
      text(child.stderr!),
      text(child.stdio[3] as NodeJS.ReadableStream),
      once(child, 'exit') as Promise<[number]>,
    ]);
    if (code !== 0) throw new Error(`${command.join(' ')} ended with ${code}:\n${errors}`);
    const [wall, user, system] = errors.trimEnd().split('\n').at(-1)!.split(' ').map(Number);
    const after = servantPid === undefined ? nothing : servantUsage(servantPid);
    const ownPeak = [...peaks.values()].reduce((sum, bytes) => sum + bytes, 0);
    return {
      wallSeconds: wall!,
      cpuSeconds: user! + system! + after.cpuSeconds - before.cpuSeconds,
      peakBytes: ownPeak + after.peakBytes,
      writtenBytes: writtenBytes(io) + after.writtenBytes - before.writtenBytes,
    };
  } finally {
    clearInterval(sampling);
  }
}

const nothing = { cpuSeconds: 0, peakBytes: 0, writtenBytes: 0 };

/** Of a process and of those of its children that have ended. */
function servantUsage(pid: number): typeof nothing {
  const fields = readFileSync(`/proc/${pid}/stat`, 'latin1').split(') ')[1]!.split(' ');
  const ticks = fields.slice(11, 15).reduce((sum, field) => sum + Number(field), 0);
  return {
    cpuSeconds: ticks / clockTicksPerSecond,
    peakBytes: peakOf(pid) ?? 0,
    writtenBytes: writtenBytes(readFileSync(`/proc/${pid}/io`, 'latin1')),
  };
}

function writtenBytes(io: string): number {
  return Number(/^wchar: (\d+)$/m.exec(io)![1]);
}

function peakOf(pid: number): number | undefined {
  try {
    const kilobytes = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1];
    return kilobytes === undefined ? undefined : Number(kilobytes) * 1024;
  } catch {
    return undefined;
  }
}

function resetPeak(pid: number): void {
  spawn('bash', ['-c', `echo 5 > /proc/${pid}/clear_refs`], { stdio: 'ignore' });
}

function samplePeaks(pid: number, peaks: Map<number, number>): void {
  const peak = peakOf(pid);
  if (peak === undefined) return;
  peaks.set(pid, peak);
  for (const child of childrenOf(pid)) samplePeaks(child, peaks);
}

function childrenOf(pid: number): number[] {
  try {
    return readdirSync(`/proc/${pid}/task`).flatMap((thread) =>
      readFileSync(`/proc/${pid}/task/${thread}/children`, 'latin1').split(' ').filter(Boolean).map(Number),
    );
  } catch {
    return [];
  }
}
