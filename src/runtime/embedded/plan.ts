/** What `init.ts` is told, as JSON in a file: everything about one container, decided before. */
export interface InitPlan {
  /** A FIFO that `init.ts` writes `InitStatus` lines to; it closes when the container's program runs. */
  readonly statusFile: string;
  readonly rootfs: string;
  readonly hostname: string;
  /** Sources resolved, in the order in which they are mounted. */
  readonly mounts: readonly PlannedMount[];
  readonly readonlyRootfs: boolean;
  readonly maskedPaths: readonly string[];
  readonly readonlyPaths: readonly string[];
  readonly inUserNamespace: boolean;
  /** Group of terminals, where this group exists. */
  readonly terminalGid?: number;
  readonly args: readonly string[];
  readonly env: readonly string[];
  readonly cwd: string;
  readonly uid: number;
  readonly gid: number;
  /** Undefined: groups may not be set here. */
  readonly groups?: readonly number[];
  /** Numbers. */
  readonly capabilities: readonly number[];
  readonly noNewPrivileges: boolean;
  readonly oomScoreAdj?: number;
}

export interface PlannedMount {
  readonly source: string;
  readonly destination: string;
  readonly kind: 'directory' | 'file';
  readonly readonly: boolean;
}

/** One line each. `exec` is the last word unless an error follows it. */
export type InitStatus =
  | { readonly state: 'setup'; readonly pid: number }
  | { readonly state: 'exec' }
  | { readonly state: 'failed'; readonly reason: string };
