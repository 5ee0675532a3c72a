import { isIPv4 } from 'node:net';
import { type ConnectionSettings, plainConnection } from './connector.ts';

/** What an endpoint may be asked for: content by digest, what a tag means, uploads and deletions, referrers. */
export type Capability = 'pull' | 'resolve' | 'push' | 'referrers';

export const allCapabilities: readonly Capability[] = ['pull', 'resolve', 'push', 'referrers'];

/** One place that answers for a registry: the registry itself, or a mirror of it. */
export interface Endpoint {
  /** The registry of the references that it answers for. */
  readonly registry: string;
  readonly scheme: 'https' | 'http';
  /** Host with optional port; part of every URL. */
  readonly host: string;
  /** Root of the API, without a trailing slash. */
  readonly path: string;
  readonly capabilities: readonly Capability[];
  readonly connection: ConnectionSettings;
  /** Speak http when what answers is not TLS. Only where it was configured, or for an address of this machine. */
  readonly httpFallback: boolean;
  /** Sent with every request to this host, and to no other. Names in lower case. */
  readonly headers: Readonly<Record<string, readonly string[]>>;
}

/** Docker Hub's API is not at the registry's name. */
const apiHosts: Readonly<Record<string, string>> = { 'docker.io': 'registry-1.docker.io' };

/**
 * The registry itself, as it is asked without configuration. An address of this machine gets https without certificate
 * check, with http where nothing there speaks TLS; everything else gets verified https and never http.
 * @see registry.md 5.4
 */
export function upstreamOf(registry: string): Endpoint {
  const host = apiHosts[registry] ?? registry;
  const local = isThisMachine(host);
  const port = portOf(host);
  const plain = local && port === '80';
  return {
    registry,
    scheme: plain ? 'http' : 'https',
    host,
    path: '/v2',
    capabilities: allCapabilities,
    connection: local && !plain ? { ...plainConnection, certificates: 'unverified' } : plainConnection,
    httpFallback: local && !plain && port !== undefined && port !== '443',
    headers: {},
  };
}

/** Tells endpoints apart. */
export function endpointKey({ scheme, host, path }: Endpoint): string {
  return `${scheme}://${host}${path}`;
}

/**
 * The registry whose credentials an endpoint may see: that of the reference if the endpoint is that registry, else the
 * endpoint's own host. A mirror is never shown what was configured for the registry that it mirrors.
 * @see registry.md 4.7
 */
export function credentialRegistry({ registry, host }: Pick<Endpoint, 'registry' | 'host'>): string {
  if (host === registry || host === apiHosts[registry]) return registry;
  const known = Object.entries(apiHosts).find(([, apiHost]) => apiHost === host);
  return known ? known[0] : host;
}

/** What an endpoint under another name must be told: which registry is meant. @see registry.md 5.3 */
export function namespaceOf({ registry, host }: Pick<Endpoint, 'registry' | 'host'>): string | undefined {
  return host === registry || host === apiHosts[registry] ? undefined : registry;
}

/** `registry docker.io`, `mirror mirror.test of docker.io`. */
export function endpointName(endpoint: Endpoint): string {
  const { registry, host } = endpoint;
  return namespaceOf(endpoint) === undefined ? `registry ${registry}` : `mirror ${host} of ${registry}`;
}

/** The text of a URL below the root of an endpoint's API. @param target `/team/app/manifests/1.0`, with a query or not */
export function endpointUrl(endpoint: Endpoint, target: string): string {
  const namespace = namespaceOf(endpoint);
  const separator = target.includes('?') ? '&' : '?';
  const query = namespace === undefined ? '' : `${separator}ns=${encodeURIComponent(namespace)}`;
  return `${endpoint.scheme}://${endpoint.host}${endpoint.path}${target}${query}`;
}

/**
 * Whether a host with optional port is `localhost`, in 127.0.0.0/8, or `::1` (in brackets only with a port). Names
 * that merely resolve to such an address are not.
 */
export function isThisMachine(host: string): boolean {
  const port = portOf(host);
  const name = port === undefined ? host : host.slice(0, -port.length - 1);
  return isLoopback(port !== undefined && name.startsWith('[') ? name.slice(1, -1) : name);
}

/** The same for a host name without port and brackets. */
export function isLoopback(hostname: string): boolean {
  return hostname === 'localhost' || hostname === '::1' || (isIPv4(hostname) && hostname.startsWith('127.'));
}

/** The name or address in a URL, without port and brackets. */
export function bareHostname(url: URL): string {
  return url.hostname.replace(/^\[|\]$/g, '');
}

/** `5000` of `host:5000` and `[::1]:5000`. */
export function portOf(host: string): string | undefined {
  return /^(?:\[[^\]]*\]|[^:]*):([0-9]+)$/.exec(host)?.[1];
}
