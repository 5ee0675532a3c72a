import { spawnSync } from 'node:child_process';
import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { startRegistry } from '../../src/distribution/index.ts';
import { digestOf } from '../../src/oci/index.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { errorCodes, randomBlob, sendTo } from './support/registry.ts';

const canMount = process.platform === 'linux' && process.getuid?.() === 0;

test.skipIf(!canMount)(
  'a full disk: 507, what is there is served, and the next push fits again (needs root)',
  async (context) => {
    const root = path.join(await temporaryFolder(), 'small');
    await mkdir(root);
    const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=4m', 'tmpfs', root], { encoding: 'utf8' });
    if (mounted.status !== 0) context.skip(`cannot mount a tmpfs here: ${mounted.stderr}`);
    onTestFinished(() => void spawnSync('umount', ['--lazy', root]));
    const registry = await startRegistry({ root });
    const push = (bytes: Buffer) =>
      sendTo(registry.port, 'POST', `/v2/a/blobs/uploads/?digest=${digestOf(bytes)}`, { body: bytes });
    const kept = randomBlob(100_000);
    expect((await push(kept)).status).toBe(201);
    const large = randomBlob(6_000_000);
    const refused = await push(large);
    expect(refused.status).toBe(507);
    expect(errorCodes(refused)).toEqual(['UNKNOWN']);
    expect(refused.body.toString()).not.toContain(root);
    expect((await sendTo(registry.port, 'HEAD', `/v2/a/blobs/${digestOf(large)}`, {})).status).toBe(404);
    expect((await sendTo(registry.port, 'GET', `/v2/a/blobs/${digestOf(kept)}`, {})).body.equals(kept)).toBe(true);
    expect((await push(randomBlob(1_000_000))).status).toBe(201);
    await registry.close();
  },
);
