import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileTypes, lsetxattr, makeDevice, mknod } from '../../src/lib/libc.ts';

/** An ACL of user, group and others, and one more user. */
const accessAcl = Buffer.from(
  '02000000' + '01000600ffffffff' + '0200070000000000' + '04000400ffffffff' + '10000700ffffffff' + '20000400ffffffff',
  'hex',
);
const capability = Buffer.from('0100000200240000000000000000000000000000', 'hex');

/** What cases may need of the host, each found out by doing it in `dir`. Returns what the host cannot do, with why. */
export function missingNeeds(dir: string): Map<string, string> {
  const scratch = mkdtempSync(join(dir, 'needs-'));
  const file = join(scratch, 'file');
  writeFileSync(file, '');
  const attempts: Record<string, () => void> = {
    mknod: () => mknod(join(scratch, 'device'), fileTypes.character | 0o600, makeDevice(1, 3)),
    'xattr-user': () => lsetxattr(file, 'user.lading', Buffer.from('1')),
    'xattr-security': () => lsetxattr(file, 'security.capability', capability),
    acl: () => lsetxattr(file, 'system.posix_acl_access', accessAcl),
  };
  const missing = new Map<string, string>();
  try {
    for (const [need, attempt] of Object.entries(attempts)) {
      try {
        attempt();
      } catch (error) {
        missing.set(need, (error as Error).message);
      }
    }
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
  return missing;
}
