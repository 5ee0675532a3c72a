import { createReadStream } from 'node:fs';
import { join } from 'node:path';
import { type Digest, digestOf, hostPlatform, mediaTypes } from '../../src/oci/index.ts';
import type { ImageSource } from '../../src/transfer/index.ts';
import type { CorpusCase } from './corpus.ts';

/** The image that a case is about, with everything that is stated wrongly on purpose, as something to load. */
export function caseImage({ layers, configDiffIDs }: CorpusCase, corpusDir: string): ImageSource {
  const { os, architecture } = hostPlatform();
  const configBytes = json({ os, architecture, rootfs: { type: 'layers', diff_ids: configDiffIDs } });
  const config = { mediaType: mediaTypes.ociConfig, digest: digestOf(configBytes), size: configBytes.byteLength };
  const manifestBytes = json({
    schemaVersion: 2,
    mediaType: mediaTypes.ociManifest,
    config,
    layers: layers.map(({ mediaType, digest, size }) => ({ mediaType, digest, size })),
  });
  const manifest = {
    mediaType: mediaTypes.ociManifest,
    digest: digestOf(manifestBytes),
    size: manifestBytes.byteLength,
  };
  return {
    place: 'the corpus',
    repositories: [],
    resolve: async () => manifest,
    manifest: async () => manifestBytes,
    async *blob({ digest }, { start = 0 }) {
      if (digest === config.digest) yield configBytes.subarray(start);
      else yield* createReadStream(blobFile(digest), { start });
    },
  };

  function blobFile(digest: Digest): string {
    return join(corpusDir, layers.find((layer) => layer.digest === digest)!.blob);
  }
}

function json(document: unknown): Buffer {
  return Buffer.from(JSON.stringify(document));
}
