import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { LayerFacts } from '../../../src/lib/layer-facts.ts';
import type { Descriptor } from '../../../src/oci/descriptor.ts';
import { type Digest, digestOf } from '../../../src/oci/digest.ts';
import { mediaTypes } from '../../../src/oci/media-types.ts';
import type { ImageRecord, Store } from '../../../src/store/index.ts';

export function factsOf(diffId: Digest): LayerFacts {
  return {
    version: 1,
    diffId,
    size: 1024,
    entries: 1,
    contentBytes: 5,
    marks: 'trusted',
    implied: [],
    whiteouts: [],
    opaques: [],
    fresh: [],
    rootOpaque: false,
    skipped: [],
    warnings: [],
  };
}

/** Publishes a layer with one file. */
export async function publishLayer(store: Store, diffId: Digest, options: { replace?: boolean } = {}): Promise<void> {
  const writer = await store.layers.prepare(diffId, options);
  if (!writer) return;
  await writeFile(path.join(writer.dir, 'file'), 'hello');
  await writeFile(writer.entriesFile, '');
  await writer.publish(factsOf(diffId));
}

/**
 * Puts an image with one layer of its own and, if given, layers that it shares, under a lease and with names, if given;
 * returns its record.
 */
export async function putImage(
  store: Store,
  content: string,
  options: { shared?: readonly Digest[]; names?: readonly string[] } = {},
): Promise<Omit<ImageRecord, 'createdAt'>> {
  const texts = new Map<Digest, string>();
  const blob = (text: string, mediaType: string): Descriptor => {
    texts.set(digestOf(text), text);
    return { mediaType, digest: digestOf(text), size: Buffer.byteLength(text) };
  };
  const diffIds = [...(options.shared ?? []), digestOf(`diff of ${content}`)];
  const layers = diffIds.map((diffId) => ({ descriptor: blob(`blob of ${diffId}`, mediaTypes.ociLayer), diffId }));
  const config = blob(`config of ${content}`, mediaTypes.ociConfig);
  const manifest = blob(`manifest of ${content}`, mediaTypes.ociManifest);
  const image = { id: config.digest, manifest, config, layers, size: 100 };

  const lease = store.leases.acquire({ digests: [...texts.keys()], diffIds });
  for (const diffId of diffIds) await publishLayer(store, diffId);
  for (const text of texts.values()) await store.blobs.put(Buffer.from(text));
  store.images.publish(
    image,
    (options.names ?? []).map((name) => ({ name, target: manifest })),
  );
  lease.release();
  return image;
}
