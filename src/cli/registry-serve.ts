/** `lading registry serve`. */
import { join, resolve } from 'node:path';
import type { AccessRecord, RegistryOptions } from '../distribution/index.ts';
import { errorMessage } from '../lib/errors.ts';
import { AccessLog } from './access-log.ts';
import type { Cli } from './cli.ts';
import { UsageError } from './error-report.ts';
import { humanSize } from './human.ts';
import { oneLine, printable } from './output.ts';
import { requireRepositoryName } from './registry-argument.ts';

export interface ServeOptions {
  readonly addr: string;
  readonly layout?: string;
  readonly repository?: string;
  readonly node?: true;
  readonly readOnly?: true;
  readonly htpasswd?: string;
  readonly tokens?: string;
  readonly anonymousPull?: true;
  readonly tlsCert?: string;
  readonly tlsKey?: string;
  /** Bytes. */
  readonly maxBlobSize?: number;
  readonly maxUploads?: number;
  /** Milliseconds. */
  readonly gcEvery?: number;
  readonly gcGrace?: number;
  readonly accessLog?: string;
}

export async function serveRegistry(cli: Cli, options: ServeOptions): Promise<void> {
  const { host, port } = parseAddress(options.addr);
  const { tls, users } = security(options);
  if (options.repository !== undefined) await requireRepositoryName(options.repository);
  const log =
    options.accessLog === undefined ? undefined : new AccessLog(options.accessLog, { warn: (text) => warn(cli, text) });
  const [{ startRegistry }, { makeV8Lean }] = await Promise.all([
    import('../distribution/index.ts'),
    import('./v8-flags.ts'),
  ]);
  makeV8Lean();
  const registry = await startRegistry({
    ...content(cli, options),
    host,
    port,
    tls,
    users,
    onRequest: (record) => {
      log?.add(record);
      if (cli.verbose) cli.stderr.write(`${requestLine(record)}\n`);
    },
  });
  if (tls || log) {
    cli.onHangup(() => {
      log?.reopen();
      registry.reload().catch((error: unknown) => warn(cli, errorMessage(error)));
    });
  }
  try {
    cli.stdout.write(greeting(cli, registry, options));
    if (!isLoopback(host)) for (const text of dangers(registry.address, options)) warn(cli, text);
    await new Promise<void>((end) => {
      if (cli.signal.aborted) end();
      else cli.signal.addEventListener('abort', () => end(), { once: true });
    });
  } finally {
    await registry.close();
    await log?.close();
  }
}

/** The folder of the registry that belongs to a node. */
export function registryRoot(cli: Cli): string {
  return join(cli.settings.root, 'registry');
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

function content(cli: Cli, options: ServeOptions): RegistryOptions {
  const { repository, readOnly, gcEvery, gcGrace } = options;
  const layout = options.layout === undefined ? undefined : resolve(options.layout);
  if (repository !== undefined && !(layout && readOnly)) {
    throw new UsageError('--repository needs --layout and --read-only');
  }
  if (gcGrace !== undefined && !gcEvery) throw new UsageError('--gc-grace needs --gc-every');
  if (options.node) return { store: cli.settings.root };
  if (layout && readOnly) return { layout, access: 'read-only', repository };
  return {
    ...(layout ? { layout } : { root: registryRoot(cli) }),
    access: readOnly ? 'read-only' : 'read-write',
    maxBlobBytes: options.maxBlobSize,
    maxUploadsPerClient: options.maxUploads,
    ...(gcEvery && { garbage: { everyMs: gcEvery, graceMs: gcGrace } }),
  };
}

function security(options: ServeOptions): Pick<RegistryOptions, 'tls' | 'users'> {
  const { tlsCert, tlsKey, htpasswd, tokens, anonymousPull } = options;
  const hasUsers = htpasswd !== undefined || tokens !== undefined;
  if ((tlsCert === undefined) !== (tlsKey === undefined)) {
    throw new UsageError('--tls-cert and --tls-key need each other');
  }
  if (anonymousPull && !hasUsers) throw new UsageError('--anonymous-pull needs --htpasswd or --tokens');
  return {
    ...(tlsCert !== undefined && tlsKey !== undefined && { tls: { certFile: tlsCert, keyFile: tlsKey } }),
    ...(hasUsers && {
      users: { htpasswdFile: htpasswd, tokenFile: tokens, anonymous: anonymousPull ? 'pull' : 'nothing' },
    }),
  };
}

/** What somebody should know who serves others than this machine. */
function dangers(address: string, options: ServeOptions): string[] {
  const { readOnly, node, htpasswd, tokens, tlsCert } = options;
  const texts: string[] = [];
  if (htpasswd === undefined && tokens === undefined) {
    const can = readOnly || node ? 'pull these images' : 'push and delete images';
    texts.push(`everybody who reaches ${address} can ${can}`);
  } else if (tlsCert === undefined) {
    texts.push(`passwords and tokens are sent to ${address} in the clear; --tls-cert and --tls-key change that`);
  }
  return texts;
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127\.\d+\.\d+\.\d+$/.test(host);
}

function greeting(cli: Cli, { url, address }: { url: string; address: string }, options: ServeOptions): string {
  const { layout, node, readOnly } = options;
  const folder = layout === undefined ? (node ? cli.settings.root : registryRoot(cli)) : resolve(layout);
  const first = `Registry at ${url}, images in ${folder}. Ctrl-C ends it.\n\n`;
  if (node || readOnly) return `${first}  curl ${url}/v2/_catalog\n  lading pull ${address}/NAME\n`;
  return `${first}  skopeo copy --dest-tls-verify=false docker://docker.io/library/alpine docker://${address}/alpine
  docker tag img1 ${address}/img1 && docker push ${address}/img1
  lading pull ${address}/alpine
`;
}

function requestLine({ method, path, status, bytes, userAgent = '-', durationMs }: AccessRecord): string {
  const time = new Date().toISOString();
  return oneLine(`${time} ${method} ${path} ${status} ${humanSize(bytes)} ${durationMs.toFixed(1)}ms ${userAgent}`);
}

function warn(cli: Cli, text: string): void {
  cli.stderr.write(`warning: ${printable(text)}\n`);
}
