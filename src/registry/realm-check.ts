import { BlockList, isIP } from 'node:net';
import { bareHostname, isLoopback } from './endpoint.ts';

const internal = new BlockList();
internal.addSubnet('0.0.0.0', 8, 'ipv4');
internal.addSubnet('10.0.0.0', 8, 'ipv4');
internal.addSubnet('127.0.0.0', 8, 'ipv4');
internal.addSubnet('169.254.0.0', 16, 'ipv4');
internal.addSubnet('172.16.0.0', 12, 'ipv4');
internal.addSubnet('192.168.0.0', 16, 'ipv4');
internal.addAddress('::', 'ipv6');
internal.addAddress('::1', 'ipv6');
internal.addSubnet('fc00::', 7, 'ipv6');
internal.addSubnet('fe80::', 10, 'ipv6');

/**
 * Why a token must not be asked for at `realm`, undefined when it may be. A registry must not make Lading send
 * credentials unencrypted, nor send requests to addresses inside the network that the registry is not part of.
 * @see registry.md 3.6
 */
export function realmProblem(realm: URL, registryUrl: URL): string | undefined {
  if (registryUrl.protocol === 'https:' && realm.protocol !== 'https:') return 'it is not https, as the registry is';
  const realmHost = bareHostname(realm);
  const registryHost = bareHostname(registryUrl);
  if (realmHost === registryHost || (isLoopback(realmHost) && isLoopback(registryHost))) return undefined;
  if (isInternalHost(realm)) return 'it is an internal address, but not the registry’s';
  return undefined;
}

/** `localhost`, or a loopback, link-local or private address. A name that merely resolves to one is not. */
export function isInternalHost(url: URL): boolean {
  const host = bareHostname(url);
  const version = isIP(host);
  return isLoopback(host) || (version !== 0 && internal.check(host, version === 4 ? 'ipv4' : 'ipv6'));
}
