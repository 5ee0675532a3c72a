/** The words of an explanation: one sentence per outcome, and the single facts behind it. */
import { humanSize } from '../lib/human-size.ts';
import { type Digest, digestAlgorithm, digestHex, repositoryName } from '../oci/index.ts';
import { policyReasons, type Reason } from './decision.ts';
import type { PullPolicy } from './default-policy.ts';
import {
  type ImageFacts,
  isByDigest,
  isOlderThanRegistry,
  type NodeImageFacts,
  type RegistryFacts,
} from './explanation-facts.ts';
import type { KubeletReason } from './pull-error.ts';

export interface Description {
  readonly sentence: string;
  readonly reasons: readonly Reason[];
  readonly hint?: string;
}

type RegistryAnswer = Extract<RegistryFacts, { reachable: true }>;
type RegistryFailure = Extract<RegistryFacts, { reachable: false }>;

/** Enough of a digest to tell it from others at a glance. */
const shownHexDigits = 12;

/** For a container that starts from what the node has. */
export function describeLocal(policy: PullPolicy, facts: ImageFacts, node: NodeImageFacts): Description {
  const held = isByDigest(facts) ? shownName(facts) : `${short(node.digest)} under ${shownName(facts)}`;
  const older = isOlderThanRegistry(facts, node) === true;
  return {
    sentence: `${doesNotAsk(policy)}: this node has ${held} (pulled ${shownTime(node.pulledAt)}), so that runs${comparison(facts, node)}.`,
    reasons: [policyReasons[policy], nodeReason(facts), registryReason(facts), ...(older ? [runsOlder] : [])],
    ...(older
      ? { hint: `To run what the registry says now, pull it on this node (lading pull ${facts.image}) or use Always.` }
      : {}),
  };
}

/** For a container that starts after a pull, which may find everything here already. */
export function describePull(policy: PullPolicy, facts: ImageFacts, answer: RegistryAnswer): Description {
  const rest = policy === 'Always' ? alwaysAnswer(facts, answer) : absentAnswer(facts, answer);
  return {
    sentence: `${asks(policy, facts)}${rest}.`,
    reasons: [policyReasons[policy], nodeReason(facts), registryReason(facts), downloadReason(answer)],
  };
}

/** For a container that does not start because the pull that its policy asks for fails. */
export function describeFailure(
  policy: PullPolicy,
  facts: ImageFacts,
  failure: RegistryFailure,
  error: KubeletReason,
): Description {
  const which = policy === 'Always' ? ', which' : '; the registry';
  const though = facts.present ? `, although ${shownLocal(facts)} is on this node` : '';
  const alternative =
    facts.present && facts.verified ? 'With IfNotPresent the container would start from what this node has.' : '';
  const hint = [failure.hint ?? '', alternative].filter((part) => part !== '').join(' ');
  return {
    sentence: `${asks(policy, facts)}${which} ${failureClause(failure)}, so the container does not start (${error})${though}.`,
    reasons: [policyReasons[policy], nodeReason(facts), registryReason(facts), triedAgain],
    ...(hint === '' ? {} : { hint }),
  };
}

/** For a container that starts from what the node has because the registry cannot be asked, which it is allowed to. */
export function describeCached(
  policy: PullPolicy,
  facts: ImageFacts & { node: NodeImageFacts; registry: RegistryFailure },
  reasons: readonly Reason[],
  age: string,
): Description {
  const { node, registry } = facts;
  return {
    sentence: `${asks(policy, facts)}, which ${failureClause(registry)}; what this node has may be used meanwhile, so ${short(node.digest)} runs: ${age}.`,
    reasons: [nodeReason(facts), registryReason(facts), ...reasons],
    hint: 'The node says whether it was stale as soon as the registry answers again (lading events --follow).',
  };
}

/** For a container that must not start: `Never` without a complete image on the node. */
export function describeRefusal(policy: PullPolicy, facts: ImageFacts): Description {
  return {
    sentence: `${doesNotAsk(policy)}, and ${lack(facts)}, so the container does not start (ErrImageNeverPull).`,
    reasons: [policyReasons[policy], nodeReason(facts), registryReason(facts), lookedAtAgain],
    hint: facts.present
      ? 'Give the pod the pull secret that the image was pulled with, or use IfNotPresent.'
      : `Bring the image to this node first (lading pull ${facts.image}), or use IfNotPresent.`,
  };
}

/** For a container whose start depends on a registry that nobody asked. */
export function describeUnknown(policy: PullPolicy, facts: ImageFacts): Description {
  const which = policy === 'Always' ? ', which' : '; the registry';
  return {
    sentence: `${asks(policy, facts)}${which} was not asked for this explanation, so what would run is not known.`,
    reasons: [policyReasons[policy], nodeReason(facts), registryReason(facts)],
  };
}

/** For a name that cannot be read; every policy fails on it. */
export function describeInvalidName(image: string, detail: string, hint: string | undefined): Description {
  const text = `The image name ${JSON.stringify(image)} cannot be read (${detail})`;
  return {
    sentence: `${text}, so the container does not start (InvalidImageName).`,
    reasons: [{ fact: 'name-invalid', text: `${text}.` }],
    ...(hint === undefined ? {} : { hint }),
  };
}

/** "Never does not ask" would say the opposite of what it means. */
function doesNotAsk(policy: PullPolicy): string {
  return policy === 'Never' ? 'With Never the registry is not asked' : `${policy} does not ask the registry`;
}

function asks(policy: PullPolicy, facts: ImageFacts): string {
  if (policy === 'Always')
    return isByDigest(facts) ? 'Even for a digest Always asks the registry' : 'Always asks the registry';
  return `${policy} asks the registry, because ${lack(facts)}`;
}

function alwaysAnswer(facts: ImageFacts, answer: RegistryAnswer): string {
  const { node } = facts;
  const download = downloadClause(answer);
  const says = isByDigest(facts) ? ', which has it' : `, which says ${short(answer.digest)}`;
  if (node && node.digest !== answer.digest) {
    const stored = answer.layersToFetch > 0 ? '' : 'all its layers are here, so ';
    return `${says}, not the ${short(node.digest)} that this node has: ${stored}${download} and the registry's image starts`;
  }
  if (!facts.present) return `${says}: ${lack(facts)}${butStored(facts, answer)}, so ${download} and it starts`;
  const already = answer.layersToFetch > 0 ? 'only in part' : 'already';
  return `${says}: that digest is on this node ${already}, so ${download} and it starts`;
}

function absentAnswer(facts: ImageFacts, answer: RegistryAnswer): string {
  const says = isByDigest(facts) ? 'has it' : `says ${short(answer.digest)}`;
  return `${butStored(facts, answer)}; the registry ${says}, so ${downloadClause(answer)} and it starts`;
}

/** Why the node cannot run the image without a pull. */
function lack(facts: ImageFacts): string {
  const { node } = facts;
  if (facts.present) return `this node does not know that the pod's credentials give access to ${shownName(facts)}`;
  if (!node) return `${shownName(facts)} is not on this node`;
  const layers = `${node.layersUnpacked} of ${count(node.layersTotal, 'layer')} unpacked`;
  return `${shownName(facts)} is on this node only in part (${layers})`;
}

/** Why nothing much is downloaded although the node lacks the image. */
function butStored({ node, present }: ImageFacts, { digest, layersToFetch }: RegistryAnswer): string {
  if (layersToFetch > 0 || present) return '';
  return node?.digest === digest ? ', but the rest is stored here' : ', but all its layers are';
}

/** What the registry makes of an image that runs without being asked about. */
function comparison(facts: ImageFacts, node: NodeImageFacts): string {
  const { registry } = facts;
  if (isByDigest(facts)) return '; a digest always means the same bytes';
  if ('asked' in registry) return '; what the registry says now is not known';
  if (!registry.reachable && !registry.refused) return ', even though the registry cannot be reached now';
  if (!registry.reachable) return `, even though the registry does not give the image now (${clause(registry.reason)})`;
  if (registry.digest === node.digest) return ', and the registry says the same digest now';
  return `, although the registry now says ${short(registry.digest)}`;
}

function downloadClause({ layersToFetch, bytesToFetch }: RegistryAnswer): string {
  if (layersToFetch === 1) return `1 layer (${humanSize(bytesToFetch)}) is downloaded`;
  if (layersToFetch > 1) return `${layersToFetch} layers (${humanSize(bytesToFetch)}) are downloaded`;
  return bytesToFetch > 0 ? `only metadata (${humanSize(bytesToFetch)}) is downloaded` : 'nothing is downloaded';
}

function failureClause(failure: RegistryFailure): string {
  return `${failure.refused ? 'does not give the image' : 'cannot be reached'} (${clause(failure.reason)})`;
}

const runsOlder: Reason = { fact: 'older-than-registry', text: 'What runs is not what the registry says now.' };
const triedAgain: Reason = {
  fact: 'tried-again-with-back-off',
  text: 'The kubelet tries again after 10 s, then after growing delays of up to 5 minutes (ImagePullBackOff).',
};
const lookedAtAgain: Reason = {
  fact: 'looked-at-again',
  text: 'The kubelet looks at the node again at every sync of the pod, without growing delays.',
};

function nodeReason(facts: ImageFacts): Reason {
  const { node, present } = facts;
  if (!node) return { fact: 'node-absent', text: `This node does not have ${shownName(facts)}.` };
  if (!present) {
    const layers = `${node.layersUnpacked} of its ${count(node.layersTotal, 'layer')}`;
    return {
      fact: 'node-incomplete',
      text: `This node has ${shownLocal(facts)} only in part (${layers}), which counts as absent.`,
    };
  }
  const unverified = facts.verified ? '' : ', but does not know that the credentials of this pod give access to it';
  const checked = node.checkedAt === undefined ? '' : `, last confirmed by the registry ${shownTime(node.checkedAt)}`;
  return {
    fact: facts.verified ? 'node-present' : 'node-not-verified',
    text: `This node has ${shownLocal(facts)}, pulled ${shownTime(node.pulledAt)}${checked}${unverified}.`,
  };
}

function registryReason(facts: ImageFacts): Reason {
  const { registry, node } = facts;
  if ('asked' in registry)
    return { fact: 'registry-not-asked', text: 'The registry was not asked for this explanation.' };
  if (!registry.reachable) {
    return {
      fact: registry.refused ? 'registry-refused' : 'registry-unreachable',
      text: `The registry ${failureClause(registry)}.`,
    };
  }
  const says = `The registry says ${short(registry.digest)}`;
  const after = ` (it answered in ${Math.max(1, Math.round(registry.responseMs))} ms)`;
  if (!node) return { fact: 'registry-has', text: `${says}${after}.` };
  return node.digest === registry.digest
    ? { fact: 'registry-same', text: `${says}, as this node does${after}.` }
    : { fact: 'registry-different', text: `${says}, this node has ${short(node.digest)}${after}.` };
}

function downloadReason(answer: RegistryAnswer): Reason {
  const clause = downloadClause(answer);
  const fact = answer.layersToFetch > 0 || answer.bytesToFetch > 0 ? 'download' : 'nothing-to-download';
  return { fact, text: `${clause.charAt(0).toUpperCase()}${clause.slice(1)}.` };
}

function shownLocal(facts: ImageFacts): string {
  return facts.node && !isByDigest(facts) ? short(facts.node.digest) : shownName(facts);
}

function shownName({ name, reference }: ImageFacts): string {
  return reference.digest === undefined ? name : `${repositoryName(reference)}@${short(reference.digest)}`;
}

function short(digest: Digest): string {
  return `${digestAlgorithm(digest)}:${digestHex(digest).slice(0, shownHexDigits)}…`;
}

function shownTime(iso: string): string {
  const date = new Date(iso);
  return Number.isNaN(date.getTime()) ? iso : `${date.toISOString().slice(0, 16).replace('T', ' ')} UTC`;
}

/** Someone else's message as a part of a sentence. */
function clause(message: string): string {
  return message.replace(/\s+/g, ' ').trim().replace(/\.$/, '');
}

function count(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? '' : 's'}`;
}
