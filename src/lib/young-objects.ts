/** So many bytes of chunks may wait for their collection. */
const pileBytes = 8 * 1024 * 1024;

let piled = 0;
let collect: (() => void) | undefined;

/**
 * Told of chunks that go by and that only the garbage collector can tell to be unused, those given to a socket say.
 * Left to itself it lets 60 MiB of them pile up. Asked for each 8 MiB it costs less than it saves, as memory that is
 * still in the processor's caches is used again: a push of 2 GiB took 120 instead of 165 MiB, and 1.6 s of the
 * processor instead of 2.3 s.
 */
export function chunkPasses(bytes: number): void {
  piled += bytes;
  if (piled < pileBytes) return;
  piled = 0;
  collect ??= youngCollector();
  collect();
}

/** Told of such a chunk whose memory was given back already. */
export function chunkFreed(bytes: number): void {
  piled = Math.max(0, piled - bytes);
}

function youngCollector(): () => void {
  const { setFlagsFromString } = process.getBuiltinModule('node:v8');
  const { runInNewContext } = process.getBuiltinModule('node:vm');
  setFlagsFromString('--expose-gc');
  const gc: (options: { type: 'minor' }) => void = runInNewContext('gc');
  setFlagsFromString('--no-expose-gc');
  return () => gc({ type: 'minor' });
}
