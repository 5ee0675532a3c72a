/** Query parameters of the distribution API and of its token servers that carry no secret; all others are hidden. */
const plainParameters = new Set([
  'artifactType',
  'client_id',
  'digest',
  'digest-algorithm',
  'from',
  'last',
  'mount',
  'n',
  'ns',
  'scope',
  'service',
  'tag',
]);

/** Path and query for logs and messages: values of parameters that are not known to be harmless are hidden. */
export function redactedPath(url: URL): string {
  const parameters = [...url.searchParams].map(([name, value]) =>
    plainParameters.has(name) ? `${name}=${value}` : `${name}=REDACTED`,
  );
  return url.pathname + (parameters.length > 0 ? `?${parameters.join('&')}` : '');
}

/** Text of a registry for people: control characters removed, at most `maxLength` characters. */
export function printable(text: string, maxLength = 512): string {
  const clean = text
    // biome-ignore lint/suspicious/noControlCharactersInRegex: removing them is the point
    .replace(/[\u0000-\u001f\u007f-\u009f\u200e\u200f\u2028-\u202e\u2066-\u2069]+/g, ' ')
    .trim();
  return clean.length <= maxLength ? clean : `${clean.slice(0, maxLength - 1)}…`;
}
