import { debugLog } from '../lib/debug.ts';
import type { Digest } from '../oci/digest.ts';
import type { LayoutIndex } from './layout-index.ts';
import { maxManifestBytes, readManifestFacts, referrerOf } from './manifest-facts.ts';
import type { OwnStorage } from './own-storage.ts';
import { isRepositoryName } from './routes.ts';

const debug = debugLog('distribution');

/**
 * Takes what a layout lists for what the registry has: others may have changed it while no registry served it. Call it
 * before the first request.
 */
export async function importLayout(storage: OwnStorage, index: LayoutIndex): Promise<void> {
  const { metadata } = storage;
  const tags = new Map<string, Map<string, Digest>>();
  for (const { entry, repository, tag } of index.entries()) {
    if (!isRepositoryName(repository)) continue;
    const adopted = await adopt(storage, repository, entry);
    if (!adopted || tag === undefined) continue;
    const ofRepository = tags.get(repository) ?? new Map<string, Digest>();
    tags.set(repository, ofRepository.set(tag, entry.digest));
  }
  metadata.replaceTags(tags);
}

/**
 * A manifest with all that is there of what it needs, what is inside first.
 * @returns false for what is not there, as images of other platforms often are, or is no manifest
 */
async function adopt(
  storage: OwnStorage,
  repository: string,
  { digest, mediaType = '' }: { readonly digest: Digest; readonly mediaType?: string },
): Promise<boolean> {
  const { metadata, blobs } = storage;
  if (metadata.manifestByDigest(repository, digest)) return true;
  try {
    const bytes = await blobs.read(digest, { maxBytes: maxManifestBytes });
    const facts = readManifestFacts(bytes, mediaType);
    for (const child of facts.manifests) await adopt(storage, repository, { digest: child });
    const found: { digest: Digest; size: number }[] = [];
    for (const content of facts.keeps) {
      const size = facts.manifests.includes(content) ? undefined : await blobs.size(content);
      if (size !== undefined) found.push({ digest: content, size });
    }
    const referrer = referrerOf({ digest, size: bytes.byteLength }, facts);
    const { keeps } = facts;
    metadata.adoptManifest(repository, { digest, mediaType: facts.mediaType, bytes, keeps, referrer }, found);
    return true;
  } catch (error) {
    debug('%s is not served as a manifest: %s', digest, error);
    return false;
  }
}
