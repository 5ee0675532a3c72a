import { BlockList, isIP } from 'node:net';
import { bareHostname, isLoopback } from './endpoint.ts';

/** Which proxy, if any, leads to a URL. */
export type ProxyChooser = (url: URL) => URL | undefined;

const proxyProtocols = ['http:', 'https:', 'socks5:'];

/**
 * Reads `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY`; the names in lower case win. Addresses of this machine are always
 * asked directly. A proxy that is none is reported once, as a process warning, and not used.
 * @see registry.md 9.3
 */
export function proxiesOf(environment: NodeJS.ProcessEnv): ProxyChooser {
  const setting = (name: string) => environment[name.toLowerCase()] || environment[name] || '';
  // A server that runs programs for requests (CGI) sets HTTP_PROXY to what a request's Proxy header says.
  const underCgi = environment.REQUEST_METHOD !== undefined;
  const proxies: Readonly<Record<string, URL | undefined>> = {
    'https:': parseProxy('HTTPS_PROXY', setting('HTTPS_PROXY')),
    'http:': parseProxy('HTTP_PROXY', underCgi ? (environment.http_proxy ?? '') : setting('HTTP_PROXY')),
  };
  const isExcluded = exclusions(setting('NO_PROXY'));
  return (url) => (isLoopback(bareHostname(url)) || isExcluded(url) ? undefined : proxies[url.protocol]);
}

/** Without user and password. */
export function proxyName({ protocol, host }: URL): string {
  return `${protocol}//${host}`;
}

/**
 * `NO_PROXY`: `*`, or a list of names (which mean their sub-domains too; with a dot in front those only), addresses and
 * CIDR blocks, each with or without a port.
 */
function exclusions(text: string): (url: URL) => boolean {
  const rules = text
    .split(/[\s,]+/)
    .filter((entry) => entry !== '')
    .map(exclusion);
  return (url) => rules.some((excludes) => excludes(url));
}

function exclusion(entry: string): (url: URL) => boolean {
  if (entry === '*') return () => true;
  const [, bracketed, plain, wantedPort] = /^(?:\[([^\]]*)\]|(.*?))(?::(\d+))?$/.exec(entry)!;
  // An IPv6 address without brackets has colons, but no port.
  const name = (isIP(entry) === 6 ? entry : (bracketed ?? plain ?? '')).toLowerCase();
  const port = isIP(entry) === 6 ? undefined : wantedPort;
  const fits = addressRule(name) ?? nameRule(name);
  return (url) => (port === undefined || port === portOfUrl(url)) && fits(bareHostname(url));
}

function addressRule(text: string): ((host: string) => boolean) | undefined {
  const [address = '', prefix] = text.split('/');
  const version = isIP(address);
  if (version === 0) return undefined;
  const maxPrefix = version === 4 ? 32 : 128;
  const bits = prefix === undefined ? maxPrefix : Number(prefix);
  if (!Number.isInteger(bits) || bits < 0 || bits > maxPrefix) return () => false;
  const block = new BlockList();
  block.addSubnet(address, bits, version === 4 ? 'ipv4' : 'ipv6');
  return (host) => isIP(host) !== 0 && block.check(host, isIP(host) === 4 ? 'ipv4' : 'ipv6');
}

function nameRule(name: string): (host: string) => boolean {
  if (name === '') return () => false;
  const suffix = name.startsWith('*.') ? name.slice(1) : name.startsWith('.') ? name : `.${name}`;
  return (host) => host === name || host.endsWith(suffix);
}

function portOfUrl(url: URL): string {
  return url.port || (url.protocol === 'https:' ? '443' : '80');
}

/** `proxy:3128` means `http://proxy:3128`. */
function parseProxy(variable: string, text: string): URL | undefined {
  if (text === '') return undefined;
  const whole = text.includes('://') ? text : `http://${text}`;
  if (URL.canParse(whole) && proxyProtocols.includes(new URL(whole).protocol)) return new URL(whole);
  process.emitWarning(`${variable} is ignored: it is not an http, https or socks5 URL`, { code: 'LADING_PROXY' });
  return undefined;
}
