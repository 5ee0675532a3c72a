/** What the API speaks: JSON of these forms. Times are ISO 8601. */

export interface ApiPodContainer {
  readonly name: string;
  readonly kind: 'initContainers' | 'containers' | 'ephemeralContainers';
  /** As in the pod. */
  readonly image: string;
  /** `REPOSITORY@DIGEST` of what the newest instance runs; empty while there is none. */
  readonly imageID: string;
  /** The runtime's id of it; empty while there is none. */
  readonly imageId: string;
  readonly imagePullPolicy: string;
  /** `Running`, the waiting reason (`ImagePullBackOff`), or how it ended (`Completed`, `Error`): as kubectl shows it. */
  readonly status: string;
  /** Why it waits, or how it ended; empty when there is nothing to say. */
  readonly message: string;
  readonly startedAt?: string;
  readonly restartCount: number;
  readonly containerID: string;
}

export interface ApiBackOff {
  readonly image: string;
  /** Milliseconds until the next attempt. */
  readonly leftMs: number;
  /** `<error>: <message>` of the last attempt, when it is known. */
  readonly failure?: string | undefined;
}

export interface ApiPod {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  readonly phase: string;
  /** Of the process that runs it. */
  readonly pid: number;
  readonly containers: readonly ApiPodContainer[];
  /** Pulls that wait for their next attempt. */
  readonly backOffs: readonly ApiBackOff[];
}

/** The answer to a retry. */
export interface RetriedPod {
  readonly namespace: string;
  readonly name: string;
  /** Containers that waited, and why. */
  readonly containers: readonly { readonly name: string; readonly reason: string; readonly message: string }[];
  /** The delays that were forgotten. */
  readonly backOffs: readonly ApiBackOff[];
}

/** Of answers that are errors. */
export interface ApiError {
  readonly code: string;
  readonly message: string;
  readonly hint?: string | undefined;
}
