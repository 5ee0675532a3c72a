import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import { expect, onTestFinished, test } from 'vitest';
import { startRegistry } from '../../src/distribution/index.ts';
import { digestOf } from '../../src/oci/index.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { newClient, pushImage, referenceAt, testImage } from './fixtures.ts';

/** The examples of docs/registry.md, run as they are printed there, against a registry at another port. */
const text = readFileSync(new URL('../../docs/registry.md', import.meta.url), 'utf8');
const examples = [...text.matchAll(/^```[jt]s\n(.*?)^```$/gms)].map(([, code]) => code!);
const image = testImage();
const user = 'alice:$2b$10$OW2ugDvNypFiilxq2dl1I.wMN9qHKndDg/RvooSymmzJOKP1I3Ciu\n';

/** @returns what it prints */
async function run(code: string, { folder, address }: { folder: string; address: string }): Promise<string> {
  const program = code
    .replaceAll(
      /from 'lading\/(\w+)'/g,
      (_, name) => `from '${new URL(`../../src/${name}/index.ts`, import.meta.url)}'`,
    )
    .replaceAll('127.0.0.1:5000', address)
    .replaceAll('port: 5000', 'port: 0');
  const file = path.join(folder, 'example.ts');
  await writeFile(file, program);
  const env = { ...process.env, HOME: folder, NODE_OPTIONS: '', NO_COLOR: '1' };
  const { stdout, stderr } = await promisify(execFile)(process.execPath, [file], { cwd: folder, env });
  expect(stderr, code).toBe('');
  return stdout;
}

test('the examples of docs/registry.md run, and do what they are for', async () => {
  const folder = await temporaryFolder();
  const registry = await startRegistry({ root: path.join(folder, 'served') });
  onTestFinished(() => registry.close());
  const { client } = newClient();
  await pushImage(client, image, referenceAt(registry, 'team/app:1'));
  await writeFile(path.join(folder, 'users'), user);
  const printed = new Map<string, string>();
  for (const code of examples) printed.set(code, await run(code, { folder, address: registry.address }));
  const outputOf = (words: string) => [...printed].find(([code]) => code.includes(words))?.[1];

  expect(outputOf('startRegistry')).toMatch(/^http:\/\/127\.0\.0\.1:\d+\n/);
  expect(outputOf('// HEAD; GET')).toContain(image.descriptor.digest);
  expect(digestOf(await readFile(path.join(folder, 'layer-0')))).toBe(image.blobs[1]!.descriptor.digest);
  expect(outputOf('remember the milk')).toMatch(/^sha256:\w{64} \[ '1' \] \[\]$/m);
  expect(await readdir(path.join(folder, 'copied', 'blobs', 'sha256'))).toHaveLength(3);
  expect(outputOf('checkCredential')).toMatch(/^GET 127\.0\.0\.1:\d+ \/v2\/ 200 .*\nfalse$/m);
});
