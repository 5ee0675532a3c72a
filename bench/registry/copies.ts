import { type ChildProcess, type StdioOptions, spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { compileCache, ladingCommand } from '../shared/lading.ts';
import { timed } from './loads.ts';
import type { Server } from './servers.ts';

/** A program that copies images between a folder and a registry. */
export interface Client {
  readonly name: string;
  /** @param folder for what the client itself keeps */
  copy(from: string, to: string, folder: string): ChildProcess;
}

/** What a copy took. */
export interface Cost {
  readonly seconds: number;
  /** Of the processor, of all its cores together. */
  readonly cpuSeconds: number;
  readonly peakBytes: number;
}

const stdio: StdioOptions = ['ignore', 'ignore', 'inherit'];

export const clients: readonly Client[] = [
  {
    name: 'lading copy',
    copy: (from, to, folder) => {
      const [program, ...args] = [...ladingCommand, 'copy', '--root', folder, '--quiet', from, to];
      return spawn(program!, args, { env: { ...process.env, ...compileCache }, stdio });
    },
  },
  {
    name: 'skopeo copy',
    copy: (from, to, folder) => {
      const env = { ...process.env, HOME: folder, XDG_DATA_HOME: folder, XDG_RUNTIME_DIR: folder };
      const insecure = ['--src-tls-verify=false', '--dest-tls-verify=false'];
      return spawn('skopeo', ['--insecure-policy', 'copy', '--quiet', ...insecure, from, to], { env, stdio });
    },
  },
];

/** An image by the sizes of its layers, in bytes. */
export interface Shape {
  readonly name: string;
  readonly layers: readonly number[];
}

/** @param scale 1 is a second or two for the largest copy: of the others the start of the program is a good part */
export function shapes(scale: number): Shape[] {
  const alike = (count: number, bytes: number) => Array.from({ length: count }, () => bytes);
  const [huge, large] = [256, 48].map((mebibytes) => Math.ceil(mebibytes * scale)) as [number, number];
  const [many, more] = [100, 300].map((layers) => Math.ceil(layers * scale)) as [number, number];
  return [
    { name: `3 layers of ${huge} MiB`, layers: alike(3, huge * 2 ** 20) },
    { name: `3 layers of ${large} MiB`, layers: alike(3, large * 2 ** 20) },
    { name: `${many} layers of 16 KiB`, layers: alike(many, 16 * 1024) },
    { name: `${more} layers of 16 KiB`, layers: alike(more, 16 * 1024) },
  ];
}

/** Pushes a new image and pulls it again. */
export async function pushAndPull(
  client: Client,
  { server, shape, folder }: { server: Server; shape: Shape; folder: string },
): Promise<{ push: Cost; pull: Cost }> {
  const home = await mkdtemp(join(folder, 'copy-'));
  try {
    const layout = join(home, 'layout');
    await writeLayout(layout, shape);
    const remote = `docker://127.0.0.1:${server.port}/bench/copy:${randomBytes(4).toString('hex')}`;
    const push = await costOf(() => client.copy(`oci:${layout}:image`, remote, home));
    const pull = await costOf(() => client.copy(remote, `oci:${join(home, 'back')}:image`, home));
    return { push, pull };
  } finally {
    await rm(home, { recursive: true, force: true });
  }
}

async function costOf(start: () => ChildProcess): Promise<Cost> {
  const before = cpuOfChildren();
  let peakBytes = 0;
  const seconds = await timed(async () => {
    const child = start();
    const watch = setInterval(() => {
      peakBytes = Math.max(peakBytes, peakOf(child));
    }, 20);
    const [code] = await once(child, 'exit');
    clearInterval(watch);
    if (code !== 0) throw new Error(`${child.spawnargs.join(' ')} ended with ${code}`);
  });
  return { seconds, cpuSeconds: cpuOfChildren() - before, peakBytes };
}

/** Of all children that have ended, in seconds. */
function cpuOfChildren(): number {
  const fields = readFileSync('/proc/self/stat', 'latin1').split(') ')[1]!.split(' ');
  return (Number(fields[13]) + Number(fields[14])) / ticksPerSecond;
}

/** What Linux counts in, on every processor that Node.js runs on. */
const ticksPerSecond = 100;

function peakOf({ pid }: ChildProcess): number {
  try {
    return Number(/^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1] ?? 0) * 1024;
  } catch {
    return 0; // it has just ended
  }
}

/** A large one repeats itself, which nothing here looks at. */
function randomContent(bytes: number): Buffer {
  return bytes < 2 ** 30 ? randomBytes(bytes) : Buffer.alloc(bytes, randomBytes(2 ** 20));
}

/** In pieces: one of more than 2 GiB is refused. */
function sha256(bytes: Buffer): string {
  const hash = createHash('sha256');
  for (let at = 0; at < bytes.byteLength; at += 2 ** 30) hash.update(bytes.subarray(at, at + 2 ** 30));
  return hash.digest('hex');
}

/** Content that nobody has seen: clients remember what a registry has. Gzip without compression, as no client adds any. */
async function writeLayout(folder: string, { layers }: Shape): Promise<void> {
  await mkdir(join(folder, 'blobs', 'sha256'), { recursive: true });
  const put = async (bytes: Buffer, mediaType: string) => {
    const hex = sha256(bytes);
    await writeFile(join(folder, 'blobs', 'sha256', hex), bytes);
    return { mediaType, digest: `sha256:${hex}`, size: bytes.byteLength };
  };
  const json = (value: unknown) => Buffer.from(JSON.stringify(value));
  const contents = layers.map((bytes) => randomContent(bytes));
  const descriptors = [];
  for (const content of contents) {
    const blob = gzipSync(content, { level: 0 });
    descriptors.push(await put(blob, 'application/vnd.oci.image.layer.v1.tar+gzip'));
  }
  const diffIds = contents.map((content) => `sha256:${sha256(content)}`);
  const architecture = process.arch === 'x64' ? 'amd64' : process.arch;
  const configuration = { architecture, os: 'linux', config: {}, rootfs: { type: 'layers', diff_ids: diffIds } };
  const config = await put(json(configuration), 'application/vnd.oci.image.config.v1+json');
  const mediaType = 'application/vnd.oci.image.manifest.v1+json';
  const manifest = await put(json({ schemaVersion: 2, mediaType, config, layers: descriptors }), mediaType);
  const annotations = { 'org.opencontainers.image.ref.name': 'image' };
  await writeFile(join(folder, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}');
  await writeFile(join(folder, 'index.json'), json({ schemaVersion: 2, manifests: [{ ...manifest, annotations }] }));
}
