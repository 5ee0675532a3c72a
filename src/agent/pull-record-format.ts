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
  if (!object || typeof object.image !== 'string') return undefined;
  return { value: object.image, outdated: object.apiVersion !== currentVersion };
}

/** @returns undefined for anything that is not exactly a pulled record */
export function parseRecord(text: string): Decoded<PulledRecord> | undefined {
  const object = objectOf(text, 'ImagePulledRecord', ['lastUpdatedTime', 'imageRef', 'credentialMapping']);
  if (!object || typeof object.imageRef !== 'string') return undefined;
  const lastUpdatedMs = timeOf(object.lastUpdatedTime);
  const mapping = object.credentialMapping ?? {};
  if (lastUpdatedMs === undefined || !isObject(mapping)) return undefined;
  const entries = Object.entries(mapping);
  if (!entries.every(([, credentials]) => isCredentials(credentials))) return undefined;
  const credentialMapping = Object.fromEntries(entries) as Record<string, ImagePullCredentials>;
  return {
    value: { imageRef: object.imageRef, lastUpdatedMs, credentialMapping },
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

function isCredentials(value: unknown): value is ImagePullCredentials {
  if (!isObject(value)) return false;
  const { kubernetesSecrets = [], kubernetesServiceAccounts = [], nodePodsAccessible = false } = value;
  return (
    hasOnly(value, ['kubernetesSecrets', 'kubernetesServiceAccounts', 'nodePodsAccessible']) &&
    isListOf(kubernetesSecrets, ['uid', 'namespace', 'name', 'credentialHash']) &&
    isListOf(kubernetesServiceAccounts, ['uid', 'namespace', 'name']) &&
    typeof nodePodsAccessible === 'boolean'
  );
}

function isListOf(value: unknown, members: readonly string[]): boolean {
  const isItem = (item: unknown) =>
    isObject(item) && hasOnly(item, members) && members.every((member) => typeof item[member] === 'string');
  return Array.isArray(value) && value.every(isItem);
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
