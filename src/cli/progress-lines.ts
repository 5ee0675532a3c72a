/** The lines that a live view shows; pure, so that they can be tested without a terminal. */
import { humanDuration, humanSize, plural, shortDigest } from './human.ts';
import { type ImageProgress, isMoving, type LayerLine, type LayerState } from './progress-model.ts';

export const stateWords: Readonly<Record<LayerState, string>> = {
  waiting: 'waiting',
  downloading: 'downloading',
  copying: 'copying',
  verifying: 'verifying',
  unpacking: 'unpacking',
  done: 'done',
  exists: 'already there',
};

const stateWidth = Math.max(...Object.values(stateWords).map((word) => word.length));
const widestBar = 30;
/** A bar of less than this says nothing. */
const narrowestBar = 8;
/** What stands in a line beside the bar: indent, digest, state, `12.3MB/45.6MB`, `12.3MB/s`, and the blanks between. */
const besideBar = 2 + 12 + 2 + stateWidth + 2 + 2 + 2 + 15 + 2 + 9;

export interface Viewport {
  readonly columns: number;
  readonly rows: number;
}

/** A heading, a line per layer and a total for each image; layers that are finished share a line where rows are short. */
export function progressLines(images: Iterable<ImageProgress>, viewport: Viewport, nowMs: number): string[] {
  const all = [...images];
  const full = all.flatMap((image) => imageLines(image, [...image.layers.values()], viewport, nowMs));
  if (full.length < viewport.rows) return full;
  const short = all.flatMap((image) => {
    const open = [...image.layers.values()].filter(({ state }) => !isFinished(state));
    return [...imageLines(image, open, viewport, nowMs), finishedLine(image, image.layers.size - open.length)];
  });
  return short.filter((line) => line !== '').slice(-(viewport.rows - 1));
}

function imageLines(image: ImageProgress, layers: readonly LayerLine[], viewport: Viewport, nowMs: number): string[] {
  const lines = [image.name, ...layers.map((layer) => layerLine(layer, viewport, nowMs))];
  const total = totalText(image, nowMs);
  return total === undefined ? lines : [...lines, `  ${total}`];
}

/** `22.5MB of 40MB, 2.5MB/s, 7s left`; undefined when everything is here. */
export function totalText(image: ImageProgress, nowMs: number): string | undefined {
  const { bytes, ofBytes } = image.fetched();
  if (bytes === ofBytes) return undefined;
  const rate = image.bytesPerSecond(nowMs);
  const rest = rate > 0 ? `, ${humanSize(rate)}/s, ${humanDuration(((ofBytes - bytes) / rate) * 1000)} left` : '';
  return `${humanSize(bytes)} of ${humanSize(ofBytes)}${rest}`;
}

function layerLine({ digest, size, state, bytes, rate }: LayerLine, { columns }: Viewport, nowMs: number): string {
  const start = `  ${shortDigest(digest)}  ${stateWords[state].padEnd(stateWidth)}`;
  if (!isMoving(state) && state !== 'unpacking') return `${start}  ${humanSize(size)}`;
  const counts = `${humanSize(bytes)}/${humanSize(size)}`.padStart(15);
  const speed = isMoving(state) ? rate.bytesPerSecond(nowMs) : undefined;
  const end = speed === undefined ? counts : `${counts}  ${humanSize(speed)}/s`;
  const barWidth = Math.min(columns - 1 - besideBar, widestBar);
  if (barWidth >= narrowestBar) return `${start}  ${bar(bytes, size, barWidth)}  ${end}`;
  const fitting = [end, counts].map((text) => `${start}  ${text.trimStart()}`).find(({ length }) => length < columns);
  return fitting ?? `${start}  ${percentText(bytes, size)}`;
}

function percentText(bytes: number, size: number): string {
  return `${size === 0 ? 100 : Math.floor((Math.min(bytes, size) / size) * 100)}%`;
}

function bar(bytes: number, size: number, width: number): string {
  const filled = size === 0 ? width : Math.floor((Math.min(bytes, size) / size) * width);
  const head = filled > 0 && filled < width ? `${'='.repeat(filled - 1)}>` : '='.repeat(filled);
  return `[${head.padEnd(width)}]`;
}

function finishedLine(image: ImageProgress, finished: number): string {
  if (finished === 0) return '';
  const there = [...image.layers.values()].filter(({ state }) => state === 'exists').length;
  return `  ${plural(finished, 'layer')} finished${there > 0 ? `, ${there} of them already there` : ''}`;
}

function isFinished(state: LayerState): boolean {
  return state === 'done' || state === 'exists';
}
