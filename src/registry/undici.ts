import { createRequire } from 'node:module';
import type * as undici from 'undici';

/**
 * What Lading uses of undici. All of undici, with fetch, caches and WebSockets, takes twice as long to load: 70 ms of the
 * processor against 30 ms.
 */
const load = createRequire(import.meta.url);

export const Agent: typeof undici.Agent = load('undici/lib/dispatcher/agent.js');
export const Pool: typeof undici.Pool = load('undici/lib/dispatcher/pool.js');
export const buildConnector: typeof undici.buildConnector = load('undici/lib/core/connect.js');

/** Where a proxy is used. */
export function loadProxyAgent(): typeof undici.ProxyAgent {
  return load('undici/lib/dispatcher/proxy-agent.js');
}

// As undici itself does it, for every dispatcher.
Object.assign(load('undici/lib/dispatcher/dispatcher.js').prototype, load('undici/lib/api/index.js'));
