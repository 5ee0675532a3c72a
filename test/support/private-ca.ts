import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

/** Why tests cannot make certificates on this machine, undefined where they can: the reason for a skip. */
export const opensslMissing: string | undefined =
  spawnSync('openssl', ['version'], { stdio: 'ignore' }).status === 0 ? undefined : 'openssl is not installed';

/** An authority that nobody trusts, and a server certificate of it for 127.0.0.1 and `registry.test`. */
export interface PrivateCa {
  readonly ca: Buffer;
  readonly cert: Buffer;
  readonly key: Buffer;
  readonly caFile: string;
  readonly certFile: string;
  readonly keyFile: string;
  remove(): Promise<void>;
}

/** @param options.days how long the server's certificate is valid; a negative number for one that has expired */
export async function createPrivateCa({ days = 2 }: { days?: number } = {}): Promise<PrivateCa> {
  const folder = await mkdtemp(path.join(tmpdir(), 'lading-ca-'));
  const file = (name: string) => path.join(folder, name);
  const openssl = (...args: string[]) => execFileSync('openssl', args, { cwd: folder, stdio: 'pipe' });
  const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  openssl('req', '-x509', ...newKey, '-keyout', 'ca.key', '-out', 'ca.pem', '-days', '2', '-subj', '/CN=lading tests');
  openssl('req', ...newKey, '-keyout', 'server.key', '-out', 'server.csr', '-subj', '/CN=registry.test');
  await writeFile(file('names'), 'subjectAltName=DNS:registry.test,IP:127.0.0.1');
  const signing = ['-CA', 'ca.pem', '-CAkey', 'ca.key', '-CAcreateserial', '-days', String(days), '-extfile', 'names'];
  openssl('x509', '-req', '-in', 'server.csr', '-out', 'server.pem', ...signing);
  return {
    ca: await readFile(file('ca.pem')),
    cert: await readFile(file('server.pem')),
    key: await readFile(file('server.key')),
    caFile: file('ca.pem'),
    certFile: file('server.pem'),
    keyFile: file('server.key'),
    remove: () => rm(folder, { recursive: true, force: true }),
  };
}
