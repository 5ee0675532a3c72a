import { type AuthConfig, CriError } from '../cri/index.ts';
import type { Credential } from '../registry/index.ts';

/**
 * The credential of a pull request: user and password, else the identity token, else `auth`; a registry token is not
 * used. With a server address it is for the host of that URL only, a mirror or the registry; an address that is no URL
 * is no host's.
 * @returns undefined when the request has none
 * @throws CriError `INVALID_ARGUMENT`
 * @see registry.md 4.4 and 4.7
 */
export function criCredential(auth: AuthConfig): Credential | undefined {
  const origin = 'the pull request';
  const place = auth.serverAddress ? { host: hostOf(auth.serverAddress), origin } : { origin };
  if (auth.username) return { username: auth.username, password: auth.password ?? '', ...place };
  if (auth.identityToken) return { identityToken: auth.identityToken, ...place };
  if (auth.auth) return { ...decodeAuth(auth.auth), ...place };
  return undefined;
}

function hostOf(address: string): string {
  return /^[a-z][a-z0-9+.-]*:\/\/(?:[^/?#]*@)?([^/?#]*)/i.exec(address)?.[1] ?? '';
}

function decodeAuth(auth: string): { username: string; password: string } {
  const base64 = auth.replace(/[\r\n]/g, '');
  const isBase64 = base64.length % 4 === 0 && /^[A-Za-z0-9+/]*={0,2}$/.test(base64);
  const pair = isBase64 ? Buffer.from(base64, 'base64').toString('utf8') : '';
  const colon = pair.indexOf(':');
  if (colon < 0) throw new CriError('INVALID_ARGUMENT', 'auth of the pull request is not base64 of user:password');
  return { username: pair.slice(0, colon), password: pair.slice(colon + 1).replace(/^\0+|\0+$/g, '') };
}
