import { isIPv4 } from 'node:net';

/** One place that answers for a registry. */
export interface Endpoint {
  /** The registry of the references that it answers for. */
  readonly registry: string;
  readonly scheme: 'https' | 'http';
  /** Host with optional port; part of every URL. */
  readonly host: string;
  /** Root of the API, without a trailing slash. */
  readonly path: string;
  /** Any certificate will do. Only ever true for an address of this machine. */
  readonly skipVerify: boolean;
  /** Speak http when what answers is not TLS. Only ever true for an address of this machine. */
  readonly httpFallback: boolean;
}

/** Docker Hub's API is not at the registry's name. */
const apiHosts: Readonly<Record<string, string>> = { 'docker.io': 'registry-1.docker.io' };

/**
 * Where to ask for a registry, in order. An address of this machine gets https without certificate check, with http
 * where nothing there speaks TLS; everything else gets verified https and never http.
 * @see registry.md 5.4
 */
export function endpointsOf(registry: string): readonly Endpoint[] {
  const host = apiHosts[registry] ?? registry;
  const local = isThisMachine(host);
  const port = portOf(host);
  const plain = local && port === '80';
  return [
    {
      registry,
      scheme: plain ? 'http' : 'https',
      host,
      path: '/v2',
      skipVerify: local && !plain,
      httpFallback: local && !plain && port !== undefined && port !== '443',
    },
  ];
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

function portOf(host: string): string | undefined {
  return /^(?:\[[^\]]*\]|[^:]*):([0-9]+)$/.exec(host)?.[1];
}
