import { createHash } from 'node:crypto';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import { Limiter } from '../../src/lib/limiter.ts';
import type { DockerRegistry } from '../../test/support/docker-registry.ts';
import { endOfArchive, padded, tarHeader } from '../../test/support/tar-builder.ts';
import { ContentPool, randomNumbers } from './content.ts';

/** One layer: so many files, of about so many bytes each. */
interface LayerShape {
  readonly files: number;
  readonly fileBytes: number;
}

export interface ImageKind {
  readonly name: string;
  readonly about: string;
  readonly layers: readonly LayerShape[];
}

const mebibyte = 1024 * 1024;

/** @param scale 1 is about 150 MB of files for each kind */
export function imageKinds(scale: number): ImageKind[] {
  const files = (count: number) => Math.max(1, Math.round(count * scale));
  return [
    {
      name: 'few-large',
      about: 'three layers of a few large files',
      layers: [80, 45, 25].map((mebibytes) => ({
        files: 3,
        fileBytes: Math.round((mebibytes * mebibyte * scale) / 3),
      })),
    },
    {
      name: 'many-small',
      about: 'three layers of many small files',
      layers: [14_000, 9000, 7000].map((count) => ({ files: files(count), fileBytes: 5000 })),
    },
    {
      name: 'many-layers',
      about: '40 layers alike',
      layers: Array.from({ length: 40 }, () => ({ files: files(150), fileBytes: 25_000 })),
    },
    {
      name: 'dominating',
      about: 'one layer with nearly everything, and three small ones',
      layers: [
        { files: files(20_000), fileBytes: 7000 },
        ...[200, 50, 5].map((count) => ({ files: files(count), fileBytes: 7000 })),
      ],
    },
  ];
}

export interface BuiltImage {
  readonly kind: ImageKind;
  /** In the registry, as `address/name:tag`. */
  readonly reference: string;
  /** The same image with another top layer. */
  readonly nextReference: string;
  readonly layerBytes: number;
  readonly unpackedBytes: number;
  /** Of the other top layer. */
  readonly nextBytes: number;
}

/** Builds the images, the same bytes every time, and puts them into a registry under the tags `1` and `2`. */
export async function pushImages(registry: DockerRegistry, kinds: readonly ImageKind[]): Promise<BuiltImage[]> {
  const pool = new ContentPool(1);
  const images: BuiltImage[] = [];
  for (const [index, kind] of kinds.entries()) images.push(await pushImage(registry, kind, { pool, seed: index + 1 }));
  return images;
}

async function pushImage(registry: DockerRegistry, kind: ImageKind, from: { pool: ContentPool; seed: number }) {
  // Two at a time: a layer is in memory as a whole.
  const builders = new Limiter(2);
  const build = (shape: LayerShape, index: number) =>
    builders.run(async (): Promise<BuiltLayer> => {
      const tar = buildTar(shape, { pool: from.pool, seed: from.seed * 1000 + index });
      const blob = await promisify(gzip)(tar, { level: 6 });
      const digest = await registry.putBlob(kind.name, blob);
      const diffId = `sha256:${createHash('sha256').update(tar).digest('hex')}`;
      return { diffId, unpackedBytes: tar.byteLength, digest, size: blob.byteLength };
    });
  const layers = await Promise.all(kind.layers.map(build));
  const otherTop = await build(kind.layers.at(-1)!, kind.layers.length);
  await putImage(registry, kind.name, { tag: '1', layers });
  await putImage(registry, kind.name, { tag: '2', layers: [...layers.slice(0, -1), otherTop] });
  const sum = (numbers: number[]) => numbers.reduce((total, each) => total + each, 0);
  return {
    kind,
    reference: `${registry.address}/${kind.name}:1`,
    nextReference: `${registry.address}/${kind.name}:2`,
    layerBytes: sum(layers.map(({ size }) => size)),
    unpackedBytes: sum(layers.map(({ unpackedBytes }) => unpackedBytes)),
    nextBytes: otherTop.size,
  };
}

interface BuiltLayer {
  readonly diffId: string;
  readonly digest: string;
  readonly size: number;
  readonly unpackedBytes: number;
}

async function putImage(
  registry: DockerRegistry,
  name: string,
  { tag, layers }: { tag: string; layers: readonly BuiltLayer[] },
): Promise<void> {
  const architecture = process.arch === 'x64' ? 'amd64' : process.arch;
  const rootfs = { type: 'layers', diff_ids: layers.map(({ diffId }) => diffId) };
  const config = Buffer.from(JSON.stringify({ architecture, os: 'linux', config: {}, rootfs }));
  const configDigest = await registry.putBlob(name, config);
  const mediaType = 'application/vnd.oci.image.manifest.v1+json';
  const manifest = {
    schemaVersion: 2,
    mediaType,
    config: {
      mediaType: 'application/vnd.oci.image.config.v1+json',
      digest: configDigest,
      size: config.byteLength,
    },
    layers: layers.map(({ digest, size }) => ({
      mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip',
      digest,
      size,
    })),
  };
  await registry.putManifest(name, tag, manifest, mediaType);
}

/** Forty files to a folder, as packages have them; owners and times vary a little. */
function buildTar({ files, fileBytes }: LayerShape, { pool, seed }: { pool: ContentPool; seed: number }): Buffer {
  const random = randomNumbers(seed);
  const parts: Buffer[] = [];
  for (let file = 0; file < files; file += 1) {
    const folder = `usr/share/package-${seed}-${Math.floor(file / 40)}/`;
    if (file % 40 === 0) parts.push(tarHeader({ name: folder, type: '5', mode: 0o755 }));
    const size = Math.round(fileBytes * (0.5 + (random() % 1000) / 1000));
    const mtime = 1_600_000_000 + (random() % 10_000_000);
    const mode = file % 8 === 0 ? 0o755 : 0o644;
    parts.push(tarHeader({ name: `${folder}file-${file}.so`, size, mode, mtime }));
    parts.push(padded(pool.slice(seed * 100_003 + file, size)));
  }
  return Buffer.concat([...parts, endOfArchive]);
}
