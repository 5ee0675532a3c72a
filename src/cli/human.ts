/** Sizes and ages as people of this field read them. */

export { humanSize } from '../lib/human-size.ts';

const secondMs = 1000;
const minuteMs = 60 * secondMs;
const hourMs = 60 * minuteMs;
const dayMs = 24 * hourMs;
const yearMs = 365 * dayMs;

/**
 * A duration in at most two units, as kubectl prints ages: `45s`, `5m12s`, `3h4m`, `47h`, `6d3h`, `120d`, `3y20d`.
 * @see k8s.io/apimachinery/pkg/util/duration, HumanDuration
 */
export function humanDuration(ms: number): string {
  if (ms < 0) return '0s';
  if (ms < 2 * minuteMs) return `${Math.floor(ms / secondMs)}s`;
  if (ms < 10 * minuteMs) return twoUnits(ms, minuteMs, 'm', secondMs, 's');
  if (ms < 3 * hourMs) return `${Math.floor(ms / minuteMs)}m`;
  if (ms < 8 * hourMs) return twoUnits(ms, hourMs, 'h', minuteMs, 'm');
  if (ms < 2 * dayMs) return `${Math.floor(ms / hourMs)}h`;
  if (ms < 8 * dayMs) return twoUnits(ms, dayMs, 'd', hourMs, 'h');
  if (ms < 2 * yearMs) return `${Math.floor(ms / dayMs)}d`;
  if (ms < 8 * yearMs) return twoUnits(ms, yearMs, 'y', dayMs, 'd');
  return `${Math.floor(ms / yearMs)}y`;
}

/** `5m12s ago`; `just now` below a second. */
export function humanAgo(atMs: number, nowMs: number): string {
  return nowMs - atMs < secondMs ? 'just now' : `${humanDuration(nowMs - atMs)} ago`;
}

/** `1 layer`, `3 layers`. */
export function plural(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}

/** The first 12 hex digits: how an image id or a digest is written where it must only be told from others. */
export function shortDigest(digest: string): string {
  const colon = digest.indexOf(':');
  return digest.slice(colon + 1, colon + 13);
}

function twoUnits(ms: number, unitMs: number, unit: string, restMs: number, restUnit: string): string {
  const whole = Math.floor(ms / unitMs);
  const rest = Math.floor((ms % unitMs) / restMs);
  return rest === 0 ? `${whole}${unit}` : `${whole}${unit}${rest}${restUnit}`;
}
