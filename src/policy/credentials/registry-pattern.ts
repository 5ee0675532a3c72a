import { goGlob } from './go-glob.ts';

/** Host and path of a URL without its scheme: `*.example.com:5000/team`. */
interface Place {
  readonly host: string;
  /** Decoded; begins with a slash unless it is empty. */
  readonly path: string;
}

/**
 * Whether a key of a credential fits an image: equal ports, as many labels in the host, each label by its shell pattern,
 * and a path that begins with the key's, in the middle of a word or not.
 * @param image with or without tag
 * @throws Error for a text that is no URL; BadPattern
 * @see pull-policy.md 8.2
 */
export function registryPatternMatches(pattern: string, image: string): boolean {
  const wanted = parsePlace(pattern);
  const actual = parsePlace(image);
  const [wantedLabels, wantedPort] = splitHost(wanted.host);
  const [labels, port] = splitHost(actual.host);
  return (
    wantedPort === port &&
    wantedLabels.length === labels.length &&
    actual.path.startsWith(wanted.path) &&
    wantedLabels.every((label, index) => goGlob(label, labels[index]!))
  );
}

/** In a name Go takes escapes for other characters only. */
const escapesAscii = /%(?![89a-f][0-9a-f])/i;

/** Reads what stands behind `https://` as Go does, which lets patterns pass. @throws Error when Go would refuse it */
export function parsePlace(text: string): Place {
  const [, authority = '', path = ''] = /^([^/?#]*)([^?#]*)/.exec(text)!;
  const host = authority.slice(authority.lastIndexOf('@') + 1);
  const isIpv6 = host.startsWith('[');
  const afterName = isIpv6
    ? host.slice(host.lastIndexOf(']') + 1)
    : host.slice(host.includes(':') ? host.lastIndexOf(':') : host.length);
  // biome-ignore lint/suspicious/noControlCharactersInRegex: Go refuses them
  const hasForbidden = /[\u0000-\u0020\u007f"<>\\^`{|}]/.test(host);
  const isBroken = hasForbidden || (isIpv6 ? !host.includes(']') : escapesAscii.test(host));
  if (isBroken || !/^(?::\d*)?$/.test(afterName)) throw new Error(`invalid host ${JSON.stringify(host)}`);
  return { host, path: decodeURIComponent(path) };
}

/** A host that only looks as if it had a port is all name. */
function splitHost(host: string): [labels: readonly string[], port: string] {
  const match = /^(?:\[([^[\]]*)\]|([^:[\]]*)):([^:]*)$/.exec(host);
  if (!match) return [host.split('.'), ''];
  const [, bracketed, plain, port = ''] = match;
  return [(bracketed ?? plain ?? '').split('.'), port];
}
