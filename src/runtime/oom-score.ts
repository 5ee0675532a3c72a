import { readFileSync, writeFileSync } from 'node:fs';

const ownScore = '/proc/self/oom_score_adj';

/**
 * How likely the kernel is to kill a process when memory runs out, as far as this process may decide it: without
 * CAP_SYS_RESOURCE no process can be made safer than this one.
 * @see https://man7.org/linux/man-pages/man5/proc_pid_oom_score_adj.5.html
 */
export interface OomScoreLimits {
  readonly own: number;
  readonly mayLower: boolean;
}

/** Tries by lowering this process's own score for an instant. */
export function probeOomScore(): OomScoreLimits {
  const own = Number(readFileSync(ownScore, 'utf8'));
  const lowest = -1000;
  if (own === lowest) return { own, mayLower: true };
  try {
    writeFileSync(ownScore, String(own - 1));
  } catch {
    return { own, mayLower: false };
  }
  writeFileSync(ownScore, String(own));
  return { own, mayLower: true };
}

/** The wish where the kernel allows it, else the nearest value that it does. */
export function allowedOomScore(wanted: number | undefined, limits: OomScoreLimits): number | undefined {
  if (wanted === undefined || limits.mayLower) return wanted;
  return Math.max(wanted, limits.own);
}
