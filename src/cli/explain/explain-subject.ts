/** One container, image volume or image, explained on one node: the facts are gathered here and judged by `policy`. */
import type { CredentialPlugins } from '../../agent/index.ts';
import type { ApiPod } from '../../api/index.ts';
import { formatReference, parseReference, pullReference, type Reference } from '../../oci/index.ts';
import {
  type Explanation,
  explain,
  type KubeletConfig,
  type PullPolicy,
  type RegistryFacts,
  verificationPolicy,
  type WhenUnreachable,
  whenUnreachable,
} from '../../policy/index.ts';
import { type MirrorTable, planRequests, type RequestRecord } from '../../registry/index.ts';
import type { Cli } from '../cli.ts';
import { localFacts, registryFacts } from '../image-facts.ts';
import { type Node, nodeKeyring } from '../node.ts';
import { sayingWhatFor } from '../waiting.ts';
import { type CredentialFacts, credentialsFor } from './credentials.ts';
import type { GcRisk, GcRisks } from './gc-risk.ts';
import type { Subject } from './subjects.ts';

/** A place where the registry's answer is looked for: a mirror, or the registry itself. */
export interface EndpointFacts {
  readonly url: string;
  readonly result: 'answered' | 'refused' | 'no-answer' | 'not-asked';
  /** Of its last answer. */
  readonly status?: number;
}

/** A container that runs, or waits, in a `lading run` now. */
export interface RunningFacts {
  /** As `lading ps` says it: `Running`, `ImagePullBackOff`. */
  readonly status: string;
  /** What it runs; absent while there is no instance. */
  readonly digest?: string;
  readonly imageId?: string;
  readonly since?: string;
}

export interface BackOffFacts {
  /** Milliseconds until the next pull is allowed. */
  readonly leftMs: number;
  /** `<error>: <message>` of the last one. */
  readonly failure?: string | undefined;
}

/** One item of `-o json`. @see docs/explain.md */
export interface ExplainedContainer extends Explanation {
  readonly file?: string;
  readonly pod?: string;
  readonly container?: string;
  readonly volume?: string;
  readonly insteadOf?: string;
  readonly running?: RunningFacts;
  readonly backOff?: BackOffFacts;
  readonly credentials?: CredentialFacts;
  readonly endpoints?: readonly EndpointFacts[];
  readonly garbageCollection?: GcRisk;
  /** Only when pod or node allow cached images. */
  readonly whenRegistryUnreachable?: { readonly useCached: true; readonly maxAgeMs?: number };
}

export interface ExplainContext {
  readonly node: Node;
  /** What the client of the node asked, in order; emptied here. */
  readonly requests: RequestRecord[];
  readonly mirrors: MirrorTable | undefined;
  readonly config: KubeletConfig;
  readonly gcRisks: GcRisks;
  readonly whenUnreachable: WhenUnreachable;
  readonly plugins: CredentialPlugins | undefined;
  /** Pods that run on the node. */
  readonly running: readonly ApiPod[];
  readonly assumedPolicy: PullPolicy | undefined;
  readonly signal: AbortSignal;
  /** Says what is waited for. */
  readonly stderr: Cli['stderr'];
}

export async function explainSubject(context: ExplainContext, subject: Subject): Promise<ExplainedContainer> {
  const { image, policy: explicitPolicy, pod } = subject;
  const { assumedPolicy } = context;
  const identity = identityOf(subject);
  const now = runningFacts(context.running, subject);
  let reference: Reference;
  try {
    reference = pullReference(parseReference(image));
  } catch {
    return { ...identity, ...explain({ image, explicitPolicy, assumedPolicy, registry: { asked: false } }), ...now };
  }
  const { store } = context.node;
  const local = await localFacts(store, reference);
  const isComplete = local !== undefined && local.layersUnpacked >= local.layersTotal;
  const { imagePullCredentialsVerificationPolicy, preloadedImagesVerificationAllowlist } = context.config;
  const { facts, credentials } = await credentialsFor(
    {
      root: store.root,
      keyring: nodeKeyring(store.root),
      plugins: context.plugins,
      verification: verificationPolicy(imagePullCredentialsVerificationPolicy, preloadedImagesVerificationAllowlist),
    },
    { pod, image },
    reference,
    isComplete ? local.imageId : undefined,
  );
  context.requests.length = 0;
  const answer = `the registry to say what ${formatReference(reference)} is`;
  const { registry, accepted } = await sayingWhatFor(context, answer, () =>
    registryFacts(context.node, reference, { signal: context.signal, credentials }),
  );
  const when = whenUnreachable(pod.metadata.annotations, context.whenUnreachable);
  const explanation = explain({
    image,
    explicitPolicy,
    assumedPolicy,
    node: local,
    registry,
    verified: facts.verified,
    whenUnreachable: when,
    atMs: Date.now(),
  });
  const acceptedSource = accepted && facts.offered[credentials.indexOf(accepted)]?.source;
  const garbageCollection = local && (await context.gcRisks.of(local.imageId).catch(() => undefined));
  return {
    ...identity,
    ...explanation,
    ...now,
    credentials: { ...facts, ...(acceptedSource === undefined ? {} : { accepted: acceptedSource }) },
    endpoints: await endpointsOf(context, reference, registry),
    ...(garbageCollection ? { garbageCollection } : {}),
    ...(when.useCached
      ? {
          whenRegistryUnreachable: {
            useCached: true,
            ...(when.maxAgeMs === undefined ? {} : { maxAgeMs: when.maxAgeMs }),
          },
        }
      : {}),
  };
}

function identityOf({ file, pod, container, volume, insteadOf }: Subject) {
  return {
    ...(file === undefined ? {} : { file, pod: pod.metadata.name }),
    ...(container === undefined ? {} : { container }),
    ...(volume === undefined ? {} : { volume }),
    ...(insteadOf === undefined ? {} : { insteadOf }),
  };
}

function runningFacts(
  running: readonly ApiPod[],
  { file, pod: { metadata }, container, image }: Subject,
): Pick<ExplainedContainer, 'running' | 'backOff'> {
  const pod = running.find(({ namespace, name }) => namespace === metadata.namespace && name === metadata.name);
  if (!pod || file === undefined) return {};
  const one = pod.containers.find(({ name }) => name === container);
  const backOff = pod.backOffs.find((each) => each.image === image);
  return {
    ...(one
      ? {
          running: {
            status: one.status,
            ...(one.imageID === '' ? {} : { digest: one.imageID.slice(one.imageID.indexOf('@') + 1) }),
            ...(one.imageId === '' ? {} : { imageId: one.imageId }),
            ...(one.startedAt === undefined ? {} : { since: one.startedAt }),
          },
        }
      : {}),
    ...(backOff ? { backOff: { leftMs: backOff.leftMs, failure: backOff.failure } } : {}),
  };
}

/** Where the client was configured to look for the manifest, in order, and what became of it. */
async function endpointsOf(
  { mirrors, requests }: ExplainContext,
  reference: Reference,
  registry: RegistryFacts,
): Promise<EndpointFacts[]> {
  const { manifest } = await planRequests(reference, mirrors ? { mirrors } : {}).catch(() => ({ manifest: [] }));
  return manifest.map((withQuery) => {
    const { origin, host, pathname } = new URL(withQuery);
    const url = `${origin}${pathname}`;
    const asked = requests.filter((each) => each.host === host && each.path.split('?')[0] === pathname);
    const last = asked.at(-1);
    if (!last) {
      const wasTried = !registry.reachable && manifest.length === 1;
      return { url, result: wasTried ? 'no-answer' : 'not-asked' };
    }
    const { status } = last;
    if (status === undefined || status >= 500 || status === 429) {
      return { url, result: 'no-answer', ...(status === undefined ? {} : { status }) };
    }
    return { url, result: status < 400 ? 'answered' : 'refused', status };
  });
}
