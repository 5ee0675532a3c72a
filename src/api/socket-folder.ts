import { join, resolve } from 'node:path';

/** Names the folder instead of the default; inside a user namespace it is how the folder outside is known. */
export const socketFolderVariable = 'LADING_SOCKET_DIR';

/** Linux takes 108 bytes with the final NUL. */
export const maxSocketPathBytes = 107;
/** `/0123456789abcdef-4194304.sock` */
const nameBytes = 30;

/**
 * The folder for sockets: `/run/lading` for root, `$XDG_RUNTIME_DIR/lading` for others, and where there is none, or its
 * path is too long for a socket, a folder in `/tmp`.
 */
export function socketFolder(env: Readonly<Record<string, string | undefined>>, uid: number): string {
  const given = env[socketFolderVariable];
  if (given) return resolve(given);
  if (uid === 0) return '/run/lading';
  const folder = env.XDG_RUNTIME_DIR ? join(env.XDG_RUNTIME_DIR, 'lading') : undefined;
  const fits = folder !== undefined && Buffer.byteLength(folder) + nameBytes <= maxSocketPathBytes;
  return fits ? folder : `/tmp/lading-${uid}`;
}
