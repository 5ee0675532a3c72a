/** Which credentials a pod has for an image, where they come from, and whether they are known to give access to it. */
import {
  type CredentialPlugins,
  type NodeKeyring,
  type Pod,
  type PodCredential,
  PullRecords,
  podCredentials,
  trackedCredentials,
} from '../../agent/index.ts';
import { errorMessage } from '../../lib/errors.ts';
import { type Reference, repositoryName } from '../../oci/index.ts';
import { type MustPullAnswer, mustAttemptPull, type VerificationPolicy } from '../../policy/index.ts';
import { machineCredentials } from '../../registry/index.ts';

/** A credential, without what is secret. */
export interface CredentialFact {
  /** `secret default/regcred`, `node`, `credential plugin`, or where the tools of this machine keep it. */
  readonly source: string;
  readonly username?: string;
}

export interface CredentialFacts {
  /** In the order in which they are tried; without any the registry is asked anonymously. */
  readonly offered: readonly CredentialFact[];
  /** Pull secrets that the pod names and the manifest does not hold. */
  readonly missingSecrets?: readonly string[];
  /** Why they cannot be read; the container does not start then. */
  readonly problem?: string;
  /** The source of the one that the registry accepted for this explanation. */
  readonly accepted?: string;
  /** Whether the pod may use what this node has without asking the registry; absent when the node has nothing. */
  readonly verified?: boolean;
  /** Why, in a sentence. */
  readonly verification?: string;
}

export interface PodCredentials {
  readonly facts: CredentialFacts;
  /** Those of the pod and of the node, for asking. */
  readonly credentials: readonly PodCredential[];
}

export interface CredentialContext {
  /** Folder of the node. */
  readonly root: string;
  readonly keyring: NodeKeyring;
  readonly plugins: CredentialPlugins | undefined;
  readonly verification: VerificationPolicy;
}

/** @param imageId of what the node has under the name */
export async function credentialsFor(
  context: CredentialContext,
  { pod, image }: { pod: Pod; image: string },
  reference: Reference,
  imageId: string | undefined,
): Promise<PodCredentials> {
  const missing = pod.imagePullSecrets.filter((name) => !pod.pullSecrets.some((secret) => secret.name === name));
  const missingSecrets = missing.length > 0 ? { missingSecrets: missing } : {};
  let credentials: readonly PodCredential[];
  let offered: CredentialFact[];
  try {
    const bySource = await lookUp(context, pod, repositoryName(reference));
    credentials = bySource.map(({ credential }) => credential);
    offered = bySource.map(({ source, credential: { auth } }) => factOf(source, auth));
  } catch (error) {
    return { credentials: [], facts: { offered: [], ...missingSecrets, problem: errorMessage(error) } };
  }
  if (offered.length === 0) offered = await ofMachine(reference.registry);
  const verified = imageId === undefined ? {} : await verify(context, { image, imageId, credentials });
  return { credentials, facts: { offered, ...missingSecrets, ...verified } };
}

/** Where tokens are used, the user name can be the token and the password a word that means nothing. */
function factOf(source: string, { username, password }: { username?: string; password?: string }): CredentialFact {
  const isSecret = !password || password === 'x-oauth-basic';
  return { source, ...(username && !isSecret ? { username } : {}) };
}

interface Sourced {
  readonly source: string;
  readonly credential: PodCredential;
}

/** In the kubelet's order: secrets, node, plugins. @see pull-policy.md 8.1 */
async function lookUp({ keyring, plugins }: CredentialContext, pod: Pod, repository: string): Promise<Sourced[]> {
  const withoutSecrets = { ...pod, pullSecrets: [] };
  const [ofSecrets, ofNode, ofPlugins] = await Promise.all([
    podCredentials({})(pod, repository),
    podCredentials({ node: keyring })(withoutSecrets, repository),
    podCredentials({ plugins })(withoutSecrets, repository),
  ]);
  return [
    ...ofSecrets.map((credential) => ({ source: secretOf(credential), credential })),
    ...ofNode.map((credential) => ({ source: "the node's docker configuration", credential })),
    ...ofPlugins.map((credential) => ({ source: 'a credential plugin', credential })),
  ];
}

function secretOf({ source }: PodCredential): string {
  return source && 'secret' in source ? `secret ${source.secret.namespace}/${source.secret.name}` : 'a secret';
}

/** What the registry client falls back to when pod and node have nothing. */
async function ofMachine(registry: string): Promise<CredentialFact[]> {
  try {
    const found = await machineCredentials()(registry);
    return found.map(({ origin, ...credential }) => factOf(origin, credential));
  } catch {
    // A credential helper that fails is told by the registry's refusal, if the registry wants credentials at all.
    return [];
  }
}

/** Looks at the pull records without changing them. @see pull-policy.md 9.2 */
async function verify(
  { root, verification }: CredentialContext,
  { image, imageId, credentials }: { image: string; imageId: string; credentials: readonly PodCredential[] },
): Promise<Pick<CredentialFacts, 'verified' | 'verification'>> {
  const records = new PullRecords(root);
  try {
    const [record, hasIntent] = [await records.record(imageId), await records.hasIntent(image)];
    const podCredentials = () => trackedCredentials(credentials);
    const answer = await mustAttemptPull({ image, record, hasIntent, policy: verification, podCredentials });
    return { verified: !answer.mustPull, verification: verificationText(answer) };
  } catch (error) {
    return { verification: `The pull records of this node cannot be read: ${errorMessage(error)}.` };
  }
}

function verificationText({ result }: MustPullAnswer): string {
  switch (result) {
    case 'credentialPolicyAllowed':
      return 'The policy of this node asks nobody for credentials for this image.';
    case 'credentialRecordFound':
      return 'A pull is recorded that gives this pod access to the image.';
    case 'mustAuthenticate':
      return 'No pull is recorded that gives this pod access to the image, so the registry is asked.';
    default:
      return 'The record of the pulls of this image cannot be read, so the registry is asked.';
  }
}
