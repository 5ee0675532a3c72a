import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, statSync } from 'node:fs';
import { readFile, rm } from 'node:fs/promises';
import path from 'node:path';
import { expect } from 'vitest';
import { type Digest, digestHex, mediaTypes } from '../../../src/oci/index.ts';
import { type BusyboxImage, type PushedImage, pushBusyboxImage } from '../../support/busybox-image.ts';
import type { DockerRegistry } from '../../support/docker-registry.ts';
import { type LadingResult, RunningLading, runLading } from '../../support/lading-process.ts';
import { manifestText, pod } from '../../support/manifest.ts';
import { startStuckRegistry } from '../../support/stuck-registry.ts';
import { temporaryFolder } from '../../support/temporary-folder.ts';

/** Several times what a pull keeps in memory before it writes. */
const interruptedAfterBytes = 8_000_000;

/** Where an image of the node lies on its disk. */
export interface ImageFiles {
  readonly manifest: string;
  readonly config: string;
  /** Of the uppermost layer: the folder, and the blob that it was unpacked from. */
  readonly layer: string;
  readonly layerBlob: string;
}

/** A registry, nodes, and what brings them into a situation. */
export class Stage {
  readonly registry: DockerRegistry;
  /** What images print, by the digests that a registry may name. */
  readonly versions = new Map<Digest, string>();
  readonly layerSizes = new Map<Digest, number>();

  constructor(registry: DockerRegistry) {
    this.registry = registry;
  }

  async push(name: string, version: string, image: Partial<BusyboxImage> = {}): Promise<PushedImage> {
    const pushed = await pushBusyboxImage(this.registry.address, name, { version, ...image });
    this.versions.set(pushed.manifest, version);
    for (const { digest, size } of pushed.layers) this.layerSizes.set(digest, size);
    return pushed;
  }

  /** An index `REPOSITORY:index` of one image. */
  async pushIndex(repository: string, version: string, platform?: BusyboxImage['platform']): Promise<string> {
    const { manifest, manifestSize } = await this.push(`${repository}:1`, version, platform ? { platform } : {});
    const entry = { mediaType: mediaTypes.ociManifest, digest: manifest, size: manifestSize };
    const index = { schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests: [{ ...entry, platform }] };
    const digest = await this.registry.putManifest(repository, 'index', index, mediaTypes.ociIndex);
    this.versions.set(digest, version);
    return `${this.registry.address}/${repository}:index`;
  }

  async pull(root: string, image: string): Promise<void> {
    const { exitCode, stderr } = await runLading(['--root', root, 'pull', '-q', image]);
    expect(exitCode, stderr).toBe(0);
  }

  async pushAndPull(root: string, name: string, version: string): Promise<PushedImage> {
    const image = await this.push(name, version);
    await this.pull(root, image.name);
    return image;
  }

  /** The pull is killed when it has all of the image but the end of its uppermost layer. */
  async interruptedPull(root: string, name: string, version: string): Promise<PushedImage> {
    const image = await this.push(name, version, { files: { noise: randomBytes(2 * interruptedAfterBytes) } });
    const [base, top] = image.layers.map((layer) => layer.digest);
    const stuck = await startStuckRegistry(this.registry, { digest: top!, bytes: interruptedAfterBytes });
    const running = new RunningLading(['--root', root, 'pull', `${stuck.address}/${name}`]);
    try {
      const baseBlob = path.join(root, 'blobs', 'sha256', digestHex(base!));
      const isStuck = () => ingestBytes(root, top!) > 0 && existsSync(baseBlob);
      await expect.poll(isStuck, { timeout: 20_000 }).toBe(true);
    } finally {
      running.child.kill('SIGKILL');
      await running.ended;
      await stuck.close();
    }
    return image;
  }

  /** An image of the node that something has happened to. */
  async damaged(root: string, name: string, damage: (files: ImageFiles) => Promise<void>): Promise<string> {
    const { name: image, manifest, config, layers } = await this.pushAndPull(root, name, 'one');
    const blob = (digest: Digest) => path.join(root, 'blobs', 'sha256', digestHex(digest));
    const { rootfs } = JSON.parse(await readFile(blob(config), 'utf8')) as { rootfs: { diff_ids: Digest[] } };
    await damage({
      manifest: blob(manifest),
      config: blob(config),
      layer: path.join(root, 'layers', digestHex(rootfs.diff_ids.at(-1)!)),
      layerBlob: blob(layers.at(-1)!.digest),
    });
    return image;
  }
}

/** How much of a blob an interrupted pull has left. */
export function ingestBytes(root: string, digest: Digest): number {
  const file = path.join(root, 'ingest', `blob-sha256-${digestHex(digest)}`, 'data');
  return statSync(file, { throwIfNoEntry: false })?.size ?? 0;
}

/** Runs a pod of one container that prints the version of its image. */
export function runPod(root: string, container: object): Promise<LadingResult> {
  const stdin = manifestText(pod('web', [{ name: 'main', ...container }]));
  return runLading(['--root', root, 'run', '-'], { stdin });
}

export async function copyOfNode(root: string): Promise<string> {
  const copy = path.join(await temporaryFolder(), 'node');
  execFileSync('cp', ['-a', root, copy]);
  return copy;
}

export function removeFolder(folder: string): Promise<void> {
  return rm(folder, { recursive: true });
}
