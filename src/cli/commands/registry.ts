import { join } from 'node:path';
import type { Command } from 'commander';
import type { AccessRecord } from '../../distribution/index.ts';
import { addExamples, type Cli } from '../cli.ts';
import { UsageError } from '../error-report.ts';
import { humanSize } from '../human.ts';
import { oneLine } from '../output.ts';

export function define(command: Command, cli: Cli): void {
  const serve = command
    .helpCommand(false)
    .command('serve')
    .description('Serve images until Ctrl-C')
    .option('--addr <host:port>', 'where to listen; port 0 takes a free one', '127.0.0.1:5000')
    .addHelpText(
      'after',
      '\nThe images are kept in the folder `registry` of the node (see --root). There is no authentication and no TLS: who\n' +
        'reaches the address can push and delete. -v prints a line for each request.',
    )
    .action(({ addr }: { addr: string }) => serveRegistry(cli, addr));
  const examples = [
    ['lading registry serve', 'Serve on 127.0.0.1:5000'],
    ['lading registry serve --addr 127.0.0.1:0 --root /tmp/demo -v', 'On a free port, elsewhere, with an access log'],
  ] as const;
  addExamples(serve, examples);
  addExamples(command, examples);
}

async function serveRegistry(cli: Cli, addr: string): Promise<void> {
  const { host, port } = parseAddress(addr);
  const root = join(cli.settings.root, 'registry');
  const { startRegistry } = await import('../../distribution/index.ts');
  const registry = await startRegistry({ root, host, port, ...(cli.verbose && { onRequest: accessLog(cli) }) });
  try {
    cli.stdout.write(greeting(registry.address, root));
    if (!isLoopback(host)) {
      cli.stderr.write(`warning: everybody who reaches ${registry.address} can push and delete images\n`);
    }
    await new Promise<void>((resolve) => {
      if (cli.signal.aborted) resolve();
      else cli.signal.addEventListener('abort', () => resolve(), { once: true });
    });
  } finally {
    await registry.close();
  }
}

/** `HOST:PORT`, `[HOST]:PORT` or `:PORT`, which is loopback too. */
export function parseAddress(text: string): { host: string; port: number } {
  const match = /^(?:\[([0-9A-Fa-f:.]+)\]|([^:[\]]*)):(\d{1,5})$/.exec(text);
  const port = Number(match?.[3]);
  if (!match || port > 65_535) {
    throw new UsageError(`cannot listen on ${JSON.stringify(text)}: it is not an address`, {
      hint: 'An address is HOST:PORT, for example 127.0.0.1:5000 or [::1]:5000.',
    });
  }
  return { host: match[1] ?? (match[2] || '127.0.0.1'), port };
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127\.\d+\.\d+\.\d+$/.test(host);
}

function greeting(address: string, root: string): string {
  return `Registry at http://${address}, images in ${root}. Ctrl-C ends it.

  skopeo copy --dest-tls-verify=false docker://docker.io/library/alpine docker://${address}/alpine
  docker tag img1 ${address}/img1 && docker push ${address}/img1
  lading pull ${address}/alpine
`;
}

function accessLog(cli: Cli): (request: AccessRecord) => void {
  return ({ method, path, status, bytes, userAgent = '-', durationMs }) => {
    const time = new Date().toISOString();
    const line = `${time} ${method} ${path} ${status} ${humanSize(bytes)} ${durationMs.toFixed(1)}ms ${userAgent}`;
    cli.stderr.write(`${oneLine(line)}\n`);
  };
}
