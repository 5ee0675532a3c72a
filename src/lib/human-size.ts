const units = ['B', 'kB', 'MB', 'GB', 'TB', 'PB'];

/** Bytes with three significant digits and decimal units, as docker and crictl print them: `532B`, `1.23MB`, `45.6GB`. */
export function humanSize(bytes: number): string {
  let value = bytes;
  let unit = 0;
  // 999.5 would be written as 1000.
  while (value >= (unit === 0 ? 1000 : 999.5) && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  const text = unit === 0 ? String(Math.round(value)) : Number(value.toPrecision(3)).toString();
  return `${text}${units[unit]}`;
}
