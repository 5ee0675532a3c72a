import { LadingError } from '../lib/errors.ts';
import type { Descriptor } from '../oci/descriptor.ts';
import type { Digest } from '../oci/digest.ts';
import { parseManifest } from '../oci/manifest.ts';
import { bareMediaType, mediaTypes } from '../oci/media-types.ts';
import { type Page, pages } from './pages.ts';
import { type RepositoryAt, readReferrersTag } from './referrers-tag.ts';
import type { CallOptions, RegistryRequest } from './requester.ts';
import { repositoryScope } from './scope.ts';
import { headerOf } from './transport.ts';

export interface ReferrersOptions extends CallOptions {
  /** Only those of this type: signatures, SBOMs, … */
  readonly artifactType?: string | undefined;
}

/** Of a list, and of registries without one: Artifactory answers 406. */
const statuses = [200, 400, 404, 405, 406, 501];
const maxPageBytes = 4 * 1024 * 1024;

/**
 * The manifests that refer to a digest: from the registry's list, or from the tag that stands for it where the registry
 * has no such list. An empty list when nothing refers to it, also when the registry does not have it.
 * @throws RegistryError; LadingError `ERR_LADING_MANIFEST_INVALID`
 * @see registry.md 10.4
 */
export async function listReferrers(
  at: RepositoryAt,
  subject: Digest,
  artifactType: string | undefined,
): Promise<readonly Descriptor[]> {
  const { requester, endpoint, repository, options } = at;
  const query = artifactType === undefined ? '' : `?artifactType=${encodeURIComponent(artifactType)}`;
  const request: RegistryRequest = {
    method: 'GET',
    target: `/${repository}/referrers/${subject}${query}`,
    repository,
    headers: { accept: mediaTypes.ociIndex },
    kind: 'other',
    what: `the referrers of ${repository}@${subject}`,
    scopes: [repositoryScope(repository, 'pull')],
    accept: statuses,
    repeatable: true,
  };
  const found: Descriptor[] = [];
  for await (const page of pages(requester, endpoint, request, { ...options, maxBytes: maxPageBytes })) {
    const { response } = page;
    const entries = entriesIn(page);
    if (!entries) return ofType((await readReferrersTag(at, subject)) ?? [], artifactType);
    const isFiltered = (headerOf(response, 'oci-filters-applied') ?? '').split(/[\s,]+/).includes('artifactType');
    found.push(...(isFiltered ? entries : ofType(entries, artifactType)));
  }
  return found;
}

/** Undefined for an answer that is no list: this registry does not know the question. */
function entriesIn({ response, bytes }: Page): readonly Descriptor[] | undefined {
  const isIndex = bareMediaType(headerOf(response, 'content-type') ?? '') === mediaTypes.ociIndex;
  if (response.status !== 200 || !isIndex) return undefined;
  try {
    const index = parseManifest(bytes, mediaTypes.ociIndex);
    return index.kind === 'index' ? index.manifests : undefined;
  } catch (error) {
    if (!(error instanceof LadingError)) throw error;
    const { what, whom } = response.asked;
    throw new LadingError(error.code, `${whom} answered for ${what}: ${error.message}`, { cause: error });
  }
}

function ofType(entries: readonly Descriptor[], artifactType: string | undefined): readonly Descriptor[] {
  return entries.filter((entry) => artifactType === undefined || entry.artifactType === artifactType);
}
