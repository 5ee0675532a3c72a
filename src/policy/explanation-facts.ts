import type { Digest, Reference } from '../oci/index.ts';

/** The image that a name means on this node. */
export interface NodeImageFacts {
  /** Of the manifest or index that the name points to. */
  readonly digest: Digest;
  readonly imageId: Digest;
  /** ISO 8601; when the name began to mean this digest here. */
  readonly pulledAt: string;
  /** ISO 8601; when the registry last said that the name means this digest. */
  readonly checkedAt?: string;
  /** Fewer than `layersTotal`: the image is incomplete, which counts as absent. */
  readonly layersUnpacked: number;
  readonly layersTotal: number;
  readonly platform?: string;
}

/** What the registry says about the name now. */
export type RegistryFacts =
  | {
      readonly reachable: true;
      readonly digest: Digest;
      /** Of the image that this node would take. */
      readonly imageId?: Digest;
      readonly responseMs: number;
      /** What this node lacks of the image. */
      readonly layersToFetch: number;
      readonly bytesToFetch: number;
      readonly platform?: string;
      /** What the name's index offers, of which the platform was chosen; undefined when it is one image. */
      readonly platforms?: readonly string[];
      /** What is strange about the image, one sentence each: it is for another platform. */
      readonly warnings?: readonly string[];
    }
  | {
      readonly reachable: false;
      /** Whether the registry answered and did not give the image; otherwise it could not be asked. */
      readonly refused: boolean;
      readonly reason: string;
      readonly code: string;
      readonly hint?: string;
    };

/** For names that no registry can be asked about, and where asking is not wanted. */
export interface NotAsked {
  readonly asked: false;
}

/** Everything that the sentences speak about. */
export interface ImageFacts {
  readonly image: string;
  readonly name: string;
  readonly reference: Reference;
  readonly node: NodeImageFacts | undefined;
  /** Whether the node has all of it; an incomplete image counts as absent. */
  readonly present: boolean;
  /** Whether the pod may use what the node has without showing the registry its credentials. */
  readonly verified: boolean;
  readonly registry: RegistryFacts | NotAsked;
}

/** Whether a text names the bytes themselves, which nobody can move. */
export function isByDigest({ reference }: ImageFacts): boolean {
  return reference.digest !== undefined;
}

/** Whether the registry now says something else than the node has; undefined when it does not say. */
export function isOlderThanRegistry(facts: ImageFacts, node: NodeImageFacts): boolean | undefined {
  if (isByDigest(facts)) return false;
  const { registry } = facts;
  return 'asked' in registry || !registry.reachable ? undefined : registry.digest !== node.digest;
}
