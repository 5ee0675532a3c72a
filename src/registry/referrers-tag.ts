import { LadingError } from '../lib/errors.ts';
import type { Descriptor } from '../oci/descriptor.ts';
import { type Digest, digestAlgorithm, digestHex, digestOf } from '../oci/digest.ts';
import { parseManifest } from '../oci/manifest.ts';
import { mediaTypes } from '../oci/media-types.ts';
import type { Endpoint } from './endpoint.ts';
import { pageOf } from './pages.ts';
import { RegistryError } from './registry-error.ts';
import type { RegistryRequest, RegistryResponse, Requester, SendOptions } from './requester.ts';
import { repositoryScope } from './scope.ts';
import { headerOf } from './transport.ts';

/**
 * Registries without an API for referrers keep the list as an index under a tag that is made of the subject's digest.
 * @see registry.md 10.4
 */

export interface RepositoryAt {
  readonly requester: Requester;
  readonly endpoint: Endpoint;
  readonly repository: string;
  readonly options: SendOptions;
}

/** A manifest that refers to another one, as the list of the other one's referrers has it. */
export interface Referrer {
  readonly subject: Digest;
  readonly descriptor: Descriptor;
}

const maxIndexBytes = 4 * 1024 * 1024;
/** How often others may change the list between our reading and writing. */
const updateAttempts = 4;

export function referrersTag(subject: Digest): string {
  const algorithm = digestAlgorithm(subject).slice(0, 32);
  return `${algorithm}-${digestHex(subject).slice(0, 64)}`.replace(/[^A-Za-z0-9_.-]/g, '-');
}

/** Undefined for a manifest that refers to none, and for one that cannot be read. @param digest what it is stored under */
export function referrerIn(bytes: Uint8Array, contentType: string, digest: Digest): Referrer | undefined {
  let manifest: ReturnType<typeof parseManifest>;
  try {
    manifest = parseManifest(bytes, contentType);
  } catch (error) {
    if (error instanceof LadingError) return undefined;
    throw error;
  }
  const { subject, mediaType, annotations } = manifest;
  if (!subject) return undefined;
  const artifactType = manifest.artifactType ?? (manifest.kind === 'manifest' ? manifest.config.mediaType : undefined);
  const descriptor = {
    mediaType,
    digest,
    size: bytes.length,
    ...(artifactType && { artifactType }),
    ...(annotations && { annotations }),
  };
  return { subject: subject.digest, descriptor };
}

/** The list under the tag; undefined when there is none. @throws RegistryError; LadingError `ERR_LADING_MANIFEST_…` */
export async function readReferrersTag(at: RepositoryAt, subject: Digest): Promise<readonly Descriptor[] | undefined> {
  const list = await readList(at, subject);
  if (!list) return undefined;
  const index = parseManifest(list.bytes, mediaTypes.ociIndex);
  return index.kind === 'index' ? index.manifests : undefined;
}

/** Adds a referrer to the list, unless it is there. */
export async function addReferrer(at: RepositoryAt, { subject, descriptor }: Referrer): Promise<void> {
  await update(at, subject, (entries) => {
    return entries.some(({ digest }) => digest === descriptor.digest) ? entries : [...entries, descriptor];
  });
}

/** Removes a referrer from the list, if there is a list. */
export async function removeReferrer(at: RepositoryAt, { subject, descriptor }: Referrer): Promise<void> {
  await update(at, subject, (entries) => {
    const others = entries.filter(({ digest }) => digest !== descriptor.digest);
    return others.length === entries.length ? entries : others;
  });
}

/** Entries may have members that Lading does not know: they are kept. */
type Entry = Pick<Descriptor, 'digest'>;

/** Until a look afterwards shows the change: most registries have nothing that would keep two writers apart. */
async function update(
  at: RepositoryAt,
  subject: Digest,
  change: (entries: readonly Entry[]) => readonly Entry[],
): Promise<void> {
  for (let attempt = 1; attempt <= updateAttempts; attempt += 1) {
    const list = await readList(at, subject);
    const document = list ? documentIn(list.bytes) : emptyIndex;
    const changed = change(document.manifests);
    if (changed === document.manifests) return;
    await writeList(at, subject, { document: { ...document, manifests: changed }, etag: list?.etag });
  }
  const { endpoint, repository } = at;
  throw new RegistryError(
    'protocol',
    `The list of referrers of ${subject} in ${repository} changes at the same time elsewhere, or is not kept`,
    { registry: endpoint.registry },
    { hint: 'Try again.' },
  );
}

const emptyIndex = { schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests: [] as readonly Entry[] };

function documentIn(bytes: Uint8Array): { readonly manifests: readonly Entry[] } {
  parseManifest(bytes, mediaTypes.ociIndex);
  return JSON.parse(Buffer.from(bytes).toString('utf8'));
}

async function readList(
  { requester, endpoint, repository, options }: RepositoryAt,
  subject: Digest,
): Promise<{ bytes: Buffer; etag: string | undefined } | undefined> {
  const request = { ...tagRequest('GET', repository, subject), accept: [200, 404] };
  const response = await requester.read(endpoint, request, maxIndexBytes, options);
  if (response.status === 404) return undefined;
  const { bytes } = pageOf(response, maxIndexBytes);
  // GitLab takes the tag for the digest itself: what an index has is not what refers to it.
  if (digestOf(bytes, digestAlgorithm(subject)) === subject) return undefined;
  return { bytes, etag: headerOf(response, 'etag') };
}

/** A change by others since we read is no error here: the next look shows it. */
async function writeList(
  { requester, endpoint, repository, options }: RepositoryAt,
  subject: Digest,
  { document, etag }: { document: object; etag: string | undefined },
): Promise<void> {
  const bytes = Buffer.from(JSON.stringify(document));
  const request: RegistryRequest = {
    ...tagRequest('PUT', repository, subject),
    headers: { 'content-type': mediaTypes.ociIndex, ...(etag !== undefined && { 'if-match': etag }) },
    body: { length: bytes.length, open: () => bytes },
    scopes: [repositoryScope(repository, 'pull', 'push')],
    accept: [200, 201, 202, 412],
  };
  const response: RegistryResponse = await requester.send(endpoint, request, options);
  await response.body.discard();
}

function tagRequest(method: 'GET' | 'PUT', repository: string, subject: Digest): RegistryRequest {
  const tag = referrersTag(subject);
  return {
    method,
    target: `/${repository}/manifests/${tag}`,
    repository,
    headers: { accept: mediaTypes.ociIndex },
    kind: 'manifest',
    what: `the list of referrers ${repository}:${tag}`,
    scopes: [repositoryScope(repository, 'pull')],
    accept: [],
    repeatable: true,
  };
}
