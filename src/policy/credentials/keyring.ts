import type { ImagePullServiceAccount } from '../pull-credentials.ts';
import { credentialHash } from './credential-hash.ts';
import type { DockerConfigEntries, DockerConfigEntry } from './docker-config.ts';
import { parsePlace, registryPatternMatches } from './registry-pattern.ts';

/** A pull secret, by its coordinates. */
export type SecretCoordinates = ImagePullServiceAccount;

/** Whose a credential is; the node's when there is none. */
export type CredentialOwner =
  | { readonly secret: SecretCoordinates }
  | { readonly serviceAccount: ImagePullServiceAccount };

/** A credential that a keyring offers for an image. */
export interface OfferedCredential {
  readonly username: string;
  readonly password: string;
  /** Undefined for credentials of the node, which every pod may use. */
  readonly owner: CredentialOwner | undefined;
  /** By which pull records recognise it; empty for credentials of the node. */
  readonly hash: string;
}

const dockerHubKey = 'index.docker.io';

/**
 * Credentials by the registries that they are for, as the kubelet keeps them.
 * @see pull-policy.md 8.2
 */
export class Keyring {
  readonly #credentials = new Map<string, OfferedCredential[]>();

  /** Adds entries by their keys. Keys that are no URLs are dropped. */
  add(entries: DockerConfigEntries, owner?: CredentialOwner): void {
    for (const [name, entry] of Object.entries(entries)) {
      const key = indexKey(name);
      if (key === undefined) continue;
      const known = this.#credentials.get(key) ?? [];
      known.push(offered(entry, owner));
      this.#credentials.set(key, known);
    }
  }

  /**
   * All that fit, in the order in which they are tried: longer paths before shorter ones, names before patterns.
   * @param repository `docker.io/library/nginx`
   */
  lookUp(repository: string): readonly OfferedCredential[] {
    const keys = [...this.#credentials.keys()].sort((a, b) => Buffer.compare(Buffer.from(b), Buffer.from(a)));
    const fitting = keys.filter((key) => fits(key, repository)).flatMap((key) => this.#credentials.get(key)!);
    if (fitting.length > 0 || !isDefaultRegistry(repository)) return fitting;
    return this.#credentials.get(dockerHubKey) ?? [];
  }
}

/** What several keyrings offer, in the order in which they are consulted. Nothing is left out, equal or not. */
export function lookUpAll(keyrings: readonly Keyring[], repository: string): readonly OfferedCredential[] {
  return keyrings.flatMap((keyring) => keyring.lookUp(repository));
}

/** Whether an image counts as one of Docker Hub, for which the credentials of `index.docker.io` will do. */
export function isDefaultRegistry(image: string): boolean {
  const [first = '', ...rest] = image.split('/');
  if (first === '') return false;
  if (rest.length === 0 || first === 'docker.io' || first === dockerHubKey) return true;
  return !/[.:]/.test(first);
}

/** `https://index.docker.io/v1/` → `index.docker.io`; undefined for what is no URL. */
function indexKey(name: string): string | undefined {
  let place: ReturnType<typeof parsePlace>;
  try {
    place = parsePlace(name.replace(/^https?:\/\//, ''));
  } catch {
    return undefined;
  }
  const path = place.path.replace(/^\/v[12](?=\/)/, '');
  return path === '/' ? place.host : place.host + path;
}

/** A key that is a bad pattern fits nothing. */
function fits(key: string, repository: string): boolean {
  try {
    return registryPatternMatches(key, repository);
  } catch {
    return false;
  }
}

function offered(entry: DockerConfigEntry, owner: CredentialOwner | undefined): OfferedCredential {
  const { username, password } = entry;
  return { username, password, owner, hash: owner ? credentialHash(entry) : '' };
}
