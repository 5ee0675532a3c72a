import { writeFile } from 'node:fs/promises';
import { request } from 'node:http';
import path from 'node:path';
import { hash } from 'bcryptjs';
import { type AccessRecord, type Registry, startRegistry } from '../../../src/distribution/index.ts';
import { mediaTypes } from '../../../src/oci/index.ts';
import type { TestImage } from '../../pull/support/test-image.ts';

/** Of all users here. */
export const password = 'open sesame';

/** A real registry in this process that can be stopped and started again, with or without users. */
export class SwitchedRegistry {
  readonly requests: AccessRecord[] = [];
  readonly #folder: string;
  readonly #users: readonly string[];
  #registry: Registry | undefined;
  #port = 0;

  /** @param users who may pull; without any everybody */
  constructor(folder: string, users: readonly string[] = []) {
    this.#folder = folder;
    this.#users = users;
  }

  get address(): string {
    return `127.0.0.1:${this.#port}`;
  }

  async start(): Promise<void> {
    if (this.#registry) return;
    const htpasswdFile = path.join(this.#folder, 'users');
    const lines = await Promise.all(this.#users.map(async (user) => `${user}:${await hash(password, 4)}\n`));
    await writeFile(htpasswdFile, lines.join(''));
    this.#registry = await startRegistry({
      root: path.join(this.#folder, 'registry'),
      port: this.#port,
      onRequest: (record) => this.requests.push(record),
      ...(this.#users.length > 0 && { users: { htpasswdFile } }),
    });
    this.#port = this.#registry.port;
  }

  async stop(): Promise<void> {
    await this.#registry?.close();
    this.#registry = undefined;
  }

  /** `METHOD path` of the answers since the last call that gave something, in the order of their texts. */
  take(): string[] {
    const given = this.requests.splice(0).filter(({ status, endpoint }) => status === 200 && endpoint !== 'base');
    return given.map(({ method, path: at }) => `${method} ${at}`).sort();
  }

  async push(repository: string, tag: string, { blobs, layers, config, manifestBytes }: TestImage): Promise<void> {
    for (const [index, { digest }] of [config, ...layers].entries()) {
      await this.#send('POST', `/v2/${repository}/blobs/uploads/?digest=${digest}`, blobs[index]!);
    }
    await this.#send('PUT', `/v2/${repository}/manifests/${tag}`, manifestBytes, mediaTypes.ociManifest);
  }

  #send(method: string, target: string, body: Buffer, type = 'application/octet-stream'): Promise<void> {
    const headers = { 'Content-Type': type, 'Content-Length': body.byteLength };
    const [user] = this.#users;
    const auth = user === undefined ? {} : { auth: `${user}:${password}` };
    return new Promise((resolve, reject) => {
      const call = request({ host: '127.0.0.1', port: this.#port, method, path: target, headers, ...auth });
      call.once('error', reject);
      call.once('response', (response) => {
        response.resume();
        if (response.statusCode === 201) resolve();
        else reject(new Error(`${method} ${target}: ${response.statusCode}`));
      });
      call.end(body);
    });
  }
}
