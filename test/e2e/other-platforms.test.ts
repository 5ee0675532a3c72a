import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { buildDemoImage, pushDemoImage } from '../../src/cli/demo-images/index.ts';
import { startRegistry } from '../../src/distribution/index.ts';
import { parseReference } from '../../src/oci/index.ts';
import { RegistryClient } from '../../src/registry/index.ts';
import { type LadingResult, runLading } from '../support/lading-process.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

/** Tells the program that it runs elsewhere; the machine is the same, so only what the program decides is tested. */
const pretence = "Object.defineProperty(process, 'platform', { value: 'darwin' });";

/** A registry with one image, and the program pretending. */
async function stage() {
  const folder = await temporaryFolder();
  const registry = await startRegistry({ root: path.join(folder, 'registry') });
  onTestFinished(() => registry.close());
  const name = `${registry.address}/img1:1.0.0`;
  const client = new RegistryClient();
  await pushDemoImage(client, parseReference(name), buildDemoImage({ name: 'img1', version: '1.0.0' }));
  await client.close();
  const preload = path.join(folder, 'pretend.mjs');
  writeFileSync(preload, pretence);
  const lading = (...args: string[]): Promise<LadingResult> =>
    runLading(['--root', path.join(folder, 'node'), ...args], { env: { NODE_OPTIONS: `--import=${preload}` } });
  return { folder, name, lading };
}

describe('on a machine that is not Linux', () => {
  test('images are pulled, listed, explained and checked', async () => {
    const { name, lading } = await stage();
    expect(await lading('pull', name)).toMatchObject({ exitCode: 0 });
    expect((await lading('images')).stdout).toContain('1.0.0');
    const explained = await lading('explain', name);
    expect(explained).toMatchObject({ exitCode: 0 });
    expect(explained.stdout).toContain('IfNotPresent does not ask the registry: this node has');
    expect(await lading('check')).toMatchObject({ exitCode: 0 });
    expect((await lading('pull', name, '-o', 'json')).stdout).toContain('"bytesFetched": 0');
  });

  test('run says that it needs Linux', async () => {
    const { folder, name, lading } = await stage();
    const manifest = path.join(folder, 'pod.json');
    const spec = { containers: [{ name: 'main', image: name }] };
    writeFileSync(manifest, JSON.stringify({ apiVersion: 'v1', kind: 'Pod', metadata: { name: 'p' }, spec }));
    const { exitCode, stderr } = await lading('run', manifest);
    expect(exitCode).toBe(1);
    expect(stderr).toMatch(/error: running containers needs Linux .*darwin/);
    expect(stderr).toContain('hint: Everything but running works here');
  });
});
