/** What a container is to a runtime, and what a runtime is to its callers. */

export interface UserIds {
  readonly uid: number;
  readonly gid: number;
  /** Supplementary groups; the primary group need not be among them. */
  readonly additionalGids: readonly number[];
}

export interface ProcessSpec {
  /** At least one. The first is a path, or a name that is looked up in the `PATH` of `env`. */
  readonly args: readonly string[];
  /** `NAME=value`, each name once. */
  readonly env: readonly string[];
  /** Absolute; made if the root file system lacks it. */
  readonly cwd: string;
  readonly user: UserIds;
  /** `CAP_NET_RAW` and so on, or `CAP_ALL`. What this process does not have itself is left out. */
  readonly capabilities: readonly string[];
  readonly noNewPrivileges: boolean;
  /** −1000 … 1000. Below what this process has only where the kernel allows it, else what this process has. */
  readonly oomScoreAdj?: number | undefined;
}

/** A file or directory of the node in the container, with all that is mounted below it. */
export interface RuntimeMount {
  /** Absolute and existing, on the node. */
  readonly source: string;
  /** Absolute, in the container; made if it is not there. */
  readonly destination: string;
  readonly readonly: boolean;
}

export interface RuntimeContainer {
  /** Unique on the node: letters, digits, `-`, `_`, `.`. */
  readonly id: string;
  /** A directory of this container alone; the runtime keeps its files there until `cleanUp`. */
  readonly bundleDir: string;
  /** The root file system, mounted or copied. */
  readonly rootfs: string;
  readonly process: ProcessSpec;
  readonly hostname: string;
  /** Win over the runtime's own mounts at the same place. */
  readonly mounts: readonly RuntimeMount[];
  readonly readonlyRootfs: boolean;
  /** Paths that the container sees empty. */
  readonly maskedPaths: readonly string[];
  readonly readonlyPaths: readonly string[];
  readonly seccomp: 'default' | 'unconfined';
  /**
   * `/a/b`, below the root of every cgroup hierarchy. `cleanUp` removes it and the folders above it that are empty
   * then. Not used where the runtime has no cgroups (see `limitations`).
   */
  readonly cgroupPath: string;
  /** Bytes; the container is killed when it needs more. Not used where the runtime has no cgroups. */
  readonly memoryLimit?: number | undefined;
  /** The output goes here in the CRI's log format; to nowhere when absent. */
  readonly logPath?: string | undefined;
}

export interface ContainerExit {
  /** What the process returned, or 128 + the signal that ended it. */
  readonly exitCode: number;
  /** The kernel killed a process of the container because of its memory limit. */
  readonly oomKilled: boolean;
}

export interface RunningContainer {
  /** Of the container's first process, as the node sees it. */
  readonly pid: number;
  /** Never rejects. All output is in the log by then. */
  readonly exited: Promise<ContainerExit>;
  /** Signals the first process; one that has ended is no error. */
  kill(signal: NodeJS.Signals): Promise<void>;
}

export type RuntimeChoice = 'runc' | 'crun' | 'embedded';

/**
 * Runs containers. One `start` per container, then, after `exited` or in another process after a crash, `cleanUp`:
 * it kills what still runs and removes what the runtime made (state, cgroups), and may be called again. The root file
 * system and the bundle directory belong to the caller.
 */
export interface ContainerRuntime {
  readonly name: RuntimeChoice;
  readonly version: string;
  /** `full`: cgroups and a seccomp filter are in force. `reduced`: see `limitations`. */
  readonly isolation: 'full' | 'reduced';
  /** What containers of this runtime lack here, a sentence each. */
  readonly limitations: readonly string[];
  /**
   * Resolves when the container's own program runs.
   * @throws LadingError `ERR_LADING_RUNTIME_START` with the runtime's reason; nothing is left behind then.
   * `ERR_LADING_RUNTIME_USER` when the user has no id in this user namespace
   */
  start(container: RuntimeContainer): Promise<RunningContainer>;
  /** @throws LadingError `ERR_LADING_RUNTIME_CLEANUP` when something cannot be removed */
  cleanUp(id: string, bundleDir: string): Promise<void>;
}
