/** Texts as the kubelet prints them: its events and messages are compared to the letter. */

const shortEscapes: Readonly<Record<string, string>> = {
  '\u0007': '\\a',
  '\b': '\\b',
  '\f': '\\f',
  '\n': '\\n',
  '\r': '\\r',
  '\t': '\\t',
  '\v': '\\v',
  '"': '\\"',
  '\\': '\\\\',
};

/** `text` in double quotes, as `%q` of Go prints it. */
export function goQuote(text: string): string {
  const escaped = text.replace(/["\\]|[^\P{C}]|[^\P{Z} ]/gu, (character) => {
    const known = shortEscapes[character];
    if (known !== undefined) return known;
    const code = character.codePointAt(0)!;
    if (code < 0x80) return `\\x${code.toString(16).padStart(2, '0')}`;
    return code <= 0xffff ? `\\u${code.toString(16).padStart(4, '0')}` : `\\U${code.toString(16).padStart(8, '0')}`;
  });
  return `"${escaped}"`;
}

const space = '[\\t-\\r \\u0085\\u00a0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000]+';
const outerSpace = new RegExp(`^${space}|${space}$`, 'g');

/** Without leading and trailing space, as `strings.TrimSpace` of Go understands it: not a byte order mark, but U+0085. */
export function goTrim(text: string): string {
  return text.replace(outerSpace, '');
}

/** `ms`, truncated to whole milliseconds, as a duration of Go prints itself: `0s`, `250ms`, `1.5s`, `1m0.75s`. */
export function goDuration(ms: number): string {
  const whole = Math.trunc(ms);
  if (whole === 0) return '0s';
  if (Math.abs(whole) < 1000) return `${whole}ms`;
  const positive = Math.abs(whole);
  const hours = Math.floor(positive / 3_600_000);
  const minutes = Math.floor((positive % 3_600_000) / 60_000);
  const seconds = `${(positive % 60_000) / 1000}s`;
  const leading = hours > 0 ? `${hours}h${minutes}m` : minutes > 0 ? `${minutes}m` : '';
  return `${whole < 0 ? '-' : ''}${leading}${seconds}`;
}
