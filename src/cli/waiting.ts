import type { Cli } from './cli.ts';

/** What takes less looks like no wait. */
const unsaidMs = 2000;

/** Does something, and says at a terminal what is waited for when that takes long: a command would look stuck there. */
export async function sayingWhatFor<T>(
  { stderr }: Pick<Cli, 'stderr'>,
  what: string,
  work: () => Promise<T>,
): Promise<T> {
  if (!stderr.isTTY) return work();
  const timer = setTimeout(() => stderr.write(`waiting for ${what}\n`), unsaidMs);
  try {
    return await work();
  } finally {
    clearTimeout(timer);
  }
}
