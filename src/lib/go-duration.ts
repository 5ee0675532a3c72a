const unitsMs: Readonly<Record<string, number>> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3,
  μs: 1e-3,
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
};

/**
 * Milliseconds of a duration as Go writes it: `300ms`, `1m30s`, `1.5h`, `-2s`, `0`; undefined for any other text.
 * @see https://pkg.go.dev/time#ParseDuration
 */
export function parseGoDuration(text: string): number | undefined {
  const match = /^([-+]?)(0|(?:(?:\d+\.?\d*|\.\d+)(?:ns|us|µs|μs|ms|s|m|h))+)$/.exec(text);
  if (!match) return undefined;
  const [, sign, amount = ''] = match;
  let ms = 0;
  for (const [, number, unit = ''] of amount.matchAll(/([\d.]+)(\D+)/g)) ms += Number(number) * unitsMs[unit]!;
  return sign === '-' ? -ms : ms;
}
