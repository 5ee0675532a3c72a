import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync } from 'node:fs';
import { Socket } from 'node:net';
import { constants } from 'node:os';
import { createPipe } from '../lib/libc-process.ts';
import { CriLog, type OutputStream } from './cri-log.ts';

/** A process that holds the output open after the container has ended does not keep it from being over. */
const outputGraceMs = 5_000;
/** Enough for any runtime's complaint. */
const maxComplaintBytes = 8 * 1024;

/**
 * A child process in a session of its own, so that Ctrl-C on Lading's terminal does not reach it, whose output goes
 * through real pipes: a program can open `/dev/stdout` again, which it cannot with the sockets that Node would make.
 */
export class SupervisedProcess {
  readonly #child: ChildProcess;
  readonly #outputs: Readonly<Record<OutputStream, Socket>>;
  readonly #log: CriLog | undefined;
  /** Never rejects. 128 + signal for a process that was killed; undefined if it could not be started at all. */
  readonly exitCode: Promise<number | undefined>;
  #failure: Error | undefined;

  private constructor(child: ChildProcess, outputs: Record<OutputStream, Socket>, log: CriLog | undefined) {
    this.#child = child;
    this.#outputs = outputs;
    this.#log = log;
    this.exitCode = new Promise((resolve) => {
      child.once('error', (error) => {
        this.#failure = error;
        resolve(undefined);
      });
      child.once('exit', (code, signal) => resolve(code ?? 128 + constants.signals[signal!]));
    });
  }

  /** @throws Error when the log cannot be opened */
  static async spawn(
    command: readonly string[],
    options: { logPath?: string | undefined },
  ): Promise<SupervisedProcess> {
    const log = options.logPath === undefined ? undefined : await CriLog.open(options.logPath);
    const stdout = createPipe();
    const stderr = createPipe();
    const child = spawn(command[0]!, command.slice(1), {
      stdio: ['ignore', stdout.writeFd, stderr.writeFd],
      env: { PATH: process.env.PATH ?? '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' },
      cwd: '/',
      detached: true,
    });
    closeSync(stdout.writeFd);
    closeSync(stderr.writeFd);
    const outputs = { stdout: readEnd(stdout.readFd), stderr: readEnd(stderr.readFd) };
    return new SupervisedProcess(child, outputs, log);
  }

  /** Undefined if it could not be started. */
  get pid(): number | undefined {
    return this.#child.pid;
  }

  /**
   * Copies the output to the log from now on; what came before was kept in the pipes. Resolves when the process has
   * ended and its output is in the log.
   */
  async copyOutput(): Promise<void> {
    const streams: OutputStream[] = ['stdout', 'stderr'];
    const copied = Promise.all(streams.map((stream) => this.#copy(stream)));
    await this.exitCode;
    let timer: NodeJS.Timeout | undefined;
    const grace = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, outputGraceMs);
    });
    await Promise.race([copied, grace]);
    clearTimeout(timer);
    this.#closeOutputs();
    await copied;
    await this.#log?.close();
  }

  /** For a start that failed: what the process said on stderr, or why there was none. Nothing goes to the log. */
  async complaint(): Promise<string> {
    await this.exitCode;
    const chunks: Buffer[] = [];
    const { stderr } = this.#outputs;
    stderr.setTimeout(outputGraceMs, () => stderr.destroy());
    try {
      for await (const chunk of stderr) {
        if (Buffer.concat(chunks).byteLength < maxComplaintBytes) chunks.push(chunk as Buffer);
      }
    } catch {
      // Destroyed: what was read so far is what there is.
    }
    this.#closeOutputs();
    await this.#log?.close();
    const text = Buffer.concat(chunks).toString().trim();
    return text || (this.#failure?.message ?? '');
  }

  async #copy(stream: OutputStream): Promise<void> {
    const output = this.#outputs[stream];
    try {
      if (this.#log) await this.#log.copy(stream, output);
      else for await (const _ of output);
    } catch {
      // Destroyed after the grace.
    }
  }

  #closeOutputs(): void {
    for (const output of Object.values(this.#outputs)) output.destroy();
  }
}

function readEnd(fd: number): Socket {
  return new Socket({ fd, readable: true, writable: false });
}
