import { LadingError } from '../lib/errors.ts';
import { type Digest, parseDigest } from './digest.ts';

/** A normalised image reference: what a user wrote, with the registry and Docker Hub's `library/` filled in. */
export interface Reference {
  /**
   * Host with optional port; `docker.io` for Docker Hub, which is not the address of its API. Empty for a name whose
   * first part looks like a host and is none, as `my_host.com/app`: container tools take it, and can ask nobody for it.
   */
  readonly registry: string;
  readonly repository: string;
  readonly tag?: string | undefined;
  readonly digest?: Digest | undefined;
}

/** What can be wrong with a reference. @see registry.md 1.2 */
export type ReferenceErrorClass =
  | 'InvalidFormat'
  | 'NameContainsUppercase'
  | 'NameTooLong'
  | 'NameIsIdentifier'
  | 'DigestUnsupported'
  | 'DigestInvalidLength'
  | 'DigestInvalidFormat';

const dockerHub = 'docker.io';
const dockerHubOldName = 'index.docker.io';
const officialPrefix = 'library/';
/** Of the repository without its registry, with an inserted `library/`. */
const maxRepositoryLength = 255;

const label = '[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?';
const component = '[a-z0-9]+(?:(?:\\.|__?|-+)[a-z0-9]+)*';
const registryPattern = new RegExp(`^(?:${label}(?:\\.${label})*|\\[[a-fA-F0-9:]+\\])(?::[0-9]+)?$`);
const repositoryPattern = new RegExp(`^${component}(?:/${component})*$`);
const tagPattern = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$/;
const digestPattern = /^[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}$/;
const imageIdPattern = /^[0-9a-f]{64}$/;

/**
 * Parses and normalises what users write: `nginx` is `docker.io/library/nginx`. No tag is invented here.
 * @throws LadingError `ERR_LADING_REFERENCE_…`, with `data.class` and in `data.detail` the text that container tools
 *   share for it
 * @see registry.md 1.2
 */
export function parseReference(text: string): Reference {
  if (imageIdPattern.test(text)) {
    throw referenceError('NameIsIdentifier', text, {
      detail: `invalid repository name (${text}), cannot specify 64-byte hexadecimal strings`,
      hint: 'That is the form of an image id. Name the repository too: REPOSITORY@sha256:DIGEST.',
    });
  }
  const { registry, rest, written } = splitRegistry(text);
  const beforeColon = upToColon(rest);
  if (beforeColon !== beforeColon.toLowerCase()) {
    const lowered = upToColon(written).toLowerCase() + written.slice(upToColon(written).length);
    const suggestion = text.slice(0, text.length - written.length) + lowered;
    throw uppercaseError(text, beforeColon, suggestion);
  }
  const hasRegistry = registryPattern.test(registry);
  const parts = splitTagAndDigest(hasRegistry ? rest : `${registry}/${rest}`);
  if (!parts) {
    const lowered = `${registry}/${rest}`.toLowerCase();
    if (isReference(lowered)) throw uppercaseError(text, `${registry}/${beforeColon}`, lowered);
    throw referenceError('InvalidFormat', text, { detail: 'invalid reference format', hint: formatHint(text) });
  }
  checkLength(parts.repository, text);
  return Object.freeze({
    registry: hasRegistry ? registry : '',
    repository: parts.repository,
    ...(parts.tag === undefined ? {} : { tag: parts.tag }),
    ...(parts.digest === undefined ? {} : { digest: digestOfReference(parts.digest, text) }),
  });
}

/** The normalised text: `docker.io/library/nginx:1.27`, with the tag and the digest that the reference carries. */
export function formatReference(reference: Reference): string {
  return repositoryName(reference) + suffix(reference);
}

/**
 * The shortest text that users recognise: `nginx:1.27`. For display only: parsing it again may give another reference.
 * @see registry.md 1.3
 */
export function familiarReference(reference: Reference): string {
  const { registry, repository } = reference;
  if (registry !== dockerHub) return formatReference(reference);
  const official = repository.startsWith(officialPrefix) ? repository.slice(officialPrefix.length) : repository;
  return (official.includes('/') ? repository : official) + suffix(reference);
}

/**
 * The one reference that is fetched: by digest if there is one, else by tag, which is `latest` if there is none.
 * @see registry.md 1.3
 */
export function pullReference(reference: Reference): Reference {
  const { registry, repository, tag, digest } = reference;
  if (digest !== undefined) return tag === undefined ? reference : Object.freeze({ registry, repository, digest });
  return tag === undefined ? Object.freeze({ registry, repository, tag: 'latest' }) : reference;
}

/** `docker.io/library/nginx`. */
export function repositoryName({ registry, repository }: Pick<Reference, 'registry' | 'repository'>): string {
  return registry === '' ? repository : `${registry}/${repository}`;
}

/** The image id that a text means where ids are allowed beside references: 64 hex digits, or a digest alone. */
export function parseImageId(text: string): Digest | undefined {
  const digest = imageIdPattern.test(text) ? `sha256:${text}` : text;
  try {
    return parseDigest(digest);
  } catch {
    return undefined;
  }
}

/**
 * The text without its tag and digest, and not normalised: `nginx:1` becomes `nginx`. 64 hex digits are a name here.
 * @throws LadingError as `parseReference`, for what is no reference in this form
 */
export function trimReference(text: string): string {
  const slash = text.indexOf('/');
  const first = slash < 0 ? '' : text.slice(0, slash);
  const hasRegistry = registryPattern.test(first);
  const parts = splitTagAndDigest(hasRegistry ? text.slice(slash + 1) : text);
  if (!parts) {
    if (text !== text.toLowerCase()) throw uppercaseError(text, text, text.toLowerCase());
    throw referenceError('InvalidFormat', text, { detail: 'invalid reference format', hint: formatHint(text) });
  }
  checkLength(parts.repository, text);
  if (parts.digest !== undefined) digestOfReference(parts.digest, text);
  return hasRegistry ? `${first}/${parts.repository}` : parts.repository;
}

function suffix({ tag, digest }: Reference): string {
  return (tag === undefined ? '' : `:${tag}`) + (digest === undefined ? '' : `@${digest}`);
}

/**
 * `rest` is everything after the registry with Docker Hub's `library/` inserted, `written` the same as in the text.
 * A text without `/` never contains a registry: `localhost:5000` is a repository with a tag.
 */
function splitRegistry(text: string): { registry: string; rest: string; written: string } {
  const slash = text.indexOf('/');
  const first = slash < 0 ? '' : text.slice(0, slash);
  const isRegistry = first === 'localhost' || /[.:]/.test(first) || first !== first.toLowerCase();
  const registry = !isRegistry || first === dockerHubOldName ? dockerHub : first;
  const written = isRegistry ? text.slice(slash + 1) : text;
  const rest = registry === dockerHub && !written.includes('/') ? officialPrefix + written : written;
  return { registry, rest, written };
}

function upToColon(text: string): string {
  return text.split(':', 1)[0]!;
}

function isReference(text: string): boolean {
  const slash = text.indexOf('/');
  const hasRegistry = registryPattern.test(text.slice(0, slash));
  return splitTagAndDigest(hasRegistry ? text.slice(slash + 1) : text) !== undefined;
}

function splitTagAndDigest(rest: string): { repository: string; tag?: string; digest?: string } | undefined {
  const [named = '', digest, ...more] = rest.split('@');
  const colon = named.indexOf(':');
  const repository = colon < 0 ? named : named.slice(0, colon);
  const tag = colon < 0 ? undefined : named.slice(colon + 1);
  if (more.length > 0 || !repositoryPattern.test(repository)) return undefined;
  if (tag !== undefined && !tagPattern.test(tag)) return undefined;
  if (digest !== undefined && !digestPattern.test(digest)) return undefined;
  return { repository, ...(tag === undefined ? {} : { tag }), ...(digest === undefined ? {} : { digest }) };
}

function checkLength(repository: string, text: string): void {
  if (repository.length <= maxRepositoryLength) return;
  throw referenceError('NameTooLong', text, {
    detail: `repository name must not be more than ${maxRepositoryLength} characters`,
    hint: `It has ${repository.length} characters without the registry.`,
  });
}

function digestOfReference(digest: string, text: string): Digest {
  try {
    return parseDigest(digest);
  } catch (error) {
    if (!(error instanceof LadingError)) throw error;
    const { code, hint } = error;
    if (code === 'ERR_LADING_DIGEST_UNSUPPORTED') {
      throw referenceError('DigestUnsupported', text, { detail: 'unsupported digest algorithm', hint });
    }
    if (code === 'ERR_LADING_DIGEST_INVALID_LENGTH') {
      throw referenceError('DigestInvalidLength', text, { detail: 'invalid checksum digest length', hint });
    }
    throw referenceError('DigestInvalidFormat', text, { detail: 'invalid checksum digest format', hint });
  }
}

function uppercaseError(text: string, name: string, suggestion: string): LadingError {
  return referenceError('NameContainsUppercase', text, {
    detail: `invalid reference format: repository name (${name}) must be lowercase`,
    hint: `Only registries and tags may contain upper-case letters; did you mean ${JSON.stringify(suggestion)}?`,
  });
}

function formatHint(text: string): string {
  if (text.trim() === '') return 'Write the name of an image, for example nginx:1.27 or ghcr.io/owner/name:tag.';
  if (/^[a-z]+:\/\//i.test(text))
    return `Leave out ${text.slice(0, text.indexOf('//') + 2)}: a reference has no scheme.`;
  if (/\s/.test(text)) return 'A reference contains no blanks.';
  if (/:[^:/@]{129,}(?:@|$)/.test(text)) return 'A tag has at most 128 characters.';
  if (/[:@]$/.test(text))
    return `Write a ${text.endsWith(':') ? 'tag after the colon' : 'digest after the @'}, or leave it out.`;
  if (/\/\/|\/$|^\//.test(text)) return 'Every part between two slashes needs a name.';
  return 'A reference looks like [REGISTRY/]REPOSITORY[:TAG][@sha256:DIGEST], for example ghcr.io/owner/name:1.2.';
}

const errorCodes = {
  InvalidFormat: 'ERR_LADING_REFERENCE_INVALID_FORMAT',
  NameContainsUppercase: 'ERR_LADING_REFERENCE_NAME_CONTAINS_UPPERCASE',
  NameTooLong: 'ERR_LADING_REFERENCE_NAME_TOO_LONG',
  NameIsIdentifier: 'ERR_LADING_REFERENCE_NAME_IS_IDENTIFIER',
  DigestUnsupported: 'ERR_LADING_REFERENCE_DIGEST_UNSUPPORTED',
  DigestInvalidLength: 'ERR_LADING_REFERENCE_DIGEST_INVALID_LENGTH',
  DigestInvalidFormat: 'ERR_LADING_REFERENCE_DIGEST_INVALID_FORMAT',
} as const satisfies Record<ReferenceErrorClass, string>;

function referenceError(
  errorClass: ReferenceErrorClass,
  text: string,
  { detail, hint }: { detail: string; hint: string | undefined },
): LadingError {
  return new LadingError(errorCodes[errorClass], `cannot read the image reference ${JSON.stringify(text)}: ${detail}`, {
    hint,
    data: { class: errorClass, detail },
  });
}
