import type { AuthConfig } from '../cri/messages.ts';
import {
  type ImagePullCredentials,
  type ImagePullSecret,
  type ImagePullServiceAccount,
  keyringOfSecrets,
  lookUpAll,
  type OfferedCredential,
  type TrackedPodCredentials,
} from '../policy/index.ts';
import type { CredentialPlugins } from './credential-plugins.ts';
import type { NodeKeyring } from './node-keyring.ts';
import type { Pod } from './pod.ts';

/** Credentials for one pull, and whose they are. */
export interface PodCredential {
  readonly auth: AuthConfig;
  /** Undefined for those of the node, which every pod may use. */
  readonly source?: { readonly secret: ImagePullSecret } | { readonly serviceAccount: ImagePullServiceAccount };
}

/**
 * The credentials of a pod for a repository (`docker.io/library/nginx`), in the order in which they are tried. What it
 * throws is why the container waits.
 * @see pull-policy.md 8.1
 */
export type PodCredentialSource = (pod: Pod, repository: string) => Promise<readonly PodCredential[]>;

/** The credentials of a pod's pull secrets. @throws DecodingError for a secret that cannot be read */
export const credentialsOfPullSecrets: PodCredentialSource = async ({ pullSecrets }, repository) =>
  keyringOfSecrets(pullSecrets).lookUp(repository).map(podCredential);

/**
 * The credentials of a pod's pull secrets, then those of the node, then those of plugins. Pods of manifests have no
 * service account for which plugins could be asked.
 * @see pull-policy.md 8.1
 */
export function podCredentials(sources: {
  readonly node?: NodeKeyring;
  readonly plugins?: CredentialPlugins | undefined;
}): PodCredentialSource {
  return async (pod, repository) => {
    const { namespace, name, uid } = pod.metadata;
    const ofSecrets = await credentialsOfPullSecrets(pod, repository);
    const keyrings = [
      await sources.node?.keyring(),
      await sources.plugins?.keyring(repository, { namespace, name, uid, serviceAccountName: '' }),
    ].filter((keyring) => keyring !== undefined);
    return [...ofSecrets, ...lookUpAll(keyrings, repository).map(podCredential)];
  };
}

function podCredential({ username, password, owner, hash }: OfferedCredential): PodCredential {
  const auth = { username, password };
  if (!owner) return { auth };
  return { auth, source: 'secret' in owner ? { secret: { ...owner.secret, credentialHash: hash } } : owner };
}

/** The part of a pod's credentials that pull records can recognise. */
export function trackedCredentials(credentials: readonly PodCredential[]): TrackedPodCredentials {
  const sources = credentials.flatMap(({ source }) => source ?? []);
  const [serviceAccount] = sources.flatMap((source) => ('serviceAccount' in source ? [source.serviceAccount] : []));
  return { secrets: sources.flatMap((source) => ('secret' in source ? [source.secret] : [])), serviceAccount };
}

/**
 * Who may use an image from now on, after a pull with this credential.
 * @param credential undefined after a pull without any
 * @see pull-policy.md 9.3
 */
export function grantedBy(credential: PodCredential | undefined): ImagePullCredentials {
  const source = credential?.source;
  if (!source) return { nodePodsAccessible: true };
  if ('secret' in source) return { kubernetesSecrets: [source.secret] };
  return { kubernetesServiceAccounts: [source.serviceAccount] };
}
