import type { LayerFacts } from '../lib/layer-facts.ts';
import type { OverlaySupport } from '../lib/overlay.ts';
import { type Digest, Digester, digestAlgorithm } from '../oci/digest.ts';
import { Applier } from './apply.ts';
import { FileSource } from './byte-source.ts';
import { decompress } from './decompress.ts';
import { openTreeRoot } from './directory-handles.ts';
import { LayerError } from './errors.ts';
import { finishLayer } from './finish-layer.ts';
import { layerCompression } from './layer-media-types.ts';
import { defaultLimits, LayerBudget, type UnpackLimits } from './limits.ts';
import { TarReader } from './tar-reader.ts';

export interface UnpackJob {
  /** The stored blob; whether it has its digest was checked when it was stored. */
  readonly blobPath: string;
  readonly mediaType: string;
  /** What `rootfs.diff_ids` of the image config states for this layer. */
  readonly diffId: Digest;
  /** An existing empty directory on the file system of the store; becomes the layer's root. */
  readonly targetDir: string;
  /** A file that does not exist; receives one line for each entry, for `verifyLayer`. */
  readonly entriesFile: string;
  /** How the store stacks its layers: it decides the form of whiteouts and opaque marks. */
  readonly overlay: OverlaySupport;
  readonly limits?: Partial<UnpackLimits>;
}

/**
 * Unpacks one layer in this thread: decompresses, hashes, reads and applies in one pass over the blob (section 4).
 * Nothing is synced. After an error the directory and the record are of no use.
 * @param onBytes called often, with the bytes of the blob that were read so far; may throw to stop
 * @throws LayerError for a layer that must not be used; LadingError `ERR_LADING_DISK_FULL`, `ERR_LADING_UNPACK_IO`,
 * `ERR_LADING_UNMAPPED_ID` if the host is the reason
 */
export async function unpackLayer(job: UnpackJob, onBytes: (bytes: number) => void): Promise<LayerFacts> {
  const stated = layerCompression(job.mediaType);
  const limits = { ...defaultLimits, ...job.limits };
  const budget = new LayerBudget(limits, job.targetDir);
  const digester = new Digester(digestAlgorithm(job.diffId));
  const source = new FileSource(job.blobPath);
  const applier = new Applier(openTreeRoot(job.targetDir), job.overlay, budget);
  try {
    const reader = new TarReader(applier, limits);
    const found = await decompress(
      source,
      (bytes) => {
        budget.addBytes(bytes.byteLength);
        digester.update(bytes);
        reader.write(bytes);
        onBytes(source.consumed);
      },
      limits,
    );
    reader.end();
    const diffId = digester.digest();
    if (diffId !== job.diffId) {
      throw new LayerError('digest-mismatch', `the layer unpacks to ${diffId}; the image config states ${job.diffId}`);
    }
    const facts = finishLayer(applier, job.overlay, job.entriesFile);
    const mismatch = found === stated || budget.bytes === 0 ? [] : [labelWarning(job.mediaType, found)];
    return {
      version: 1,
      diffId,
      size: budget.bytes,
      entries: budget.entries,
      ...facts,
      warnings: [...mismatch, ...facts.warnings],
    };
  } finally {
    applier.close();
    source.close();
  }
}

function labelWarning(mediaType: string, found: string): string {
  const is = found === 'none' ? 'not compressed' : `compressed with ${found}`;
  return `the layer is ${is}, although its media type is ${mediaType}`;
}
