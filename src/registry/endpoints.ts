import { type Capability, type Endpoint, endpointKey, namespaceOf, upstreamOf } from './endpoint.ts';
import { type Candidate, type Demotions, EndpointWalk } from './endpoint-walk.ts';
import { type HostsConfiguration, loadEndpoints } from './hosts/load.ts';
import { RegistryError } from './registry-error.ts';
import type { Retrier } from './retry.ts';

/** What endpoints are asked for: what a tag means, content by digest, referrers, or uploads and deletions. */
export type Operation = 'resolve' | 'pull' | 'referrers' | 'push';

export interface EndpointCandidate extends Candidate {
  readonly endpoint: Endpoint;
}

export interface EndpointsOptions {
  readonly hosts: HostsConfiguration;
  readonly retrier: Retrier;
  readonly demotions: Demotions;
  /** Told of a configuration that is ignored. */
  readonly warn: (registry: string, text: string) => void;
}

/** Knows where each registry is to be asked on this machine, and walks through these endpoints. */
export class Endpoints {
  readonly #options: EndpointsOptions;

  constructor(options: EndpointsOptions) {
    this.#options = options;
  }

  /**
   * The endpoints for an operation, in order; at least one.
   * @throws RegistryError `unsupported` when the configuration leaves none; LadingError `ERR_LADING_HOSTS_…`
   */
  async for(registry: string, operation: Operation): Promise<readonly Endpoint[]> {
    const { endpoints, file = 'the configured mirrors', warning } = await loadEndpoints(registry, this.#options.hosts);
    if (warning !== undefined) this.#options.warn(registry, warning);
    const fitting = endpointsFor(endpoints, operation);
    if (fitting.length > 0) return fitting;
    throw new RegistryError(
      'unsupported',
      `No endpoint of ${registry} may be asked to ${operation}`,
      { registry },
      { hint: `Add ${operation} to the capabilities of one in ${file}.` },
    );
  }

  /** The endpoint that is the registry and no mirror of it. */
  async itself(registry: string): Promise<Endpoint> {
    const { endpoints } = await loadEndpoints(registry, this.#options.hosts);
    return endpoints.find((endpoint) => namespaceOf(endpoint) === undefined) ?? upstreamOf(registry);
  }

  async walk(
    registry: string,
    operation: Operation,
    signal: AbortSignal | undefined,
  ): Promise<EndpointWalk<EndpointCandidate>> {
    const endpoints = await this.for(registry, operation);
    const candidates = endpoints.map((endpoint) => ({ key: endpointKey(endpoint), host: endpoint.host, endpoint }));
    return this.walkThrough(candidates, { registry, operation, signal });
  }

  /** The same for candidates of the caller's own. */
  walkThrough<C extends Candidate>(
    candidates: readonly C[],
    { registry, operation, signal }: { registry: string; operation: Operation; signal: AbortSignal | undefined },
  ): EndpointWalk<C> {
    const { retrier, demotions } = this.#options;
    const order = operation === 'resolve' ? 'configured' : 'reachable-first';
    return new EndpointWalk(candidates, { registry, order, retrier, demotions, signal });
  }
}

/** @see registry.md 5.3 */
export function endpointsFor(endpoints: readonly Endpoint[], operation: Operation): readonly Endpoint[] {
  const can = (capability: Capability) => (endpoint: Endpoint) => endpoint.capabilities.includes(capability);
  if (operation === 'push') return endpoints.filter(can('push')).slice(0, 1);
  if (operation === 'resolve') return endpoints.filter(can('pull')).filter(can('resolve'));
  return endpoints.filter(can(operation));
}
