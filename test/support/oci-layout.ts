import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { gzipSync } from 'node:zlib';
import { type Digest, digestHex, digestOf, hostPlatform, mediaTypes } from '../../src/oci/index.ts';

export interface LayoutOptions {
  /** Uncompressed tars, bottom first. */
  readonly layers: readonly Uint8Array[];
  /** The `config` member of the image configuration. */
  readonly config?: Readonly<Record<string, unknown>>;
  readonly tag?: string;
  readonly platform?: { readonly os: string; readonly architecture: string };
}

/** Writes an OCI image layout with one image, without any code of the programs under test. */
export function writeOciLayout(folder: string, options: LayoutOptions): { manifest: Digest; config: Digest } {
  const { tag = 'latest', platform = hostPlatform() } = options;
  const put = (bytes: Uint8Array) => {
    const digest = digestOf(bytes);
    writeFileSync(path.join(folder, 'blobs', 'sha256', digestHex(digest)), bytes);
    return { digest, size: bytes.byteLength };
  };
  const putJson = (value: unknown) => put(Buffer.from(JSON.stringify(value)));
  mkdirSync(path.join(folder, 'blobs', 'sha256'), { recursive: true });
  const layers = options.layers.map((tar) => ({ mediaType: mediaTypes.ociLayerGzip, ...put(gzipSync(tar)) }));
  const config = {
    mediaType: mediaTypes.ociConfig,
    ...putJson({
      architecture: platform.architecture,
      os: platform.os,
      config: options.config ?? {},
      rootfs: { type: 'layers', diff_ids: options.layers.map((tar) => digestOf(tar)) },
    }),
  };
  const manifest = {
    mediaType: mediaTypes.ociManifest,
    ...putJson({ schemaVersion: 2, mediaType: mediaTypes.ociManifest, config, layers }),
  };
  writeFileSync(path.join(folder, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}');
  writeFileSync(
    path.join(folder, 'index.json'),
    JSON.stringify({
      schemaVersion: 2,
      manifests: [{ ...manifest, annotations: { 'org.opencontainers.image.ref.name': tag } }],
    }),
  );
  return { manifest: manifest.digest, config: config.digest };
}

/**
 * The tar of a folder as GNU tar writes it: PAX, with extended attributes, numeric owners, sub-second times. What an
 * ordinary user makes belongs to root in it, as if it had been made in that user's namespace.
 */
export function tarOfFolder(folder: string): Buffer {
  const asRoot = process.geteuid?.() === 0 ? [] : ['--owner=0', '--group=0'];
  return execFileSync(
    'tar',
    ['--create', '--format=pax', '--xattrs', '--xattrs-include=*', '--numeric-owner', ...asRoot, '--sort=name', '.'],
    { cwd: folder, maxBuffer: 1 << 30 },
  );
}
