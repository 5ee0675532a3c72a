/** A pull secret that has fetched an image; no password, only its hash. */
export interface ImagePullSecret {
  readonly uid: string;
  readonly namespace: string;
  readonly name: string;
  /** Of the credentials in it; empty when they could not be hashed. */
  readonly credentialHash: string;
}

/** A service account for which a credential plugin gave credentials. */
export interface ImagePullServiceAccount {
  readonly uid: string;
  readonly namespace: string;
  readonly name: string;
}

/** Who may use an image under one name. All members absent: nobody without showing credentials to the registry. */
export interface ImagePullCredentials {
  readonly kubernetesSecrets?: readonly ImagePullSecret[];
  readonly kubernetesServiceAccounts?: readonly ImagePullServiceAccount[];
  /** Every pod of the node: it was fetched without credentials, or with those of the node. */
  readonly nodePodsAccessible?: boolean;
}

/** That the kubelet has pulled an image, and with whose credentials. */
export interface PulledRecord {
  /** Id of the image. */
  readonly imageRef: string;
  readonly lastUpdatedMs: number;
  /** By record key; see `recordKey`. */
  readonly credentialMapping: Readonly<Record<string, ImagePullCredentials>>;
}

/**
 * A record with the credentials of one more successful use.
 * @param key `recordKey` of the image's text
 * @returns `undefined` when the record says all of it already
 * @see pull-policy.md 9.3
 */
export function mergeCredentials(
  record: PulledRecord,
  key: string,
  added: ImagePullCredentials | undefined,
  atMs: number,
): PulledRecord | undefined {
  if (!added || isEmpty(added)) return undefined;
  const known = record.credentialMapping[key];
  const merged = known ? mergeInto(known, added) : withoutOthersThanNode(added);
  if (!merged) return undefined;
  return { ...record, lastUpdatedMs: atMs, credentialMapping: { ...record.credentialMapping, [key]: merged } };
}

/** Only one kind of the added credentials counts: node access before secrets before service accounts. */
function mergeInto(known: ImagePullCredentials, added: ImagePullCredentials): ImagePullCredentials | undefined {
  if (known.nodePodsAccessible) return undefined;
  if (added.nodePodsAccessible) return { nodePodsAccessible: true };
  if (added.kubernetesSecrets?.length) {
    const { merged, changed } = mergeSecrets(known.kubernetesSecrets ?? [], added.kubernetesSecrets);
    return changed ? { ...known, kubernetesSecrets: merged } : undefined;
  }
  const { merged, changed } = mergeServiceAccounts(
    known.kubernetesServiceAccounts ?? [],
    added.kubernetesServiceAccounts ?? [],
  );
  return changed ? { ...known, kubernetesServiceAccounts: merged } : undefined;
}

function withoutOthersThanNode(added: ImagePullCredentials): ImagePullCredentials {
  return added.nodePodsAccessible ? { nodePodsAccessible: true } : added;
}

/** Whether they give nobody access. */
export function isEmpty(credentials: ImagePullCredentials): boolean {
  return (
    !credentials.nodePodsAccessible &&
    !credentials.kubernetesSecrets?.length &&
    !credentials.kubernetesServiceAccounts?.length
  );
}

/** Unique by coordinates; the new hash wins. An unchanged list keeps its order, a changed one is sorted. */
function mergeSecrets(
  recorded: readonly ImagePullSecret[],
  added: readonly ImagePullSecret[],
): { merged: readonly ImagePullSecret[]; changed: boolean } {
  const hashes = new Map(recorded.map((secret) => [coordinates(secret), secret]));
  const changed = added.some((secret) => hashes.get(coordinates(secret))?.credentialHash !== secret.credentialHash);
  if (!changed) return { merged: recorded, changed };
  for (const secret of added) hashes.set(coordinates(secret), secret);
  return { merged: [...hashes.values()].sort(byCoordinates), changed };
}

/** Set union. An unchanged list keeps its order, a changed one is sorted by namespace, name and uid. */
export function mergeServiceAccounts(
  recorded: readonly ImagePullServiceAccount[],
  added: readonly ImagePullServiceAccount[],
): { merged: readonly ImagePullServiceAccount[]; changed: boolean } {
  const accounts = new Map(recorded.map((account) => [coordinates(account), account]));
  const changed = added.some((account) => !accounts.has(coordinates(account)));
  if (!changed) return { merged: recorded, changed };
  for (const account of added) accounts.set(coordinates(account), account);
  return { merged: [...accounts.values()].sort(byCoordinates), changed };
}

export function sameCoordinates(a: ImagePullServiceAccount, b: ImagePullServiceAccount): boolean {
  return a.uid === b.uid && a.namespace === b.namespace && a.name === b.name;
}

function coordinates({ namespace, name, uid }: ImagePullServiceAccount): string {
  return JSON.stringify([namespace, name, uid]);
}

function byCoordinates(a: ImagePullServiceAccount, b: ImagePullServiceAccount): number {
  return compareText(a.namespace, b.namespace) || compareText(a.name, b.name) || compareText(a.uid, b.uid);
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : Number(a > b);
}
