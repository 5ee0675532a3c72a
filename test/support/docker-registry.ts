import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { type Digest, digestOf } from '../../src/oci/digest.ts';

/** Why tests cannot start a `docker-registry` on this machine, undefined where they can: the reason for a skip. */
export const dockerRegistryMissing: string | undefined =
  spawnSync('docker-registry', ['--version'], { stdio: 'ignore' }).status === 0
    ? undefined
    : 'docker-registry is not installed (Debian and Ubuntu: apt-get install docker-registry)';

/** The only user of a registry started with `auth: 'htpasswd'`. */
export const htpasswdUser = { username: 'lading', password: 'colon:and blank' };
const htpasswdLine = 'lading:$2b$05$abcdefghijklmnopqrstuuiwgbJtJ4ipvshp/mmjo5E9cxzW0/HW6';

export interface DockerRegistryOptions {
  readonly auth?: 'none' | 'htpasswd';
  /** PEM files of the server; https then, else plain http. */
  readonly tls?: {
    readonly certFile: string;
    readonly keyFile: string;
    /** Clients must show a certificate of this authority. */
    readonly clientCaFile?: string;
  };
}

/** Of what it says, for the error when it does not come up. */
const maxKeptLines = 50;

/** What the registry's own access log says about one request. */
export interface LoggedRequest {
  readonly method: string;
  /** With the query. */
  readonly path: string;
  readonly status: number;
  readonly userAgent: string;
}

interface PutInit {
  readonly method: 'POST' | 'PUT';
  readonly body?: Uint8Array;
  readonly headers?: Readonly<Record<string, string>>;
}

/**
 * A real `docker-registry` process on a free port of 127.0.0.1 with its data in a temporary folder; deletion is on.
 * Its folder and process are gone after `close()`.
 */
export class DockerRegistry {
  readonly #folder: string;
  readonly #options: DockerRegistryOptions;
  readonly #log: LoggedRequest[] = [];
  #process: ChildProcess | undefined;
  #port = 0;
  #marks = 0;

  constructor(folder: string, options: DockerRegistryOptions) {
    this.#folder = folder;
    this.#options = options;
  }

  get port(): number {
    return this.#port;
  }

  /** `127.0.0.1:PORT`, the registry part of a reference; the same after `stop()` and `start()`. */
  get address(): string {
    return `127.0.0.1:${this.#port}`;
  }

  get url(): string {
    return `${this.#options.tls ? 'https' : 'http'}://${this.address}`;
  }

  /** The folder with the registry's data (`docker/registry/v2/…`), for tests that damage it. */
  get dataFolder(): string {
    return path.join(this.#folder, 'data');
  }

  /** Starts the process again after `stop()`, on the same port with the same data. */
  async start(): Promise<void> {
    const configFile = path.join(this.#folder, 'config.json');
    await writeFile(configFile, JSON.stringify(await this.#configuration()));
    const child = spawn('docker-registry', ['serve', configFile], { stdio: ['ignore', 'pipe', 'pipe'] });
    this.#process = child;
    leftovers.set(this.#folder, child);
    createInterface({ input: child.stdout }).on('line', (line) => {
      const entry = parseAccessLogLine(line);
      if (entry) this.#log.push(entry);
    });
    await new Promise<void>((resolve, reject) => {
      const lines: string[] = [];
      createInterface({ input: child.stderr }).on('line', (line) => {
        lines.push(line);
        // Later on it says much about each request, and nobody asks for that.
        if (lines.length > maxKeptLines) lines.shift();
        const port = /listening on 127\.0\.0\.1:(\d+)/.exec(line)?.[1];
        if (port === undefined) return;
        this.#port = Number(port);
        resolve();
      });
      child.once('exit', (code) => reject(new Error(`docker-registry ended with ${code}:\n${lines.join('\n')}`)));
    });
  }

  /** Kills the process, so that connections are refused; the data stays. */
  async stop(): Promise<void> {
    const child = this.#process;
    this.#process = undefined;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    child.kill('SIGKILL');
    await once(child, 'exit');
  }

  async close(): Promise<void> {
    await this.stop();
    await rm(this.#folder, { recursive: true, force: true });
    leftovers.delete(this.#folder);
  }

  /** The requests that this registry has answered so far, in order; needs the process to run, and no TLS. */
  async requests(): Promise<readonly LoggedRequest[]> {
    const mark = `/v2/?mark=${++this.#marks}`;
    await fetch(`${this.url}${mark}`);
    while (!this.#log.some((entry) => entry.path === mark)) await new Promise((resolve) => setTimeout(resolve, 5));
    return this.#log.filter((entry) => !entry.path.startsWith('/v2/?mark='));
  }

  /** Puts a blob into the registry without any code of Lading. Plain http only. */
  async putBlob(repository: string, bytes: Uint8Array): Promise<Digest> {
    const digest = digestOf(bytes);
    const session = await this.#fetch(`/v2/${repository}/blobs/uploads/`, { method: 'POST' });
    const location = new URL(session.headers.get('location')!, this.url);
    location.searchParams.set('digest', digest);
    await this.#fetch(location.pathname + location.search, { method: 'PUT', body: bytes });
    return digest;
  }

  /** Puts a manifest under a tag without any code of Lading; its blobs must be there. Plain http only. */
  async putManifest(
    repository: string,
    tag: string,
    manifest: object | Uint8Array,
    mediaType: string,
  ): Promise<Digest> {
    const bytes = manifest instanceof Uint8Array ? manifest : Buffer.from(JSON.stringify(manifest));
    const headers = { 'content-type': mediaType };
    await this.#fetch(`/v2/${repository}/manifests/${tag}`, { method: 'PUT', body: bytes, headers });
    return digestOf(bytes);
  }

  async #fetch(pathAndQuery: string, init: PutInit): Promise<Response> {
    const headers: Record<string, string> = { ...init.headers };
    if (this.#options.auth === 'htpasswd') {
      const { username, password } = htpasswdUser;
      headers.authorization = `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`;
    }
    const response = await fetch(new URL(pathAndQuery, this.url), {
      method: init.method,
      headers,
      ...(init.body && { body: Buffer.from(init.body) }),
    });
    if (!response.ok) throw new Error(`${init.method} ${pathAndQuery}: ${response.status} ${await response.text()}`);
    await response.arrayBuffer();
    return response;
  }

  async #configuration(): Promise<object> {
    const { auth, tls } = this.#options;
    const passwordFile = path.join(this.#folder, 'htpasswd');
    if (auth === 'htpasswd') await writeFile(passwordFile, `${htpasswdLine}\n`);
    return {
      version: '0.1',
      log: { level: 'info', accesslog: { disabled: false } },
      storage: { filesystem: { rootdirectory: this.dataFolder }, delete: { enabled: true } },
      http: {
        addr: `127.0.0.1:${this.#port}`,
        secret: 'one secret, so that uploads survive a restart',
        ...(tls && {
          tls: {
            certificate: tls.certFile,
            key: tls.keyFile,
            ...(tls.clientCaFile !== undefined && { clientcas: [tls.clientCaFile] }),
          },
        }),
      },
      ...(auth === 'htpasswd' && { auth: { htpasswd: { realm: 'lading tests', path: passwordFile } } }),
    };
  }
}

/** @throws Error with the registry's log when it does not come up; see `dockerRegistryMissing` first */
export async function startDockerRegistry(options: DockerRegistryOptions = {}): Promise<DockerRegistry> {
  const registry = new DockerRegistry(await mkdtemp(path.join(tmpdir(), 'lading-registry-')), options);
  try {
    await registry.start();
    return registry;
  } catch (error) {
    await registry.close();
    throw error;
  }
}

/** Also when a test forgets it, or the run is interrupted. */
const leftovers = new Map<string, ChildProcess | undefined>();
process.once('exit', () => {
  for (const [folder, child] of leftovers) {
    child?.kill('SIGKILL');
    rmSync(folder, { recursive: true, force: true });
  }
});

function parseAccessLogLine(line: string): LoggedRequest | undefined {
  const match = /^\S+ \S+ .*?\[[^\]]*\] "(\S+) (\S+) [^"]*" (\d+) \d+ "[^"]*" "([^"]*)"/.exec(line);
  if (!match) return undefined;
  const [, method = '', requestPath = '', status, userAgent = ''] = match;
  return { method, path: requestPath, status: Number(status), userAgent };
}
