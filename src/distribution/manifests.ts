import { type Digest, digestAlgorithm, digestOf } from '../oci/digest.ts';
import { digestOrRefusal, type OciError, Refusal, repositoryUnknown } from './errors.ts';
import type { Exchange, Handler, Reply } from './exchange.ts';
import { type ManifestFacts, maxManifestBytes, readManifestFacts, referrerOf } from './manifest-facts.ts';
import type { Metadata } from './metadata.ts';
import { etag, isNotModified } from './ranges.ts';
import { isTag } from './routes.ts';
import type { Storage } from './storage.ts';

/** Of one push; the specification asks for 10. */
const maxTagParameters = 100;

export interface ManifestRules {
  /** What happens to an index whose manifests are not all in the repository. */
  readonly sparseIndexes: 'refused' | 'allowed';
}

/** `GET` and `HEAD manifests/<reference>` (end-3). */
export function manifestReading(storage: Storage): Record<'GET', Handler> {
  return { GET: (exchange) => getManifest(storage, exchange) };
}

/** `PUT` and `DELETE manifests/<reference>` (end-7, end-9). */
export function manifestWriting(metadata: Metadata, rules: ManifestRules): Record<'PUT' | 'DELETE', Handler> {
  return {
    PUT: (exchange) => putManifest(metadata, rules, exchange),
    DELETE: (exchange) => deleteManifest(metadata, exchange),
  };
}

/** The bytes as they were pushed, whatever the client accepts: a manifest that is converted has another digest. */
async function getManifest(storage: Storage, { request, repository, item }: Exchange): Promise<Reply> {
  const manifest = item.includes(':')
    ? await storage.manifestByDigest(repository, digestOrRefusal(item))
    : await storage.manifestByTag(repository, item);
  if (!manifest) throw await notFound(storage, repository, item);
  const { digest, mediaType, size } = manifest;
  const headers = { 'Content-Type': mediaType, 'Docker-Content-Digest': digest, ETag: etag(digest) };
  if (isNotModified(request.headers, digest)) return { status: 304, headers };
  return { status: 200, headers, body: { size, read: () => storage.manifestBytes(repository, digest) } };
}

async function putManifest(metadata: Metadata, rules: ManifestRules, exchange: Exchange): Promise<Reply> {
  const { request, body, repository, item } = exchange;
  const target = pushTarget(exchange);
  const bytes = await body.whole({ maxBytes: maxManifestBytes });
  const facts = readManifestFacts(bytes, request.headers['content-type'] ?? '');
  const digest = digestOf(bytes, target.digest === undefined ? 'sha256' : digestAlgorithm(target.digest));
  if (target.digest !== undefined && target.digest !== digest) {
    const detail = { expected: target.digest, actual: digest };
    throw new Refusal(400, { code: 'DIGEST_INVALID', message: `the content does not have the digest ${item}`, detail });
  }
  const { mediaType, keeps, subject } = facts;
  const referrer = referrerOf({ digest, size: bytes.byteLength }, facts);
  metadata.putManifest(
    repository,
    { digest, mediaType, bytes, keeps, referrer },
    {
      tags: target.tags,
      check: () => {
        const missing = missingChildren(metadata, rules, repository, facts);
        if (missing.length > 0) throw new Refusal(400, missing);
      },
    },
  );
  return {
    status: 201,
    headers: {
      Location: `/v2/${repository}/manifests/${digest}`,
      'Docker-Content-Digest': digest,
      ...(subject && { 'OCI-Subject': subject }),
      ...(target.digest !== undefined && target.tags.length > 0 && { 'OCI-Tag': target.tags }),
    },
  };
}

function deleteManifest(metadata: Metadata, { repository, item }: Exchange): Reply {
  const removed = item.includes(':')
    ? metadata.removeManifest(repository, digestOrRefusal(item))
    : metadata.removeTag(repository, item);
  if (!removed) throw manifestUnknown(item);
  return { status: 202 };
}

/** By tag, or by digest with any number of tags in the query (end-7b). */
function pushTarget({ item, query }: Exchange): { digest?: Digest; tags: string[] } {
  const byDigest = item.includes(':');
  const tags = byDigest ? [...new Set(query.getAll('tag'))] : [item];
  if (tags.length > maxTagParameters) {
    throw new Refusal(414, { code: 'UNSUPPORTED', message: `at most ${maxTagParameters} tags are taken at once` });
  }
  const wrong = tags.find((tag) => !isTag(tag));
  if (wrong !== undefined) {
    throw new Refusal(400, { code: 'MANIFEST_INVALID', message: 'invalid tag', detail: { tag: wrong } });
  }
  return byDigest ? { digest: digestOrRefusal(item), tags } : { tags };
}

function missingChildren(
  metadata: Metadata,
  rules: ManifestRules,
  repository: string,
  { blobs, manifests, either }: ManifestFacts,
): OciError[] {
  const lacksBlob = (digest: Digest) => metadata.blobSize(repository, digest) === undefined;
  const lacksManifest = (digest: Digest) => metadata.manifestByDigest(repository, digest) === undefined;
  const missing = blobs.filter(lacksBlob);
  if (rules.sparseIndexes === 'refused') {
    missing.push(...manifests.filter(lacksManifest));
    missing.push(...either.filter((digest) => lacksManifest(digest) && lacksBlob(digest)));
  }
  return [...new Set(missing)].map((digest) => ({
    code: 'MANIFEST_BLOB_UNKNOWN',
    message: 'the manifest refers to content that the repository does not have',
    detail: { digest },
  }));
}

async function notFound(storage: Storage, repository: string, item: string): Promise<Refusal> {
  return (await storage.tags(repository, { last: '', limit: 1 }))
    ? manifestUnknown(item)
    : repositoryUnknown(repository);
}

function manifestUnknown(reference: string): Refusal {
  return new Refusal(404, { code: 'MANIFEST_UNKNOWN', message: 'manifest unknown', detail: { reference } });
}
