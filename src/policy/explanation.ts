import { LadingError } from '../lib/errors.ts';
import { type Digest, formatReference, parseReference, pullReference } from '../oci/index.ts';
import { decidePull, type PullDecision, type Reason } from './decision.ts';
import { type DefaultedPolicy, defaultPullPolicy, type PullPolicy, pullPolicies } from './default-policy.ts';
import {
  type ImageFacts,
  isOlderThanRegistry,
  type NodeImageFacts,
  type NotAsked,
  type RegistryFacts,
} from './explanation-facts.ts';
import {
  describeCached,
  describeFailure,
  describeInvalidName,
  describeLocal,
  describePull,
  describeRefusal,
  describeUnknown,
} from './explanation-text.ts';
import { parseImageName } from './image-name.ts';
import type { KubeletReason } from './pull-error.ts';
import { decideCached, lastKnownCurrent, type WhenUnreachable } from './unreachable.ts';

export interface ExplainInput {
  /** As in the manifest. */
  readonly image: string;
  /** As in the manifest; empty or absent when it says nothing. */
  readonly explicitPolicy?: PullPolicy | '' | undefined;
  readonly node?: NodeImageFacts | undefined;
  readonly registry: RegistryFacts | NotAsked;
  /** Instead of the policy of the manifest: what if it were another one? */
  readonly assumedPolicy?: PullPolicy | undefined;
  /** Whether the pod may use what the node has without showing the registry its credentials; by default it may. */
  readonly verified?: boolean | undefined;
  /** What `Always` does while the registry cannot be asked; by default it fails. */
  readonly whenUnreachable?: WhenUnreachable | undefined;
  /** Now, in milliseconds since 1970; only the age of a cached image depends on it. */
  readonly atMs?: number;
}

/** What a container of the image would do on this node now under one policy. */
export interface PolicyOutcome {
  readonly policy: PullPolicy;
  /** Undefined when that depends on a registry that was not asked. */
  readonly starts: boolean | undefined;
  /** What would run. */
  readonly digest?: Digest;
  readonly source?: 'node' | 'registry';
  /** 0 as well where the registry was not asked, or nothing starts. */
  readonly layersToDownload: number;
  readonly bytesToDownload: number;
  /** Whether what would run is not what the registry says now; undefined when that is not known or nothing would run. */
  readonly olderThanRegistry?: boolean | undefined;
  /** The waiting reason of the container. */
  readonly error?: KubeletReason;
  readonly reasons: readonly Reason[];
  /** All of it in one sentence. */
  readonly sentence: string;
  /** What to do about it, where there is something to do. */
  readonly hint?: string;
}

export interface Explanation {
  readonly image: string;
  /** Normalised, as the node's store and the registry know it; the image text itself when it cannot be read. */
  readonly name: string;
  readonly policy: PullPolicy;
  readonly policyOrigin: DefaultedPolicy['origin'] | 'assumed';
  /** Why it is this policy, as a clause that can follow "because". */
  readonly policyRule: string;
  readonly node?: NodeImageFacts;
  readonly registry: RegistryFacts | NotAsked;
  /** Under each of the three policies, in the order Always, IfNotPresent, Never. */
  readonly outcomes: readonly PolicyOutcome[];
  /** Under the policy that holds. */
  readonly outcome: PolicyOutcome;
}

/**
 * Which image would run on this node now, under each policy, and why. The kubelet has to decide, so this decides with
 * the same code; what a failing pull is called follows from what the registry said.
 * @see pull-policy.md 4 and 5
 */
export function explain(input: ExplainInput): Explanation {
  const { image, node, registry } = input;
  const { policy, origin, rule } = policyOf(input);
  const facts = readFacts(input);
  const outcomes = pullPolicies.map((each) =>
    facts instanceof LadingError ? invalidName(each, image, facts) : outcomeUnder(each, facts, input),
  );
  return {
    image,
    name: facts instanceof LadingError ? image : facts.name,
    policy,
    policyOrigin: origin,
    policyRule: rule,
    ...(node ? { node } : {}),
    registry,
    outcomes,
    outcome: outcomes[pullPolicies.indexOf(policy)]!,
  };
}

function policyOf({ image, explicitPolicy, assumedPolicy }: ExplainInput): Pick<DefaultedPolicy, 'policy' | 'rule'> & {
  origin: Explanation['policyOrigin'];
} {
  if (!assumedPolicy) return defaultPullPolicy(image, explicitPolicy);
  return { policy: assumedPolicy, origin: 'assumed', rule: 'this explanation asks what if' };
}

function readFacts({ image, node, registry, verified = true }: ExplainInput): ImageFacts | LadingError {
  try {
    parseImageName(image);
  } catch (error) {
    if (error instanceof LadingError) return error;
    throw error;
  }
  const reference = pullReference(parseReference(image));
  const present = node !== undefined && node.layersUnpacked >= node.layersTotal;
  return { image, name: formatReference(reference), reference, node, present, verified, registry };
}

const nothingToDownload = { layersToDownload: 0, bytesToDownload: 0 } as const;

function invalidName(policy: PullPolicy, image: string, { data, hint }: LadingError): PolicyOutcome {
  const detail = String(data.detail);
  const { error } = decidePull({ policy, present: 'unknown', nameError: detail });
  return {
    policy,
    starts: false,
    ...nothingToDownload,
    ...(error ? { error } : {}),
    ...describeInvalidName(image, detail, hint),
  };
}

function outcomeUnder(policy: PullPolicy, facts: ImageFacts, input: ExplainInput): PolicyOutcome {
  const decision = decidePull({ policy, present: facts.present, verified: facts.verified });
  const { action, error } = decision;
  if (action === 'pull') return cachedOutcome(decision, policy, facts, input) ?? outcomeOfPull(policy, facts);
  if (action === 'use-local' && facts.node) {
    return {
      policy,
      starts: true,
      digest: facts.node.digest,
      source: 'node',
      ...nothingToDownload,
      olderThanRegistry: isOlderThanRegistry(facts, facts.node),
      ...describeLocal(policy, facts, facts.node),
    };
  }
  return {
    policy,
    starts: false,
    ...nothingToDownload,
    ...(error ? { error } : {}),
    ...describeRefusal(policy, facts),
  };
}

/** What becomes of `Always` when the registry cannot be asked and pod or node allow what the node has. */
function cachedOutcome(
  decision: PullDecision,
  policy: PullPolicy,
  facts: ImageFacts,
  { whenUnreachable: when, atMs = 0 }: ExplainInput,
): PolicyOutcome | undefined {
  const { registry, node, present, verified } = facts;
  const isUnreachable = 'reachable' in registry && !registry.reachable && !registry.refused;
  if (policy !== 'Always' || !isUnreachable || !node || !present || !when) return undefined;
  const checkedAtMs = node.checkedAt === undefined ? undefined : Date.parse(node.checkedAt);
  const cached = decideCached(decision, { when, verified, checkedAtMs, atMs });
  if (!cached) return undefined;
  if (cached.action !== 'use-local') {
    const failed = outcomeOfPull(policy, facts);
    return { ...failed, reasons: [...failed.reasons, cached.reasons.at(-1)!] };
  }
  return {
    policy,
    starts: true,
    digest: node.digest,
    source: 'node',
    ...nothingToDownload,
    ...describeCached(policy, { ...facts, node, registry }, cached.reasons, lastKnownCurrent(checkedAtMs, atMs)),
  };
}

function outcomeOfPull(policy: PullPolicy, facts: ImageFacts): PolicyOutcome {
  const { node, registry } = facts;
  if ('asked' in registry)
    return { policy, starts: undefined, ...nothingToDownload, ...describeUnknown(policy, facts) };
  if (!registry.reachable) {
    const error = registry.refused ? 'ErrImagePull' : 'RegistryUnavailable';
    return { policy, starts: false, ...nothingToDownload, error, ...describeFailure(policy, facts, registry, error) };
  }
  return {
    policy,
    starts: true,
    digest: registry.digest,
    source: facts.present && node?.digest === registry.digest ? 'node' : 'registry',
    layersToDownload: registry.layersToFetch,
    bytesToDownload: registry.bytesToFetch,
    olderThanRegistry: false,
    ...describePull(policy, facts, registry),
  };
}
