import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { startHostileServer } from '../../support/hostile-server.ts';
import { runLading } from '../../support/lading-process.ts';
import { temporaryFolder } from '../../support/temporary-folder.ts';

describe('lading config hosts', () => {
  let certsDir: string;
  const hosts = (...args: string[]) => runLading(['config', 'hosts', ...args], { env: { LADING_CERTS_D: certsDir } });
  beforeEach(async () => {
    certsDir = await temporaryFolder();
    await mkdir(path.join(certsDir, 'docker.io'));
  });
  const configure = (text: string) => writeFile(path.join(certsDir, 'docker.io', 'hosts.toml'), text);

  test('shows endpoints and what would be asked, in order', async () => {
    await configure(
      '[host."http://mirror.test:5000"]\ncapabilities = ["pull"]\nskip_verify = true\ndial_timeout = "500ms"\n' +
        '[host."http://mirror.test:5000".header]\nX-Key = "geheim"\n',
    );
    const { exitCode, stdout, stderr } = await hosts('nginx');
    expect([exitCode, stderr]).toEqual([0, '']);
    expect(stdout).toContain(`docker.io is configured by ${certsDir}/docker.io/hosts.toml\n`);
    expect(stdout).toMatch(
      /^1 {3}https:\/\/mirror\.test:5000\/v2 +pull +any certificate; else http; headers x-key; dial timeout 0\.5s$/m,
    );
    expect(stdout).toMatch(
      /^The manifest is asked for at\n {2}https:\/\/registry-1\.docker\.io\/v2\/library\/nginx\/manifests\/latest\n\n/m,
    );
    expect(stdout).toContain('  https://mirror.test:5000/v2/library/nginx/blobs/<digest>?ns=docker.io\n');
    expect(stdout).not.toContain('geheim');
  });

  test('prints the same as a document', async () => {
    await configure('[host."https://mirror.test"]\n');
    const { stdout } = await hosts('-o', 'json', 'nginx:1');
    expect(JSON.parse(stdout)).toMatchObject({
      image: 'docker.io/library/nginx:1',
      directory: `${certsDir}/docker.io`,
      endpoints: [
        { url: 'https://mirror.test/v2', certificates: 'verified' },
        { url: 'https://registry-1.docker.io/v2' },
      ],
      push: 'https://mirror.test/v2/library/nginx/blobs/uploads/?ns=docker.io',
    });
  });

  test('says that a file is ignored, and why', async () => {
    await configure('server = 1\n');
    const { exitCode, stdout, stderr } = await hosts('nginx');
    expect(exitCode).toBe(0);
    expect(stderr).toBe(
      `warning: ${certsDir}/docker.io/hosts.toml:1: server is not text; the file is ignored, and docker.io is asked itself\n`,
    );
    expect(stdout).toContain(`docker.io is configured by the files in ${certsDir}/docker.io\n`);
  });

  test('fails on a certificate that cannot be read, and on no image', async () => {
    await configure('ca = "missing.pem"\n');
    const broken = await hosts('nginx');
    expect([broken.exitCode, broken.stdout]).toEqual([1, '']);
    expect(broken.stderr).toMatch(/^error: Cannot use .*missing\.pem as the certificate of an authority: .*\nhint: /);
    expect((await hosts('No_Image')).exitCode).toBe(2);
  });

  test('mirrors of the configuration hold for registries without a folder; every command asks them', async () => {
    const server = await startHostileServer((_, response) => response.writeHead(404).end());
    onTestFinished(() => server.close());
    const config = path.join(certsDir, 'config.yaml');
    const mirrors = `{quay.io: [${server.url}, {url: "https://m.test/hub", override_path: true}]}`;
    await writeFile(config, `registry:\n  mirrors: ${mirrors}\n`);
    const { stdout } = await hosts('quay.io/a/b:1', '--config', config);
    expect(stdout).toContain(`quay.io is configured by registry.mirrors (quay.io), ${config}:2\n`);
    const urls = [`${server.url}/v2/a/b`, 'https://m.test/hub/a/b', 'https://quay.io/v2/a/b'];
    const queries = ['?ns=quay.io', '?ns=quay.io', ''];
    const expected = urls.map((url, index) => `  ${url}/manifests/1${queries[index]}\n`).join('');
    expect(stdout).toContain(`The manifest is asked for at\n${expected}\n`);
    expect(stdout).toContain('Uploads begin at\n  https://quay.io/v2/a/b/blobs/uploads/\n');
    const { stderr } = await runLading(['ls-tags', 'quay.invalid/a/b'], {
      env: { LADING_CERTS_D: certsDir, LADING_REGISTRY_MIRRORS: `{quay.invalid: ${server.url}}` },
    });
    expect(server.log).toEqual(['GET /v2/a/b/tags/list?n=1000&ns=quay.invalid']);
    expect(stderr).toContain('None of the 2 endpoints of quay.invalid was of use');
  });

  test('secrets of mirrors show neither in the configuration nor in an error', async () => {
    const mirror = (more: string) => `{a.test: {url: "https://user:geheim@m.test", header: {X-Key: geheim}${more}}}`;
    const env = { LADING_REGISTRY_MIRRORS: mirror('') };
    const shown = await runLading(['config', '-o', 'json'], { env });
    expect(shown.stdout).toContain('"X-Key": "REDACTED"');
    expect(shown.stdout).toContain('https://REDACTED@m.test');
    const wrong = await runLading(['config'], { env: { LADING_REGISTRY_MIRRORS: mirror(', fast: true') } });
    expect(wrong.stderr).toContain('fast is not one of url, capabilities');
    for (const { stdout, stderr } of [shown, wrong]) expect(stdout + stderr).not.toContain('geheim');
  });
});
