import { debugLog } from '../lib/debug.ts';
import type { Digest } from '../oci/digest.ts';
import type { BlobStore } from '../store/index.ts';
import { maxManifestBytes, type Referrer, readManifestFacts, referrerOf } from './manifest-facts.ts';
import type { StoredManifest } from './storage.ts';

const debug = debugLog('distribution');

export interface GraphNode extends StoredManifest {
  /** Manifests of an index. */
  readonly children: readonly Digest[];
  readonly referrer: Referrer | undefined;
}

/** Every manifest that an OCI layout has, by digest. */
export type LayoutGraph = ReadonlyMap<Digest, GraphNode>;

interface Entry {
  readonly digest: Digest;
  /** As the descriptor says; without one the document says what it is. */
  readonly mediaType?: string;
}

/**
 * Walks from the entries of a layout to all manifests that are there.
 * @param known a graph of before: what it has is not read again
 */
export async function walkLayout(
  blobs: BlobStore,
  entries: readonly Entry[],
  known: LayoutGraph,
): Promise<LayoutGraph> {
  const graph = new Map<Digest, GraphNode>();
  const rest: Entry[] = [...entries];
  for (let entry = rest.pop(); entry; entry = rest.pop()) {
    if (graph.has(entry.digest)) continue;
    const node = known.get(entry.digest) ?? (await readNode(blobs, entry));
    if (!node) continue;
    graph.set(entry.digest, node);
    rest.push(...node.children.map((digest) => ({ digest })));
  }
  return graph;
}

/** @returns undefined for what is not there, as images of other platforms often are, or is no manifest */
async function readNode(blobs: BlobStore, { digest, mediaType = '' }: Entry): Promise<GraphNode | undefined> {
  try {
    const bytes = await blobs.read(digest, { maxBytes: maxManifestBytes });
    const facts = readManifestFacts(bytes, mediaType);
    const manifest = { digest, size: bytes.byteLength };
    const referrer = referrerOf(manifest, facts);
    return { ...manifest, mediaType: facts.mediaType, children: facts.manifests, referrer };
  } catch (error) {
    debug('%s is not served as a manifest: %s', digest, error);
    return undefined;
  }
}
