import { chownSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { type Digest, digestHex } from '../../src/oci/index.ts';
import { makeBusyboxRootfs } from './busybox.ts';
import { skopeo } from './foreign-clients.ts';
import { tarOfFolder, writeOciLayout } from './oci-layout.ts';

export interface BusyboxImage {
  /** What containers of the image print unless they are told otherwise. */
  readonly version: string;
  /** Files of the upper layer beside `/version`. */
  readonly files?: Readonly<Record<string, string | Uint8Array>>;
  /** Of files of the upper layer that do not belong to root; setting them needs root. */
  readonly owners?: Readonly<Record<string, { readonly uid: number; readonly gid: number }>>;
  /** The `config` member of the image configuration; by default a shell that prints the version. */
  readonly config?: Readonly<Record<string, unknown>>;
  readonly platform?: { readonly os: string; readonly architecture: string };
  /** For a registry that wants a login. */
  readonly user?: { readonly username: string; readonly password: string };
}

export interface PushedImage {
  readonly version: string;
  /** `127.0.0.1:PORT/REPOSITORY:TAG` */
  readonly name: string;
  readonly manifest: Digest;
  /** Bytes of the manifest. */
  readonly manifestSize: number;
  readonly config: Digest;
  /** As the registry has them, bottom first. */
  readonly layers: readonly { readonly digest: Digest; readonly size: number }[];
}

/**
 * Pushes an image of two layers with skopeo: busybox, which all these images share, and what tells them apart.
 * @param address of the registry
 * @param name `REPOSITORY:TAG`
 */
export async function pushBusyboxImage(address: string, name: string, image: BusyboxImage): Promise<PushedImage> {
  const folder = mkdtempSync(path.join(tmpdir(), 'lading-image-'));
  try {
    const layout = path.join(folder, 'layout');
    const { version, platform, user } = image;
    const digests = writeOciLayout(layout, {
      layers: [await busyboxLayer(), upperLayer(path.join(folder, 'upper'), image)],
      config: image.config ?? { Entrypoint: ['/bin/sh', '-c'], Cmd: ['cat /version'] },
      ...(platform ? { platform } : {}),
    });
    const remote = `${address}/${name}`;
    const login = user ? ['--dest-creds', `${user.username}:${user.password}`] : [];
    await skopeo('copy', '-q', ...login, '--dest-tls-verify=false', `oci:${layout}:latest`, `docker://${remote}`);
    const manifest = readFileSync(path.join(layout, 'blobs/sha256', digestHex(digests.manifest)));
    const { layers } = JSON.parse(manifest.toString()) as Pick<PushedImage, 'layers'>;
    return { version, name: remote, ...digests, manifestSize: manifest.byteLength, layers };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

let baseLayer: Promise<Buffer> | undefined;

function busyboxLayer(): Promise<Buffer> {
  baseLayer ??= (async () => {
    const folder = mkdtempSync(path.join(tmpdir(), 'lading-busybox-'));
    try {
      await makeBusyboxRootfs(folder);
      return tarOfFolder(folder);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  })();
  return baseLayer;
}

function upperLayer(folder: string, { version, files = {}, owners = {} }: BusyboxImage): Buffer {
  mkdirSync(folder);
  for (const [name, content] of Object.entries({ version: `${version}\n`, ...files })) {
    mkdirSync(path.join(folder, path.dirname(name)), { recursive: true });
    writeFileSync(path.join(folder, name), content);
  }
  for (const [name, { uid, gid }] of Object.entries(owners)) chownSync(path.join(folder, name), uid, gid);
  for (const [name, { uid, gid }] of Object.entries(owners)) chownSync(path.join(folder, name), uid, gid);
  return tarOfFolder(folder);
}
