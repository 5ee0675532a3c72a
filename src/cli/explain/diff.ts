/** What runs now beside what would run after a restart, or on another node. */
import { readFile } from 'node:fs/promises';
import { LadingError } from '../../lib/errors.ts';
import { fileProblem } from '../../lib/file-problem.ts';
import type { ExplainedContainer } from './explain-subject.ts';

/** One side of a comparison. */
export interface DiffSide {
  /** `running`, `this node`, `after a restart`, or the other node. */
  readonly what: string;
  /** What runs; absent when nothing does, or nobody knows. */
  readonly digest?: string;
  readonly imageId?: string;
  /** Why nothing runs. */
  readonly error?: string;
}

export interface Diff {
  readonly from: DiffSide;
  readonly to: DiffSide;
  /** Whether both are the same image; absent when that is not known. */
  readonly same?: boolean;
  /** All of it in one sentence. */
  readonly sentence: string;
}

/** @param other explanation of the same on another node, when that is compared */
export function diffOf(item: ExplainedContainer, other?: { node: string; item: ExplainedContainer | undefined }): Diff {
  const running = item.running && runningSide(item.running);
  const from = running ?? (other ? outcomeSide('this node', item) : { what: 'running', error: 'it does not run now' });
  const to = other ? otherSide(other) : outcomeSide('after a restart', item);
  const same = isSame(from, to);
  return { from, to, ...(same === undefined ? {} : { same }), sentence: sentenceOf(from, to, same) };
}

function otherSide({ node, item }: { node: string; item: ExplainedContainer | undefined }): DiffSide {
  return item ? outcomeSide(node, item) : { what: node, error: 'nothing is said about it' };
}

function runningSide({ status, digest, imageId }: NonNullable<ExplainedContainer['running']>): DiffSide {
  return {
    what: 'running',
    ...(digest === undefined ? { error: status } : { digest }),
    ...(imageId === undefined ? {} : { imageId }),
  };
}

function outcomeSide(what: string, { outcome, node, registry }: ExplainedContainer): DiffSide {
  const { starts, digest, source, error } = outcome;
  if (!starts || digest === undefined) return { what, error: error ?? 'it is not known' };
  const fromRegistry = 'reachable' in registry && registry.reachable ? registry.imageId : undefined;
  const imageId = source === 'node' ? node?.imageId : fromRegistry;
  return { what, digest, ...(imageId === undefined ? {} : { imageId }) };
}

/** By the image itself where both are known: an index of several platforms has another digest than its parts. */
function isSame(from: DiffSide, to: DiffSide): boolean | undefined {
  if (from.digest === undefined || to.digest === undefined) return undefined;
  if (from.digest === to.digest) return true;
  if (from.imageId === undefined || to.imageId === undefined) return undefined;
  return from.imageId === to.imageId;
}

function sentenceOf(from: DiffSide, to: DiffSide, same: boolean | undefined): string {
  const place = to.what === 'after a restart' ? 'after a restart' : `on ${to.what}`;
  const now = from.what === 'running' ? 'runs now' : 'would run here';
  if (to.digest === undefined) {
    const said = to.error === 'nothing is said about it' || to.error === 'it is not known';
    if (said) return `What would run ${place} is not known.`;
    return `It would not start ${place} (${to.error})${from.digest === undefined ? '' : `; ${short(from.digest)} ${now}`}.`;
  }
  if (from.digest === undefined) {
    const nothing =
      from.what === 'running' ? `Nothing runs now (${from.error})` : `It would not start here (${from.error})`;
    return `${nothing}; ${place} ${short(to.digest)} would run.`;
  }
  if (same) return `The same image ${now} and ${place}: ${short(from.digest)}.`;
  const other = same === undefined ? 'what is called' : 'another image';
  return `${short(from.digest)} ${now}; ${place} ${other}, ${short(to.digest)}, would run.`;
}

function short(digest: string): string {
  return `${digest.slice(0, 'sha256:'.length + 12)}…`;
}

/**
 * What `lading explain -o json` has said on another node.
 * @throws LadingError `ERR_LADING_FILE_UNREADABLE`, `ERR_LADING_EXPLANATION_INVALID`
 */
export async function readExplanations(
  file: string,
): Promise<{ readonly node: string; readonly items: readonly ExplainedContainer[] }> {
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (error) {
    throw new LadingError('ERR_LADING_FILE_UNREADABLE', `cannot read ${file}: ${fileProblem(error)}`, {
      cause: error,
    });
  }
  try {
    const { kind, node, items } = JSON.parse(text) as { kind?: unknown; node: string; items: ExplainedContainer[] };
    if (kind === 'ExplanationList' && Array.isArray(items)) return { node: `${node} (${file})`, items };
  } catch {
    // Told below.
  }
  throw new LadingError('ERR_LADING_EXPLANATION_INVALID', `${file} is no explanation of another node`, {
    hint: 'Make it there: lading explain -o json FILE|IMAGE… > node.json',
  });
}

/** The explanation of the same container, image volume or image. */
export function sameSubject(
  items: readonly ExplainedContainer[],
  { pod, container, volume, image, name }: ExplainedContainer,
): ExplainedContainer | undefined {
  return items.find((item) =>
    pod === undefined
      ? item.name === name || item.image === image
      : item.pod === pod && item.container === container && item.volume === volume,
  );
}
