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

/**
 * Path and query for logs and messages: values of parameters that are not known to be harmless are hidden, and names that
 * may be values themselves. Nothing in it is a control character.
 */
export function redactedPath(url: URL): string {
  const parameters = [...url.searchParams].map(([name, value]) => {
    if (plainParameters.has(name)) return `${name}=${value.replace(/[^\x21-\x7e]/gu, encodeURIComponent)}`;
    return isSecretName(name, value) ? 'REDACTED' : `${name}=REDACTED`;
  });
  return url.pathname + (parameters.length > 0 ? `?${parameters.join('&')}` : '');
}

/** Some storage hosts take a token that is the whole query. */
function isSecretName(name: string, value: string): boolean {
  return /^=*$/.test(value) || !/^[\w.-]{1,40}$/.test(name);
}

/** What `redactedPath` hides, should somebody quote it. */
export function secretsOfUrl(url: URL): string[] {
  return [...url.searchParams].flatMap(([name, value]) => {
    if (plainParameters.has(name) || name === 'account') return []; // a user's name explains more than it reveals
    return [...(isSecretName(name, value) ? spellings(name) : []), ...spellings(value)];
  });
}

/** A secret as it is, and as it is in a URL or in a form. Shorter ones than 8 characters would be found anywhere. */
export function spellings(secret: string): string[] {
  if (secret.length < 8) return [];
  const inForm = new URLSearchParams({ '': secret }).toString().slice(1);
  return [secret, inForm, inForm.replaceAll('+', '%20')];
}

/** Text of a registry for people: control characters removed, at most `maxLength` characters. */
export function printable(text: string, maxLength = 512): string {
  const clean = text
    // biome-ignore lint/suspicious/noControlCharactersInRegex: removing them is the point
    .replace(/[\u0000-\u001f\u007f-\u009f\u200e\u200f\u2028-\u202e\u2066-\u2069]+/g, ' ')
    .trim();
  return clean.length <= maxLength ? clean : `${clean.slice(0, maxLength - 1)}…`;
}
