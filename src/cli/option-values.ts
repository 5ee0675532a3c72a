/** Values of options that are more than a word. */
import { InvalidArgumentError } from 'commander';
import { parseGoDuration } from '../lib/go-duration.ts';

const units: Readonly<Record<string, number>> = {
  '': 1,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  T: 1e12,
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
  Ti: 2 ** 40,
};

/** Milliseconds of `90s`, `1h30m`, `0`. */
export function parseDuration(text: string): number {
  const ms = parseGoDuration(text);
  if (ms === undefined || ms < 0) throw new InvalidArgumentError('Give a time, such as 30m or 24h.');
  return ms;
}

/** Bytes of `500M`, `10Gi`, `1048576`: as Kubernetes writes quantities. */
export function parseSize(text: string): number {
  const [, amount = '', unit = ''] = /^(\d+(?:\.\d+)?)(k|[MGT]|[KMGT]i)?B?$/.exec(text) ?? [];
  if (amount === '') throw new InvalidArgumentError('Give a size, such as 500M or 10Gi.');
  return Math.floor(Number(amount) * units[unit]!);
}

export function parseCount(text: string): number {
  if (!/^[1-9]\d{0,8}$/.test(text)) throw new InvalidArgumentError('Give a whole number, 1 or more.');
  return Number(text);
}
