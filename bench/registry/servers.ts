import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { compileCache, ladingCommand } from '../shared/lading.ts';

/** A registry in a process of its own, on loopback. */
export interface Server {
  readonly name: string;
  readonly port: number;
  /** The most memory that the process has had. */
  peakBytes(): number;
  close(): Promise<void>;
}

export interface ServerKind {
  readonly name: string;
  start(folder: string): Promise<Server>;
}

export const ladingServer: ServerKind = {
  name: 'lading',
  async start(folder) {
    const [program, ...args] = [...ladingCommand, 'registry', 'serve', '--root', folder, '--addr', '127.0.0.1:0'];
    const child = spawn(program!, args, {
      stdio: ['ignore', 'pipe', 'inherit'],
      env: { ...process.env, ...compileCache },
    });
    return server('lading', child, { output: child.stdout!, pattern: /^Registry at http:\/\/127\.0\.0\.1:(\d+)/ });
  },
};

/** Without its access log, which Lading's registry does not write either. */
export const dockerServer: ServerKind = {
  name: 'docker-registry',
  async start(folder) {
    await mkdir(folder, { recursive: true });
    const configuration = {
      version: '0.1',
      log: { level: 'info', accesslog: { disabled: true } },
      storage: { filesystem: { rootdirectory: join(folder, 'data') }, delete: { enabled: true } },
      http: { addr: '127.0.0.1:0' },
    };
    await writeFile(join(folder, 'config.json'), JSON.stringify(configuration));
    const child = spawn('docker-registry', ['serve', join(folder, 'config.json')], {
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    return server('docker-registry', child, { output: child.stderr!, pattern: /listening on 127\.0\.0\.1:(\d+)/ });
  },
};

async function server(
  name: string,
  child: ChildProcess,
  { output, pattern }: { output: NodeJS.ReadableStream; pattern: RegExp },
): Promise<Server> {
  running.add(child);
  const port = await new Promise<number>((resolve, reject) => {
    child.once('exit', (code) => reject(new Error(`${name} ended with ${code}`)));
    createInterface({ input: output }).on('line', (line) => {
      const found = pattern.exec(line)?.[1];
      if (found !== undefined) resolve(Number(found));
    });
  });
  return {
    name,
    port,
    peakBytes: () =>
      Number(/^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${child.pid}/status`, 'latin1'))![1]) * 1024,
    close: async () => {
      child.kill('SIGKILL');
      await once(child, 'exit');
      running.delete(child);
    },
  };
}

const running = new Set<ChildProcess>();
process.once('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});
