import type { LogStream } from './cri-log.ts';
import { LogFollower } from './log-follower.ts';
import type { Pod } from './pod.ts';

/** One line that a container has written. */
export interface ContainerOutput {
  readonly pod: Pod;
  readonly container: string;
  readonly stream: LogStream;
  /** Without its line end. */
  readonly line: string;
}

/** The logs of a pod's containers, followed while somebody listens. */
export class PodLogs {
  readonly #pod: Pod;
  readonly #listener: ((output: ContainerOutput) => void) | undefined;
  readonly #followers = new Map<string, LogFollower>();

  constructor(pod: Pod, listener: ((output: ContainerOutput) => void) | undefined) {
    this.#pod = pod;
    this.#listener = listener;
  }

  follow(containerId: string, container: string, path: string): void {
    const listener = this.#listener;
    if (!listener) return;
    const pod = this.#pod;
    const onLine = (stream: LogStream, line: string) => listener({ pod, container, stream, line });
    this.#followers.set(containerId, new LogFollower(path, onLine));
  }

  /** Gives all that a container has written up to now. */
  async drain(containerId: string): Promise<void> {
    await this.#followers.get(containerId)?.drain();
  }

  /** Gives the rest of one container's log and lets go of it. */
  async close(containerId: string): Promise<void> {
    await this.#followers.get(containerId)?.close();
    this.#followers.delete(containerId);
  }

  async closeAll(): Promise<void> {
    await Promise.all([...this.#followers.keys()].map((id) => this.close(id)));
  }
}
