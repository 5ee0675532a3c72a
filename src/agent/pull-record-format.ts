import { createHash } from 'node:crypto';
import type { ImagePullCredentials, ImagePullSecret, ImagePullServiceAccount, PulledRecord } from '../policy/index.ts';

/** The text of a file of pull records, as the kubelet writes it, and back. @see pull-policy.md 9.4 */

const currentVersion = 'kubelet.config.k8s.io/v1beta1';
const knownVersions: readonly unknown[] = ['kubelet.config.k8s.io/v1alpha1', currentVersion];

/** @param key requested image of an intent, image id of a record */
export function recordFileName(key: string): string {
  return `sha256-${createHash('sha256').update(key).digest('hex')}`;
}

export function formatIntent(image: string): string {
  return `${goJson({ kind: 'ImagePullIntent', apiVersion: currentVersion, image })}\n`;
}

export function formatRecord({ imageRef, lastUpdatedMs, credentialMapping }: PulledRecord): string {
  const keys = Object.keys(credentialMapping).sort();
  const mapping = keys.map((key) => [key, orderedCredentials(credentialMapping[key]!)] as const);
  const record = {
    kind: 'ImagePulledRecord',
    apiVersion: currentVersion,
    lastUpdatedTime: new Date(lastUpdatedMs).toISOString().replace(/\.\d+Z$/, 'Z'),
    imageRef,
    ...(mapping.length > 0 && { credentialMapping: Object.fromEntries(mapping) }),
  };
  return `${goJson(record)}\n`;
}

/** A decoded file, and whether it should be written again because an older version wrote it. */
export interface Decoded<T> {
  readonly value: T;
  readonly outdated: boolean;
}

/** @returns the requested image; undefined for anything that is not exactly an intent */
export function parseIntent(text: string): Decoded<string> | undefined {
  const object = objectOf(text, 'ImagePullIntent', ['image']);
  const image = object && textOf(object.image);
  return image === undefined ? undefined : { value: image, outdated: object?.apiVersion !== currentVersion };
}

/** @returns undefined for anything that is not exactly a pulled record */
export function parseRecord(text: string): Decoded<PulledRecord> | undefined {
  const object = objectOf(text, 'ImagePulledRecord', ['lastUpdatedTime', 'imageRef', 'credentialMapping']);
  if (!object) return undefined;
  const imageRef = textOf(object.imageRef);
  const lastUpdatedMs = timeOf(object.lastUpdatedTime);
  const mapping = mapOf(object.credentialMapping, credentialsOf);
  if (imageRef === undefined || lastUpdatedMs === undefined || !mapping) return undefined;
  return {
    value: { imageRef, lastUpdatedMs, credentialMapping: mapping },
    outdated: object.apiVersion !== currentVersion,
  };
}

type JsonObject = Record<string, unknown>;

function objectOf(text: string, kind: string, members: readonly string[]): JsonObject | undefined {
  let object: unknown;
  try {
    object = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (!isObject(object) || !hasOnly(object, ['kind', 'apiVersion', ...members])) return undefined;
  return object.kind === kind && knownVersions.includes(object.apiVersion) ? object : undefined;
}

function timeOf(value: unknown): number | undefined {
  if (value === undefined || value === null) return 0;
  if (typeof value !== 'string' || !/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[-+]\d\d:\d\d)$/.test(value))
    return undefined;
  const ms = Date.parse(value);
  return Number.isNaN(ms) ? undefined : ms;
}

function credentialsOf(value: unknown): ImagePullCredentials | undefined {
  const members = membersOf(value, ['kubernetesSecrets', 'kubernetesServiceAccounts', 'nodePodsAccessible']);
  if (!members) return undefined;
  const kubernetesSecrets = listOf(members.kubernetesSecrets, ['uid', 'namespace', 'name', 'credentialHash']);
  const kubernetesServiceAccounts = listOf(members.kubernetesServiceAccounts, ['uid', 'namespace', 'name']);
  const nodePodsAccessible = members.nodePodsAccessible ?? false;
  if (!kubernetesSecrets || !kubernetesServiceAccounts || typeof nodePodsAccessible !== 'boolean') return undefined;
  return {
    ...(kubernetesSecrets.length > 0 && { kubernetesSecrets }),
    ...(kubernetesServiceAccounts.length > 0 && { kubernetesServiceAccounts }),
    ...(nodePodsAccessible && { nodePodsAccessible }),
  };
}

/** Objects of texts. As in Go what is missing is empty. */
function listOf<Name extends string>(
  value: unknown,
  names: readonly Name[],
): Readonly<Record<Name, string>>[] | undefined {
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value)) return undefined;
  const items = value.map((item) => {
    const members = membersOf(item, names);
    return members && mapOf(Object.fromEntries(names.map((name) => [name, members[name]])), textOf);
  });
  return items.every((item) => item !== undefined) ? (items as Record<Name, string>[]) : undefined;
}

function mapOf<T>(value: unknown, decode: (value: unknown) => T | undefined): Record<string, T> | undefined {
  const entries: [string, T][] = [];
  for (const [name, item] of Object.entries(membersOf(value) ?? {})) {
    const decoded = decode(item);
    if (decoded === undefined) return undefined;
    entries.push([name, decoded]);
  }
  return membersOf(value) && Object.fromEntries(entries);
}

function textOf(value: unknown): string | undefined {
  if (value === undefined || value === null) return '';
  return typeof value === 'string' ? value : undefined;
}

/** @param names all that there may be; by default any */
function membersOf(value: unknown, names?: readonly string[]): JsonObject | undefined {
  if (value === undefined || value === null) return {};
  return isObject(value) && (!names || hasOnly(value, names)) ? value : undefined;
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function hasOnly(object: JsonObject, members: readonly string[]): boolean {
  return Object.keys(object).every((member) => members.includes(member));
}

/** In the kubelet's order of members, without empty ones. */
function orderedCredentials(credentials: ImagePullCredentials): ImagePullCredentials {
  const { kubernetesSecrets = [], kubernetesServiceAccounts = [], nodePodsAccessible } = credentials;
  const account = ({ uid, namespace, name }: ImagePullServiceAccount) => ({ uid, namespace, name });
  const secret = (value: ImagePullSecret) => ({ ...account(value), credentialHash: value.credentialHash });
  return {
    ...(kubernetesSecrets.length > 0 && { kubernetesSecrets: kubernetesSecrets.map(secret) }),
    ...(kubernetesServiceAccounts.length > 0 && { kubernetesServiceAccounts: kubernetesServiceAccounts.map(account) }),
    ...(nodePodsAccessible && { nodePodsAccessible }),
  };
}

/** As Go's encoder writes it: what HTML and JavaScript could misread is escaped. */
function goJson(value: unknown): string {
  return JSON.stringify(value).replace(
    /[<>&\u2028\u2029]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}
