import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, onTestFinished, test } from 'vitest';
import { startRegistry } from '../../src/distribution/index.ts';
import { digestOf } from '../../src/oci/index.ts';
import { tarOf, testImage } from '../pull/support/test-image.ts';
import { newClient, pushImage, referenceAt } from '../registry/fixtures.ts';
import { rootMissing } from '../support/root.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

/** The examples of the documentation, run as they are printed there, against a registry at another port. */
const project = fileURLToPath(new URL('../..', import.meta.url));
const examplesOf = (file: string) => {
  const text = readFileSync(path.join(project, file), 'utf8');
  return [...text.matchAll(/^```[jt]s\n(.*?)^```$/gms)].map(([, code]) => code!);
};
const examples = { registry: examplesOf('docs/registry.md'), store: examplesOf('docs/store.md') };
const image = testImage({ layers: [tarOf({ 'etc/': '', 'etc/name': 'app' })] });
const [layer] = image.layers;
const user = 'alice:$2b$10$OW2ugDvNypFiilxq2dl1I.wMN9qHKndDg/RvooSymmzJOKP1I3Ciu\n';

/** @returns what it prints */
async function run(code: string, { folder, address }: { folder: string; address: string }): Promise<string> {
  const program = code
    .replaceAll(
      /from 'lading\/(\w+)'/g,
      (_, name) => `from '${new URL(`../../src/${name}/index.ts`, import.meta.url)}'`,
    )
    .replaceAll('127.0.0.1:5000', address)
    .replaceAll('port: 5000', 'port: 0')
    .replaceAll('listen(5000', 'listen(0');
  const file = path.join(folder, 'example.ts');
  await writeFile(file, program);
  const env = { ...process.env, HOME: folder, NODE_OPTIONS: '', NO_COLOR: '1' };
  const { stdout, stderr } = await promisify(execFile)(process.execPath, [file], { cwd: folder, env });
  expect(stderr, code).toBe('');
  return stdout;
}

/** A folder to run them in, and the address of a registry with the image. */
async function prepare(): Promise<{ folder: string; address: string }> {
  const folder = await temporaryFolder();
  const registry = await startRegistry({ root: path.join(folder, 'served') });
  onTestFinished(() => registry.close());
  const blobs = [image.config, ...image.layers].map((descriptor, at) => ({ descriptor, bytes: image.blobs[at]! }));
  const pushed = { manifest: image.manifestBytes, descriptor: image.manifest, blobs };
  await pushImage(newClient().client, pushed, referenceAt(registry, 'team/app:1'));
  await writeFile(path.join(folder, 'users'), user);
  return { folder, address: registry.address };
}

test('the examples of docs/registry.md run, and do what they are for', async () => {
  const { folder, address } = await prepare();
  const printed = new Map<string, string>();
  for (const code of examples.registry) printed.set(code, await run(code, { folder, address }));
  const outputOf = (words: string) => [...printed].find(([code]) => code.includes(words))?.[1];

  expect(outputOf('startRegistry')).toMatch(/^http:\/\/127\.0\.0\.1:\d+\n/);
  expect(outputOf('// HEAD; GET')).toContain(image.manifest.digest);
  expect(digestOf(await readFile(path.join(folder, 'layer-0')))).toBe(layer!.digest);
  expect(outputOf('remember the milk')).toMatch(/^sha256:\w{64} \[ '1' \] \[\]$/m);
  expect(await readdir(path.join(folder, 'copied', 'blobs', 'sha256'))).toHaveLength(3);
  expect(outputOf('checkCredential')).toMatch(/^GET 127\.0\.0\.1:\d+ \/v2\/ 200 .*\nfalse$/m);
});

test.skipIf(rootMissing)('the example of docs/store.md pulls an image and lists its files', async () => {
  const [printed] = await Promise.all(examples.store.map(async (code) => run(code, await prepare())));
  expect(printed).toContain(`${image.manifest.digest} 1 ${layer!.size}\n`);
  expect(printed).toMatch(/^published\n\[ 'etc', 'etc\/name' \]$/m);
});

test('they have the types of a strict program, as that of the README does', async () => {
  const folder = await temporaryFolder();
  for (const [index, code] of [...examples.registry, ...examples.store, ...examplesOf('README.md')].entries()) {
    await writeFile(path.join(folder, `example-${index}.mts`), code);
  }
  const inProject = (name: string) => path.join(project, name);
  const settings = {
    extends: inProject('tsconfig.json'),
    compilerOptions: {
      paths: { 'lading/*': [inProject('src/*/index.ts')] },
      typeRoots: [inProject('node_modules/@types')],
    },
    include: ['*.mts', inProject('src/**/*.d.ts')],
  };
  await writeFile(path.join(folder, 'tsconfig.json'), JSON.stringify(settings));
  const compiler = inProject('node_modules/typescript/bin/tsc');
  const compiled = await promisify(execFile)(process.execPath, [compiler], { cwd: folder }).catch((error) => error);
  expect(compiled.stdout).toBe('');
});
