import type { ContainerKind, Pod } from './pod.ts';

/** What happened to a pod, in the words of Kubernetes. */
export interface KubeEvent {
  readonly type: 'Normal' | 'Warning';
  /** The kubelet's reason, for example `Pulled`. */
  readonly reason: string;
  readonly message: string;
  /** What to do about it, where somebody knows; not a part of events in Kubernetes. */
  readonly hint?: string;
  readonly object: {
    readonly kind: 'Pod';
    readonly namespace: string;
    readonly name: string;
    readonly uid: string;
    /** `spec.containers{web}`; absent when the event is about the pod as a whole. */
    readonly fieldPath?: string;
  };
  /** Time of the latest occurrence, milliseconds since the epoch. */
  readonly atMs: number;
  /** How often the same thing has happened to the same object, this time included. */
  readonly count: number;
}

/** `Normal Pulled …`: what an event says. */
export type EventText = Pick<KubeEvent, 'type' | 'reason' | 'message'> & { readonly hint?: string | undefined };

/** How many different events are counted; the client of the kubelet keeps as many. */
const maxCounted = 4096;

/** Sends events to a listener and counts those that repeat. */
export class EventRecorder {
  readonly #now: () => number;
  readonly #listener: (event: KubeEvent) => void;
  readonly #counts = new Map<string, number>();

  constructor(now: () => number, listener: (event: KubeEvent) => void) {
    this.#now = now;
    this.#listener = listener;
  }

  /** @param fieldPath the part of the pod that the event is about, or undefined for the pod */
  record(pod: Pod, fieldPath: string | undefined, { type, reason, message, hint }: EventText): void {
    const { namespace, name, uid } = pod.metadata;
    const key = JSON.stringify([uid, fieldPath, type, reason, message]);
    const count = (this.#counts.get(key) ?? 0) + 1;
    // Reinsertion moves the key to the end: the first key is the one that has been quiet for longest.
    this.#counts.delete(key);
    this.#counts.set(key, count);
    if (this.#counts.size > maxCounted) this.#counts.delete(this.#counts.keys().next().value!);
    const object = { kind: 'Pod' as const, namespace, name, uid, ...(fieldPath === undefined ? {} : { fieldPath }) };
    const advice = hint === undefined ? {} : { hint };
    this.#listener({ type, reason, message, ...advice, object, atMs: this.#now(), count });
  }
}

/** `spec.containers{web}`: how the kubelet names a container in events. */
export function containerFieldPath({
  kind,
  container,
}: {
  readonly kind: ContainerKind;
  readonly container: { readonly name: string };
}): string {
  return `spec.${kind}{${container.name}}`;
}
