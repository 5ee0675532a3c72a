import { anySignal } from '../lib/abort.ts';
import { BytePipe } from '../lib/byte-pipe.ts';
import { errorCode, LadingError } from '../lib/errors.ts';
import { freeMemory } from '../lib/free-memory.ts';
import { type Descriptor, Digester, digestAlgorithm } from '../oci/index.ts';
import { LayerError } from '../unpack/index.ts';
import { wrongContent } from './blob-task.ts';
import type { PullDependencies } from './dependencies.ts';
import type { Emit, LayerTask } from './layer-task.ts';
import { publish, unpackInto } from './unpack-task.ts';

/**
 * Fetches a layer straight into the unpacker, for a node that keeps no blobs of layers: nothing of the blob is on disk,
 * and an interrupted download begins anew. It is verified all the same before anything is published.
 * @returns bytes that came over the network
 * @throws as `ensureBlob` and `unpackLayer`
 */
export async function streamLayer(deps: PullDependencies, task: LayerTask, emit: Emit): Promise<number> {
  return task.downloads.run(async () => {
    for (let fetchedBytes = 0; ; ) {
      const attempt = await streamOnce(deps, task, emit);
      fetchedBytes += attempt.fetchedBytes;
      if (!attempt.tryAgain) return fetchedBytes;
    }
  });
}

interface Attempt {
  readonly fetchedBytes: number;
  /** The content was wrong, and another endpoint may have the right one. */
  readonly tryAgain: boolean;
}

async function streamOnce(deps: PullDependencies, task: LayerTask, emit: Emit): Promise<Attempt> {
  const { descriptor, diffId, options, dominates } = task;
  // First the right to unpack the layer: another process may be doing it.
  const writer = await deps.store.layers.prepare(diffId, options);
  if (!writer) return { fetchedBytes: 0, tryAgain: false };
  const pipe = new BytePipe();
  const stop = new AbortController();
  const signal = anySignal(options.signal, stop.signal);
  /** Aborted once the unpacker reads no more. */
  const reading = new AbortController();
  const unpackTask = { descriptor, diffId, dominates, piped: pipe.memory, options: { signal } };
  const unpacking = unpackInto(deps, writer, unpackTask);
  unpacking.catch((error: unknown) => {
    reading.abort(error);
    // What is wrong with a layer may be wrong with the blob: the rest of it will tell.
    if (!(error instanceof LayerError)) stop.abort(error);
  });
  const download: Download = { fetchedBytes: 0, reject: () => false };
  try {
    await fetchInto(pipe, deps, { task, signal, reading: reading.signal, download, emit });
    emit('unpacking', descriptor.size);
    await publish(await unpacking);
    return { fetchedBytes: download.fetchedBytes, tryAgain: false };
  } catch (error) {
    pipe.abandon();
    stop.abort(error);
    const unpacked = await unpacking.catch(() => undefined);
    await unpacked?.writer.discard();
    const tryAgain = wrongContent.has(errorCode(error) ?? '') && download.reject();
    if (!tryAgain) throw error;
    return { fetchedBytes: download.fetchedBytes, tryAgain };
  }
}

interface Download {
  fetchedBytes: number;
  reject: () => boolean;
}

interface Fetch {
  readonly task: LayerTask;
  readonly signal: AbortSignal;
  readonly reading: AbortSignal;
  readonly download: Download;
  readonly emit: Emit;
}

/** Resolves when all of the blob has gone through and was what its descriptor says (V1). */
async function fetchInto(pipe: BytePipe, { registry }: PullDependencies, fetch: Fetch): Promise<void> {
  const { task, signal, reading, download, emit } = fetch;
  const { descriptor, reference, options } = task;
  const { watch, credentials } = options;
  const digester = new Digester(digestAlgorithm(descriptor.digest));
  const { body, reject } = await registry.fetchBlob(reference, descriptor, {
    signal,
    watch,
    credentials,
  });
  download.reject = reject;
  const either = AbortSignal.any([signal, reading]);
  for await (const chunk of body) {
    download.fetchedBytes += chunk.byteLength;
    digester.update(chunk);
    if (!reading.aborted) {
      await pipe.write(chunk, either).catch((error: unknown) => {
        if (!reading.aborted || signal.aborted) throw error;
      });
    }
    freeMemory(chunk);
    emit('downloading', download.fetchedBytes);
  }
  verify(descriptor, digester, download.fetchedBytes);
  pipe.end();
}

function verify({ digest, size }: Descriptor, digester: Digester, fetched: number): void {
  const hint =
    'What was sent is not what was asked for; nothing of it was kept. Try again, or ask whoever runs the registry.';
  if (fetched !== size) {
    throw new LadingError('ERR_LADING_SIZE_MISMATCH', `${digest} should have ${size} bytes and has ${fetched}`, {
      hint,
      data: { expected: size, actual: fetched },
    });
  }
  const actual = digester.digest();
  if (actual === digest) return;
  throw new LadingError('ERR_LADING_DIGEST_MISMATCH', `content of ${digest} has the digest ${actual}`, {
    hint,
    data: { expected: digest, actual, size },
  });
}
