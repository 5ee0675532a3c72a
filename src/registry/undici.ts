import type * as undici from 'undici';
import openTunnel from 'undici/lib/api/api-connect.js';
import connect from 'undici/lib/core/connect.js';
import agent from 'undici/lib/dispatcher/agent.js';
import dispatcher from 'undici/lib/dispatcher/dispatcher.js';
import pool from 'undici/lib/dispatcher/pool.js';
import proxyAgent from 'undici/lib/dispatcher/proxy-agent.js';
import socks5ProxyAgent from 'undici/lib/dispatcher/socks5-proxy-agent.js';

/**
 * What Lading uses of undici. All of undici, with fetch, caches and WebSockets, takes twice as long to load: 70 ms of the
 * processor against 30 ms.
 */
export const Agent = agent as typeof undici.Agent;
export const Pool = pool as typeof undici.Pool;
export const ProxyAgent = proxyAgent as typeof undici.ProxyAgent;
export const Socks5ProxyAgent = socks5ProxyAgent as typeof undici.Socks5ProxyAgent;
export const buildConnector = connect as typeof undici.buildConnector;

// As undici itself does it, for every dispatcher: its agents for proxies use this one.
Object.assign((dispatcher as typeof undici.Dispatcher).prototype, { connect: openTunnel });
