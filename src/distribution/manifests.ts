import { type Digest, digestAlgorithm, digestOf } from '../oci/digest.ts';
import { digestOrRefusal, type OciError, Refusal } from './errors.ts';
import type { Exchange, Handler, Reply } from './exchange.ts';
import { type ManifestFacts, readManifestFacts } from './manifest-facts.ts';
import type { Metadata, Referrer, StoredManifest } from './metadata.ts';
import { etag, isNotModified } from './ranges.ts';
import { readWhole } from './request-body.ts';
import { isTag } from './routes.ts';

/** What every client and registry must be able to take. @see registry.md 6.3 */
export const maxManifestBytes = 4 * 1024 * 1024;
/** Of one push; the specification asks for 10. */
const maxTagParameters = 100;

export interface ManifestRules {
  /** What happens to an index whose manifests are not all in the repository. */
  readonly sparseIndexes: 'refused' | 'allowed';
}

/** `GET`, `HEAD`, `PUT` and `DELETE manifests/<reference>` (end-3, end-7, end-9). */
export function manifestHandlers(metadata: Metadata, rules: ManifestRules): Record<'GET' | 'PUT' | 'DELETE', Handler> {
  return {
    GET: (exchange) => getManifest(metadata, exchange),
    PUT: (exchange) => putManifest(metadata, rules, exchange),
    DELETE: (exchange) => deleteManifest(metadata, exchange),
  };
}

/** The bytes as they were pushed, whatever the client accepts: a manifest that is converted has another digest. */
function getManifest(metadata: Metadata, { request, repository, item }: Exchange): Reply {
  const manifest = findManifest(metadata, repository, item);
  if (!manifest) throw manifestUnknown(item);
  const { digest, mediaType, size } = manifest;
  const headers = { 'Content-Type': mediaType, 'Docker-Content-Digest': digest, ETag: etag(digest) };
  if (isNotModified(request.headers, digest)) return { status: 304, headers };
  return { status: 200, headers, body: { size, open: () => metadata.manifestBytes(repository, digest) } };
}

async function putManifest(metadata: Metadata, rules: ManifestRules, exchange: Exchange): Promise<Reply> {
  const { request, repository, item } = exchange;
  const target = pushTarget(exchange);
  const bytes = await readWhole(request, { maxBytes: maxManifestBytes });
  const facts = readManifestFacts(bytes, request.headers['content-type'] ?? '');
  const digest = digestOf(bytes, target.digest === undefined ? 'sha256' : digestAlgorithm(target.digest));
  if (target.digest !== undefined && target.digest !== digest) {
    const detail = { expected: target.digest, actual: digest };
    throw new Refusal(400, { code: 'DIGEST_INVALID', message: `the content does not have the digest ${item}`, detail });
  }
  const missing = missingChildren(metadata, rules, repository, facts);
  if (missing.length > 0) throw new Refusal(400, missing);
  const { mediaType, subject } = facts;
  const referrer = subject && referrerOf(subject, { digest, mediaType, size: bytes.byteLength }, facts);
  metadata.putManifest(repository, { digest, mediaType, bytes, ...(referrer && { referrer }) }, target.tags);
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

function findManifest(metadata: Metadata, repository: string, reference: string): StoredManifest | undefined {
  if (reference.includes(':')) return metadata.manifestByDigest(repository, digestOrRefusal(reference));
  return metadata.manifestByTag(repository, reference);
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

/** @see https://github.com/opencontainers/distribution-spec/blob/main/spec.md#listing-referrers */
function referrerOf(subject: Digest, manifest: StoredManifest, { artifactType, annotations }: ManifestFacts): Referrer {
  const { mediaType, digest, size } = manifest;
  return { subject, artifactType, descriptor: JSON.stringify({ mediaType, digest, size, annotations, artifactType }) };
}

function manifestUnknown(reference: string): Refusal {
  return new Refusal(404, { code: 'MANIFEST_UNKNOWN', message: 'manifest unknown', detail: { reference } });
}
