import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';
import { compareTree } from '../../scripts/layers/compare-tree.ts';
import { lsetxattr } from '../../src/lib/libc.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const cannotSet = process.platform !== 'linux' || process.getuid?.() !== 0;

test.skipIf(cannotSet)('attributes that only the host makes are no difference (needs root on Linux)', async () => {
  const root = await temporaryFolder();
  const file = path.join(root, 'f');
  writeFileSync(file, '');
  const shape = { type: 'file', mode: null, uid: null, gid: null, mtime: null };
  const expected = { tree: [{ ...shape, pathB64: Buffer.from('f').toString('base64'), xattrs: {} }] };
  lsetxattr(file, 'trusted.overlay.origin', Buffer.from('x'));
  lsetxattr(file, 'trusted.SGI_ACL_FILE', Buffer.from('as XFS lists an ACL besides system.posix_acl_access'));
  expect(compareTree(expected, root)).toEqual([]);
  lsetxattr(file, 'trusted.other', Buffer.from('x'));
  expect(compareTree(expected, root)).toEqual(['"f": xattr trusted.other unexpected']);
});
