import type { Reference } from '../oci/reference.ts';
import type { RegistryClientOptions } from './client.ts';
import { type Capability, type Endpoint, endpointUrl } from './endpoint.ts';
import { endpointsFor, type Operation } from './endpoints.ts';
import { defaultCertsDirs } from './hosts/directory.ts';
import { loadEndpoints } from './hosts/load.ts';
import { parseMirrors } from './hosts/mirrors.ts';

/** Where the client would ask for an image on this machine, and in which order. */
export interface RequestPlan {
  /** The folder that configures the registry, if there is one. */
  readonly directory: string | undefined;
  /** Its `hosts.toml`, if that is used. */
  readonly file: string | undefined;
  /** The key of its mirrors in the short form, where those are used: the registry, or `_default`. */
  readonly mirrorsOf: string | undefined;
  /** Why the `hosts.toml` is ignored. */
  readonly warning: string | undefined;
  readonly endpoints: readonly PlannedEndpoint[];
  /** URLs of the manifest, tried in order until one answers. */
  readonly manifest: readonly string[];
  /** The same for layers. */
  readonly blobs: readonly string[];
  /** The same for the list of referrers. */
  readonly referrers: readonly string[];
  /** The URL that begins an upload; undefined when there is no endpoint for that. */
  readonly push: string | undefined;
}

export interface PlannedEndpoint {
  /** Root of its API. */
  readonly url: string;
  readonly capabilities: readonly Capability[];
  /** `unverified`: any certificate will do. */
  readonly certificates: 'verified' | 'unverified';
  /** http is tried where it does not speak TLS. */
  readonly httpFallback: boolean;
  /** Certificates beside the system's. */
  readonly authorities: number;
  readonly clientCertificates: number;
  /** Names of the headers that it is sent; values may be secret. */
  readonly headers: readonly string[];
  readonly dialTimeoutMs: number | undefined;
}

/**
 * What would be asked, without asking.
 * @param reference as `pullReference` gives it
 * @throws LadingError `ERR_LADING_HOSTS_UNREADABLE`, `ERR_LADING_HOSTS_CERTIFICATE`, `ERR_LADING_HOSTS_MIRRORS`
 */
export async function planRequests(
  reference: Reference,
  { certsDirs = defaultCertsDirs(), mirrors = {} }: Pick<RegistryClientOptions, 'certsDirs' | 'mirrors'> = {},
): Promise<RequestPlan> {
  const { registry, repository, digest, tag = 'latest' } = reference;
  const { endpoints, ...where } = await loadEndpoints(registry, { certsDirs, mirrors: parseMirrors(mirrors) });
  const urls = (operation: Operation, target: string) =>
    endpointsFor(endpoints, operation).map((endpoint) => endpointUrl(endpoint, `/${repository}/${target}`));
  return {
    ...where,
    endpoints: endpoints.map(planned),
    manifest: urls(digest === undefined ? 'resolve' : 'pull', `manifests/${digest ?? tag}`),
    blobs: urls('pull', 'blobs/<digest>'),
    referrers: urls('referrers', `referrers/${digest ?? '<digest>'}`),
    push: urls('push', 'blobs/uploads/')[0],
  };
}

function planned({ scheme, host, path, connection, ...endpoint }: Endpoint): PlannedEndpoint {
  const { certificates, ca, clients, dialTimeoutMs } = connection;
  return {
    url: `${scheme}://${host}${path}`,
    capabilities: endpoint.capabilities,
    certificates,
    httpFallback: endpoint.httpFallback,
    authorities: ca.length,
    clientCertificates: clients.length,
    headers: Object.keys(endpoint.headers),
    dialTimeoutMs,
  };
}
