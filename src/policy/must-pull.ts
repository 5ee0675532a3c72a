import { tryRecordKey } from './image-name.ts';
import {
  type ImagePullSecret,
  type ImagePullServiceAccount,
  isEmpty,
  type PulledRecord,
  sameCoordinates,
} from './pull-credentials.ts';
import type { VerificationPolicy } from './verification-policy.ts';

/** Label `result` of the kubelet's metric `imagemanager_image_mustpull_checks_total`. */
export type MustPullResult = 'credentialPolicyAllowed' | 'credentialRecordFound' | 'mustAuthenticate' | 'error';

export interface MustPullAnswer {
  readonly mustPull: boolean;
  /** Undefined when there was no image to ask about, which is not counted. */
  readonly result?: MustPullResult;
  /** A secret that the record should learn, so that it is recognised at once the next time. */
  readonly learn?: ImagePullSecret;
  /** Why the credentials of the pod cannot be known; the pod waits then. */
  readonly error?: unknown;
}

/** The credentials of a pod that records can recognise. */
export interface TrackedPodCredentials {
  /** In lookup order. */
  readonly secrets: readonly ImagePullSecret[];
  readonly serviceAccount?: ImagePullServiceAccount | undefined;
}

export interface MustPullFacts {
  /** The text in the pod. */
  readonly image: string;
  /** Of the image that the node has; `unreadable` when there is one that cannot be read. */
  readonly record: PulledRecord | 'unreadable' | undefined;
  /** Whether a pull of this text is running, or an intent of it is left of one that was not finished. */
  readonly hasIntent: boolean;
  readonly policy: VerificationPolicy;
  /** Asked only when the answer depends on them. What it throws is in the answer. */
  readonly podCredentials: () => TrackedPodCredentials | Promise<TrackedPodCredentials>;
}

/** From this number on a record learns no more secrets, so that changing namespaces cannot make it grow for ever. */
const maxLearnedSecrets = 100;

/**
 * Whether an image that is on the node must be pulled all the same, so that the registry checks the pod's credentials.
 * @see pull-policy.md 9.2
 */
export async function mustAttemptPull(facts: MustPullFacts): Promise<MustPullAnswer> {
  const { image, record, policy } = facts;
  if (record === 'unreadable') return { mustPull: true, result: 'error' };
  if (!policy(image, { pulledByKubelet: record !== undefined || facts.hasIntent })) {
    return { mustPull: false, result: 'credentialPolicyAllowed' };
  }
  if (!record) return mustAuthenticate;
  const key = tryRecordKey(image);
  if (key === undefined) return { mustPull: true, result: 'error' };
  const recorded = record.credentialMapping[key];
  if (!recorded) return mustAuthenticate;
  if (recorded.nodePodsAccessible) return recordFound;
  if (isEmpty(recorded)) return mustAuthenticate;
  let credentials: TrackedPodCredentials;
  try {
    credentials = await facts.podCredentials();
  } catch (error) {
    return { mustPull: true, result: 'error', error };
  }
  const { secrets, serviceAccount } = credentials;
  const recordedSecrets = recorded.kubernetesSecrets ?? [];
  return (
    matchSecrets(secrets, recordedSecrets) ??
    (serviceAccount && recorded.kubernetesServiceAccounts?.some((known) => sameCoordinates(known, serviceAccount))
      ? recordFound
      : mustAuthenticate)
  );
}

const recordFound: MustPullAnswer = { mustPull: false, result: 'credentialRecordFound' };
const mustAuthenticate: MustPullAnswer = { mustPull: true, result: 'mustAuthenticate' };

function matchSecrets(
  offered: readonly ImagePullSecret[],
  recorded: readonly ImagePullSecret[],
): MustPullAnswer | undefined {
  const learns = recorded.length < maxLearnedSecrets;
  for (const secret of offered) {
    for (const known of recorded) {
      const sameHash = known.credentialHash !== '' && known.credentialHash === secret.credentialHash;
      const samePlace = sameCoordinates(known, secret);
      if (sameHash) return samePlace || !learns ? recordFound : { ...recordFound, learn: secret };
      if (samePlace && learns) return { ...recordFound, learn: secret };
    }
  }
  return undefined;
}
