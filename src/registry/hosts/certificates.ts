import { X509Certificate } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { createSecureContext } from 'node:tls';
import { errorMessage, LadingError } from '../../lib/errors.ts';
import type { ClientCertificate } from '../connector.ts';
import type { ClientFiles } from './host-entry.ts';

/** Names of the certificates of one endpoint. */
export interface CertificateFiles {
  readonly ca: readonly string[];
  readonly clients: readonly ClientFiles[];
}

export interface Certificates {
  readonly ca: readonly string[];
  readonly clients: readonly ClientCertificate[];
}

/**
 * Docker's way to name certificates: `*.crt` are authorities, `X.cert` with `X.key` (or with the key inside) shows who
 * we are; a key alone means nothing.
 * @see registry.md 5.2
 */
export async function certificateFilesIn(directory: string): Promise<CertificateFiles> {
  const names = (await readdir(directory)).sort();
  const inDirectory = (name: string) => path.join(directory, name);
  return {
    ca: names.filter((name) => name.endsWith('.crt')).map(inDirectory),
    clients: names
      .filter((name) => name.endsWith('.cert'))
      .map((name) => {
        const key = `${name.slice(0, -'.cert'.length)}.key`;
        return { cert: inDirectory(name), key: names.includes(key) ? inDirectory(key) : undefined };
      }),
  };
}

/** @throws LadingError `ERR_LADING_HOSTS_CERTIFICATE` when one cannot be read or is none */
export async function readCertificates({ ca, clients }: CertificateFiles): Promise<Certificates> {
  return { ca: await Promise.all(ca.map(readAuthority)), clients: await Promise.all(clients.map(readClient)) };
}

async function readAuthority(file: string): Promise<string> {
  return reading(file, 'the certificate of an authority', async () => {
    const pem = await readFile(file, 'utf8');
    new X509Certificate(pem); // as part of a TLS context it would be ignored in silence
    return pem;
  });
}

async function readClient({ cert: certFile, key: keyFile = certFile }: ClientFiles): Promise<ClientCertificate> {
  const cert = await reading(certFile, 'a client certificate', () => readFile(certFile, 'utf8'));
  const key = await reading(keyFile, 'the key of a client certificate', () => readFile(keyFile, 'utf8'));
  return reading(certFile, `a client certificate with the key in ${keyFile}`, async () => {
    createSecureContext({ cert, key });
    return { cert, key };
  });
}

async function reading<T>(file: string, what: string, read: () => Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (cause) {
    throw new LadingError('ERR_LADING_HOSTS_CERTIFICATE', `Cannot use ${file} as ${what}: ${errorMessage(cause)}`, {
      hint: 'Correct the file or the hosts.toml that names it; without it the registry is not asked.',
      cause,
    });
  }
}
