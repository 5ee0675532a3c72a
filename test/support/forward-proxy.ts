import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { onTestFinished } from 'vitest';

export interface ForwardProxyOptions {
  /** What the proxy resolves: `registry.test:443` to `127.0.0.1:5000`. */
  readonly names: Readonly<Record<string, string>>;
  /** `user:password` */
  readonly credentials?: string;
}

export interface ForwardProxy {
  /** `127.0.0.1:PORT` */
  readonly address: string;
  /** `127.0.0.1:PORT` for SOCKS 5. */
  readonly socksAddress: string;
  /** What it was asked for so far: `connect registry.test:443`. */
  readonly log: readonly string[];
  stop(): Promise<void>;
}

/** A forward proxy in a process of its own, which ends with the test. */
export async function startForwardProxy({ names, credentials }: ForwardProxyOptions): Promise<ForwardProxy> {
  const script = fileURLToPath(new URL('forward-proxy-process.ts', import.meta.url));
  const env = { ...process.env, NAMES: JSON.stringify(names), ...(credentials && { CREDENTIALS: credentials }) };
  const child = spawn(process.execPath, [script], { stdio: ['pipe', 'pipe', 'inherit'], env });
  const stop = async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.kill('SIGKILL');
    await once(child, 'exit');
  };
  onTestFinished(stop);
  const log: string[] = [];
  const lines = createInterface({ input: child.stdout });
  const [first] = (await once(lines, 'line')) as [string];
  lines.on('line', (line) => {
    const { kind, target } = JSON.parse(line);
    log.push(`${kind} ${target}`);
  });
  const [port, socksPort] = JSON.parse(first);
  return { address: `127.0.0.1:${port}`, socksAddress: `127.0.0.1:${socksPort}`, log, stop };
}
