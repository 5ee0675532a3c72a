/**
 * Runs docs/pull-policy.md again: its files, its commands and, in comments, what happens to the registry. Digests, ports and
 * times differ from run to run; everything else has to be as it is printed there. `LADING_UPDATE_DOCS=1` prints it anew.
 */
import { execFile } from 'node:child_process';
import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { busyboxMissing } from '../support/busybox.ts';
import { pushBusyboxImage } from '../support/busybox-image.ts';
import {
  type DockerRegistry,
  dockerRegistryMissing,
  htpasswdUser,
  startDockerRegistry,
} from '../support/docker-registry.ts';
import { programMissing, skopeo } from '../support/foreign-clients.ts';
import { ladingEnvironment } from '../support/lading-process.ts';
import { whyNot } from '../support/runtimes.ts';

/** Other runtimes, and users who are not root, are told more. */
const rootMissing = process.geteuid?.() === 0 ? undefined : 'needs root';
const missing =
  rootMissing ?? dockerRegistryMissing ?? busyboxMissing ?? programMissing('skopeo') ?? (await whyNot('runc'));
const page = fileURLToPath(new URL('../../docs/pull-policy.md', import.meta.url));
const main = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url));

describe.skipIf(missing)(`docs/pull-policy.md${missing ? ` (skipped: ${missing})` : ''}`, () => {
  let folder: string;
  let registry: DockerRegistry;
  let locked: DockerRegistry;
  const digests = new Map<string, string>();

  beforeAll(async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'lading-page-'));
    registry = await startDockerRegistry();
    locked = await startDockerRegistry({ auth: 'htpasswd' });
    const shim = path.join(folder, 'lading');
    await writeFile(shim, `#!/bin/sh\nexec '${process.execPath}' '${main}' "$@"\n`);
    await chmod(shim, 0o755);
  });
  afterAll(async () => {
    await registry?.close();
    await locked?.close();
    await rm(folder, { recursive: true, force: true });
  });

  test('says what happens', async () => {
    const text = await readFile(page, 'utf8');
    const written: string[] = [];
    for (const part of text.split(/(^<!-- .* -->\n|^```console\n[\s\S]*?^```\n)/m)) {
      const comment = /^<!-- (.*) -->\n$/.exec(part)?.[1];
      const isConsole = part.startsWith('```console\n');
      if (comment !== undefined) await direct(comment, text);
      written.push(isConsole ? `\`\`\`console\n${await runAll(part)}\`\`\`\n` : part);
    }
    if (process.env.LADING_UPDATE_DOCS) await writeFile(page, written.join(''));
    else expect(normalized(written.join(''))).toBe(normalized(text));
  }, 120_000);

  async function direct(comment: string, text: string): Promise<void> {
    const [what, ...args] = comment.split(' ') as [string, ...string[]];
    const [name = '', version = ''] = args;
    if (what === 'file') await writeFile(path.join(folder, name), ours(fileNamed(name, text)));
    else if (what === 'push') digests.set(version, await push(name, version));
    else if (what === 'push-private') await pushPrivate(name, version);
    else if (what === 'registry') await (name === 'stop' ? registry.stop() : registry.start());
    else throw new Error(`unknown: ${comment}`);
  }

  const push = async (name: string, version: string) =>
    (await pushBusyboxImage(registry.address, name, { version })).manifest;

  async function pushPrivate(name: string, version: string): Promise<void> {
    await push(name, version);
    const credentials = `${htpasswdUser.username}:${htpasswdUser.password}`;
    const options = ['-q', '--src-tls-verify=false', '--dest-tls-verify=false', '--dest-creds', credentials];
    await skopeo('copy', ...options, `docker://${registry.address}/${name}`, `docker://${locked.address}/${name}`);
  }

  async function runAll(block: string): Promise<string> {
    const commands = block.split('\n').filter((line) => line.startsWith('$ '));
    let output = '';
    for (const line of commands) {
      const command = ours(line.slice('$ '.length));
      output += `$ ${theirs(command)}\n${theirs(await run(command))}`;
    }
    return output;
  }

  /** As a terminal shows it, without the lines of progress, whose order is not always the same. */
  async function run(command: string): Promise<string> {
    const env = { ...ladingEnvironment(), PATH: `${folder}:${process.env.PATH}`, DOCKER_CONFIG: folder, HOME: folder };
    const output = await new Promise<string>((resolve) => {
      execFile('sh', ['-c', `exec 2>&1; ${command}`], { cwd: folder, env }, (_, stdout) => resolve(stdout));
    });
    return output.replace(/^.* {2}[0-9a-f]{12} {2}(downloading|verifying|unpacking|done|already there) {2}.*\n/gm, '');
  }

  /** The addresses and digests of this run for those of the page, and back. */
  function ours(text: string): string {
    return text
      .replace(/(?<=--image-override \S+=)\S+/, `${digests.get('one')?.slice(0, 19)}`)
      .replace(/(?<=app@)sha256:[0-9a-f]{64}/, `${digests.get('two')}`)
      .replaceAll('127.0.0.1:5000', registry.address)
      .replaceAll('127.0.0.1:5001', locked.address);
  }

  function theirs(text: string): string {
    return text
      .replaceAll(registry.address, '127.0.0.1:5000')
      .replaceAll(locked.address, '127.0.0.1:5001')
      .replaceAll(`${folder}/`, '');
  }
});

function fileNamed(name: string, text: string): string {
  const start = text.indexOf('```yaml\n', text.indexOf(`<!-- file ${name} -->`)) + '```yaml\n'.length;
  return text.slice(start, text.indexOf('```\n', start));
}

/** Digests by the order in which they appear, so that which of them are the same still counts; times and sizes as such. */
function normalized(text: string): string {
  const seen = new Map<string, string>();
  return text
    .replace(/\b[0-9a-f]{12,64}\b/g, (hex) => {
      const key = hex.slice(0, 12);
      if (!seen.has(key)) seen.set(key, `<hex ${seen.size}>`);
      return seen.get(key)!;
    })
    .replace(/\d{4}-\d\d-\d\d[T ][\d:]+(Z| UTC)?/g, '<time>')
    .replace(/\b([\d.]+(ms|s|m)|just now)( ago)?\b/g, '<age>')
    .replace(/(<age>){2,}/g, '<age>')
    .replace(/\b\d+ ms\b/g, '<ms>')
    .replace(/\d+(\.\d+)?(B|kB|MB)\b|\d+ bytes/g, '<size>')
    .replace(/\d+%/g, '<percent>')
    .replace(/[ \t]{2,}/g, '  ');
}
