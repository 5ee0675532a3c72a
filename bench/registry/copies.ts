import { execFile } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { gzipSync } from 'node:zlib';
import { ladingCommand, ladingEnvironment } from './lading.ts';
import { timed } from './loads.ts';
import type { Server } from './servers.ts';

/** A program that copies images between a folder and a registry. */
export interface Client {
  readonly name: string;
  /** @param folder for what the client itself keeps */
  copy(from: string, to: string, folder: string): Promise<unknown>;
}

const run = promisify(execFile);

export const clients: readonly Client[] = [
  {
    name: 'lading copy',
    copy: (from, to, folder) => {
      const [program, ...args] = [...ladingCommand, 'copy', '--root', folder, '--quiet', from, to];
      return run(program!, args, { env: ladingEnvironment });
    },
  },
  {
    name: 'skopeo copy',
    copy: (from, to, folder) => {
      const env = { ...process.env, HOME: folder, XDG_DATA_HOME: folder, XDG_RUNTIME_DIR: folder };
      const insecure = ['--src-tls-verify=false', '--dest-tls-verify=false'];
      return run('skopeo', ['--insecure-policy', 'copy', '--quiet', ...insecure, from, to], { env });
    },
  },
];

/** An image by the sizes of its layers, in bytes. */
export interface Shape {
  readonly name: string;
  readonly layers: readonly number[];
}

/** @param scale 1 is about a second for each copy */
export function shapes(scale: number): Shape[] {
  const large = Math.ceil(48 * scale) * 1024 * 1024;
  const many = Math.ceil(100 * scale);
  return [
    { name: `3 layers of ${large >> 20} MiB`, layers: [large, large, large] },
    { name: `${many} layers of 16 KiB`, layers: Array.from({ length: many }, () => 16 * 1024) },
  ];
}

/**
 * Pushes a new image and pulls it again.
 * @returns seconds for each
 */
export async function pushAndPull(
  client: Client,
  { server, shape, folder }: { server: Server; shape: Shape; folder: string },
): Promise<{ push: number; pull: number }> {
  const home = await mkdtemp(join(folder, 'copy-'));
  try {
    const layout = join(home, 'layout');
    await writeLayout(layout, shape);
    const remote = `docker://127.0.0.1:${server.port}/bench/copy:${randomBytes(4).toString('hex')}`;
    const push = await timed(() => client.copy(`oci:${layout}:image`, remote, home));
    const pull = await timed(() => client.copy(remote, `oci:${join(home, 'back')}:image`, home));
    return { push, pull };
  } finally {
    await rm(home, { recursive: true, force: true });
  }
}

/** Content that nobody has seen: clients remember what a registry has. Gzip without compression, as no client adds any. */
async function writeLayout(folder: string, { layers }: Shape): Promise<void> {
  await mkdir(join(folder, 'blobs', 'sha256'), { recursive: true });
  const put = async (bytes: Buffer, mediaType: string) => {
    const hex = createHash('sha256').update(bytes).digest('hex');
    await writeFile(join(folder, 'blobs', 'sha256', hex), bytes);
    return { mediaType, digest: `sha256:${hex}`, size: bytes.byteLength };
  };
  const json = (value: unknown) => Buffer.from(JSON.stringify(value));
  const contents = layers.map((bytes) => randomBytes(bytes));
  const descriptors = [];
  for (const content of contents) {
    const blob = gzipSync(content, { level: 0 });
    descriptors.push(await put(blob, 'application/vnd.oci.image.layer.v1.tar+gzip'));
  }
  const diffIds = contents.map((content) => `sha256:${createHash('sha256').update(content).digest('hex')}`);
  const architecture = process.arch === 'x64' ? 'amd64' : process.arch;
  const configuration = { architecture, os: 'linux', config: {}, rootfs: { type: 'layers', diff_ids: diffIds } };
  const config = await put(json(configuration), 'application/vnd.oci.image.config.v1+json');
  const mediaType = 'application/vnd.oci.image.manifest.v1+json';
  const manifest = await put(json({ schemaVersion: 2, mediaType, config, layers: descriptors }), mediaType);
  const annotations = { 'org.opencontainers.image.ref.name': 'image' };
  await writeFile(join(folder, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}');
  await writeFile(join(folder, 'index.json'), json({ schemaVersion: 2, manifests: [{ ...manifest, annotations }] }));
}
