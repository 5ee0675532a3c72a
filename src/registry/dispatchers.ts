import type { LookupFunction } from 'node:net';
import type { Dispatcher } from 'undici';
import { type ConnectionSettings, createConnector, type TlsOptions, tlsSettings } from './connector.ts';
import { LargeReads } from './large-reads.ts';
import type { Timeouts } from './transport.ts';
import { Agent, Pool, ProxyAgent, Socks5ProxyAgent } from './undici.ts';

export interface DispatchersOptions {
  readonly timeouts: Timeouts;
  readonly tls: TlsOptions;
  readonly lookup: LookupFunction | undefined;
  readonly receiveBytes: number;
}

const keepAliveMs = 30_000;
/**
 * HTTP/2 helps nowhere. Measured against docker-registry over TLS, six at a time: six blobs of 32 MiB in 323 ms, over one
 * connection of HTTP/2 in 628 ms; 300 blobs of 4 KiB in 1051 and 1214 ms, with the same work for the processor.
 */
const pooling = { allowH2: false, keepAliveTimeout: keepAliveMs, keepAliveMaxTimeout: keepAliveMs };

/** Pools of connections: those with other settings, or through another proxy, are never shared. */
export class Dispatchers {
  readonly #options: DispatchersOptions;
  readonly #largeReads: LargeReads;
  readonly #dispatchers = new Map<string, Dispatcher>();

  constructor(options: DispatchersOptions) {
    this.#options = options;
    this.#largeReads = new LargeReads(options.receiveBytes);
  }

  get(settings: ConnectionSettings, proxy: URL | undefined): Dispatcher {
    const key = JSON.stringify([settings, proxy?.href]);
    const known = this.#dispatchers.get(key);
    if (known) return known;
    const dispatcher = proxy ? this.#through(proxy, settings) : this.#direct(settings);
    this.#dispatchers.set(key, dispatcher);
    return dispatcher;
  }

  /** Ends all connections at once; requests under way fail. */
  async destroy(): Promise<void> {
    const dispatchers = [...this.#dispatchers.values()];
    await Promise.all(withoutStacks(() => dispatchers.map((dispatcher) => dispatcher.destroy())));
  }

  #direct(settings: ConnectionSettings): Dispatcher {
    const { timeouts, tls, lookup } = this.#options;
    const { connectMs: connectTimeoutMs, handshakeMs: handshakeTimeoutMs } = timeouts;
    const largeReads = this.#largeReads;
    return new Agent({
      ...pooling,
      connect: createConnector({ settings, tls, lookup, connectTimeoutMs, handshakeTimeoutMs, largeReads }),
    });
  }

  /** The proxy resolves the names of registries. */
  #through(proxy: URL, settings: ConnectionSettings): Dispatcher {
    const { timeouts, tls } = this.#options;
    const { connectMs, handshakeMs } = timeouts;
    const common = {
      connectTimeout: settings.dialTimeoutMs ?? connectMs,
      requestTls: { ...tlsSettings({ settings, tls }), timeout: handshakeMs },
    };
    if (proxy.protocol === 'socks5:') return withoutWarnings(() => new Socks5ProxyAgent(proxy, common));
    return new ProxyAgent({
      ...pooling,
      ...common,
      uri: proxy.href,
      proxyTunnel: false, // plain http needs none, and many proxies open tunnels to port 443 only
      // For the tunnel: what undici waits for the proxy's answer otherwise is five minutes.
      clientFactory: (origin, options) => new Pool(origin, { ...options, headersTimeout: connectMs }),
    });
  }
}

/** Each connection gets an error of its own: to write down where it was made took 2 ms at the end of a copy. */
function withoutStacks<T>(make: () => T): T {
  const { stackTraceLimit } = Error;
  Error.stackTraceLimit = 0;
  try {
    return make();
  } finally {
    Error.stackTraceLimit = stackTraceLimit;
  }
}

/** undici warns on stderr, where users can do nothing about it, that its SOCKS 5 may change. */
function withoutWarnings<T>(make: () => T): T {
  const { emitWarning } = process;
  process.emitWarning = () => {};
  try {
    return make();
  } finally {
    process.emitWarning = emitWarning;
  }
}
