import { bareMediaType } from '../oci/media-types.ts';
import type { Compression } from './decompress.ts';
import { LayerError } from './errors.ts';

/** Media types of layers that can be unpacked (C1), and the compression that each of them states. */
const compressions: Readonly<Record<string, Compression>> = {
  'application/vnd.oci.image.layer.v1.tar': 'none',
  'application/vnd.oci.image.layer.v1.tar+gzip': 'gzip',
  'application/vnd.oci.image.layer.v1.tar+zstd': 'zstd',
  'application/vnd.oci.image.layer.nondistributable.v1.tar': 'none',
  'application/vnd.oci.image.layer.nondistributable.v1.tar+gzip': 'gzip',
  'application/vnd.oci.image.layer.nondistributable.v1.tar+zstd': 'zstd',
  'application/vnd.docker.image.rootfs.diff.tar': 'none',
  'application/vnd.docker.image.rootfs.diff.tar.gzip': 'gzip',
  'application/vnd.docker.image.rootfs.diff.tar.zstd': 'zstd',
  'application/vnd.docker.image.rootfs.foreign.diff.tar.gzip': 'gzip',
};

/**
 * Check this before a layer is downloaded.
 * @returns the compression that the media type states; the bytes decide in the end
 * @throws LayerError `unsupported-media-type`
 */
export function layerCompression(mediaType: string): Compression {
  const compression = compressions[bareMediaType(mediaType)];
  if (compression === undefined) {
    throw new LayerError('unsupported-media-type', `cannot unpack a layer of media type ${JSON.stringify(mediaType)}`, {
      hint: 'Layers are tar archives, plain or compressed with gzip or zstd; this may not be a container image.',
    });
  }
  return compression;
}
