/** `--image-override NAME=DIGEST`: pods that run another digest of a name than the one that the name means now. */
import type { Pod } from '../agent/index.ts';
import { findImage } from '../engine/image-lookup.ts';
import { errorMessage, LadingError } from '../lib/errors.ts';
import {
  type Digest,
  formatReference,
  isDigest,
  parseReference,
  pullReference,
  type Reference,
  repositoryName,
  trimReference,
} from '../oci/index.ts';
import { defaultPullPolicy, type PullPolicy } from '../policy/index.ts';
import { isUnreachable, RegistryError } from '../registry/index.ts';
import type { Store } from '../store/index.ts';
import { parseArgument, UsageError } from './error-report.ts';
import type { Node } from './node.ts';

interface Override {
  readonly name: string;
  /** Normalised. */
  readonly reference: Reference;
  readonly digest: Digest;
}

/**
 * The pods with the digests that the overrides ask for. The pull policy is that of the manifest or, where that says
 * nothing, the one that Kubernetes gives to a digest.
 * @param texts `NAME=DIGEST`; the beginning of a digest will do where the name has had one such digest on this node
 * @throws UsageError for a text that cannot be read; LadingError `ERR_LADING_IMAGE_OVERRIDE` when no container uses the
 *   name, or neither node nor registry has the digest
 */
export async function overrideImages(
  pods: readonly Pod[],
  texts: readonly string[],
  { store, registry }: Pick<Node, 'store' | 'registry'>,
  signal: AbortSignal,
): Promise<Pod[]> {
  let overridden = [...pods];
  for (const override of texts.map((text) => parseOverride(text, store))) {
    const used = imagesOf(pods).filter((image) => isMeant(image, override));
    if (used.length === 0) {
      throw new LadingError('ERR_LADING_IMAGE_OVERRIDE', `no container uses the image ${override.name}`, {
        hint: `The images of these pods are ${[...new Set(imagesOf(pods))].join(', ')}.`,
      });
    }
    await requireSomewhere(override, { store, registry }, signal);
    overridden = overridden.map((pod) => withOverride(pod, override));
  }
  return overridden;
}

function parseOverride(text: string, store: Store): Override {
  const at = text.lastIndexOf('=');
  if (at <= 0) throw new UsageError(`--image-override ${text}: expected NAME=DIGEST`);
  const name = text.slice(0, at);
  const reference = pullReference(parseArgument(parseReference, name));
  return { name, reference, digest: wholeDigest(text.slice(at + 1), name, formatReference(reference), store) };
}

function wholeDigest(text: string, written: string, name: string, store: Store): Digest {
  if (isDigest(text)) return text;
  const hex = /^(?:sha256:)?([0-9a-f]{6,63})$/.exec(text)?.[1];
  if (hex === undefined) {
    throw new UsageError(`--image-override ${written}=${text}: ${text || 'nothing'} is no digest`, {
      hint: `\`lading history ${written}\` lists the digests that the name has had on this node.`,
    });
  }
  const digests = new Set(store.names.history(name).map(({ digest }) => digest));
  const found = [...digests].filter((digest) => digest.startsWith(`sha256:${hex}`));
  if (found.length === 1) return found[0]!;
  const problem = found.length === 0 ? 'has had no digest that begins' : `has had ${found.length} digests that begin`;
  throw new LadingError('ERR_LADING_IMAGE_OVERRIDE', `${written} ${problem} with ${text} on this node`, {
    hint: `\`lading history -o wide ${written}\` lists those that it has had.`,
  });
}

function imagesOf(pods: readonly Pod[]): string[] {
  return pods.flatMap(({ spec }) => [
    ...[...spec.initContainers, ...spec.containers, ...spec.ephemeralContainers].map(({ image }) => image),
    ...spec.imageVolumes.map(({ reference }) => reference),
  ]);
}

/** As written, or the same in full. */
function isMeant(image: string, { name, reference }: Override): boolean {
  if (image === name) return true;
  try {
    return formatReference(pullReference(parseReference(image))) === formatReference(reference);
  } catch {
    return false;
  }
}

async function requireSomewhere(
  { name, reference, digest }: Override,
  { store, registry }: Pick<Node, 'store' | 'registry'>,
  signal: AbortSignal,
): Promise<void> {
  if (findImage(store, `${repositoryName(reference)}@${digest}`)) return;
  const { tag: _, ...repository } = reference;
  try {
    await registry.resolve({ ...repository, digest }, { signal });
  } catch (error) {
    signal.throwIfAborted();
    // The pod may have credentials of its own; its pull will show.
    if (error instanceof RegistryError && ['unauthorized', 'denied'].includes(error.data.kind)) return;
    const there = isUnreachable(error) ? 'the registry cannot be asked for it' : 'the registry does not give it';
    const message = `${digest} of ${name} is not on this node (${store.root}), and ${there}: ${errorMessage(error)}`;
    throw new LadingError('ERR_LADING_IMAGE_OVERRIDE', message, {
      hint: `\`lading history ${name}\` lists the digests that the name has had on this node.`,
      cause: error,
    });
  }
}

function withOverride(pod: Pod, override: Override): Pod {
  const byDigest = (image: string) => `${trimReference(image)}@${override.digest}`;
  const container = (each: Pod['spec']['containers'][number]): typeof each => {
    if (!isMeant(each.image, override)) return each;
    const image = byDigest(each.image);
    return { ...each, image, imagePullPolicy: policyFor(image, each, each.imagePullPolicy), insteadOf: each.image };
  };
  const volume = (each: Pod['spec']['imageVolumes'][number]): typeof each => {
    if (!isMeant(each.reference, override)) return each;
    const reference = byDigest(each.reference);
    return { ...each, reference, pullPolicy: policyFor(reference, each, each.pullPolicy), insteadOf: each.reference };
  };
  const { initContainers, containers, ephemeralContainers, imageVolumes } = pod.spec;
  return {
    ...pod,
    spec: {
      ...pod.spec,
      initContainers: initContainers.map(container),
      containers: containers.map(container),
      ephemeralContainers: ephemeralContainers.map(container),
      imageVolumes: imageVolumes.map(volume),
    },
  };
}

function policyFor(
  image: string,
  { pullPolicyOrigin }: { readonly pullPolicyOrigin: 'written' | 'defaulted' },
  written: PullPolicy,
): PullPolicy {
  return pullPolicyOrigin === 'written' ? written : defaultPullPolicy(image, '').policy;
}
