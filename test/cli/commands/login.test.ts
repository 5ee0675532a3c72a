import { spawnSync } from 'node:child_process';
import { chmod, mkdir, readFile, stat, symlink, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import {
  type DockerRegistry,
  dockerRegistryMissing,
  htpasswdUser,
  startDockerRegistry,
} from '../../support/docker-registry.ts';
import { RunningLading, runLading } from '../../support/lading-process.ts';
import { temporaryFolder } from '../../support/temporary-folder.ts';

const main = fileURLToPath(new URL('../../../src/cli/main.ts', import.meta.url));
const { username, password } = htpasswdUser;
const auth = Buffer.from(`${username}:${password}`).toString('base64');
const terminalMissing =
  spawnSync('python3', ['-c', 'import pty'], { stdio: 'ignore' }).status === 0
    ? undefined
    : 'python3 is not installed, which gives the test a terminal';

describe.skipIf(dockerRegistryMissing)(`with a docker-registry (${dockerRegistryMissing ?? 'installed'})`, () => {
  let registry: DockerRegistry;
  let open: DockerRegistry;
  let folder: string;
  let env: Record<string, string>;
  beforeAll(async () => {
    registry = await startDockerRegistry({ auth: 'htpasswd' });
    open = await startDockerRegistry();
  });
  afterAll(async () => {
    await registry?.close();
    await open?.close();
  });
  beforeEach(async () => {
    folder = await temporaryFolder();
    env = { DOCKER_CONFIG: path.join(folder, 'docker'), LADING_CERTS_D: '', DOCKER_AUTH_CONFIG: '' };
  });

  const configFile = () => path.join(folder, 'docker', 'config.json');
  const config = async () => JSON.parse(await readFile(configFile(), 'utf8'));
  const login = (where: string, stdin: string, ...args: string[]) =>
    runLading(['login', where, '-u', username, '--password-stdin', ...args], { env, stdin });

  async function installHelper(body: string): Promise<void> {
    await writeFile(path.join(folder, 'docker-credential-test'), `#!/bin/sh\n${body}\n`);
    await chmod(path.join(folder, 'docker-credential-test'), 0o755);
    await mkdir(path.join(folder, 'docker'));
    await writeFile(configFile(), JSON.stringify({ credHelpers: { [registry.address]: 'test' } }));
    env.PATH = `${folder}:${process.env.PATH}`;
  }

  test('login keeps what the registry accepts, for nobody else to read', async () => {
    const { exitCode, stdout, stderr } = await login(registry.address, `${password}\n`);
    expect([exitCode, stderr]).toEqual([0, '']);
    expect(stdout).toBe(`Logged in to ${registry.address} as lading; kept in ${configFile()}, unencrypted\n`);
    expect(await config()).toEqual({ auths: { [registry.address]: { auth } } });
    expect((await stat(configFile())).mode & 0o777).toBe(0o600);
    expect((await stat(path.dirname(configFile()))).mode & 0o777).toBe(0o700);
    const listed = await runLading(['ls-tags', `${registry.address}/none`], { env });
    expect(listed.stderr).toContain('answered 404');
  });

  test('and keeps what else the file holds, also behind a link', async () => {
    const elsewhere = path.join(folder, 'elsewhere.json');
    await writeFile(elsewhere, '{"psFormat":"x","auths":{"other.test":{"auth":"YTpi"}}}', { mode: 0o644 });
    await mkdir(path.join(folder, 'docker'));
    await symlink(elsewhere, configFile());
    await login(`http://${registry.address}/v2/`, password);
    expect(JSON.parse(await readFile(elsewhere, 'utf8'))).toEqual({
      psFormat: 'x',
      auths: { 'other.test': { auth: 'YTpi' }, [registry.address]: { auth } },
    });
    expect((await stat(elsewhere)).mode & 0o777).toBe(0o600);
  });

  test('a file that cannot be written is told, with what names another one', async () => {
    await writeFile(path.join(folder, 'docker'), '');
    const { exitCode, stderr } = await login(registry.address, password);
    expect([exitCode, stderr]).toEqual([
      1,
      expect.stringMatching(
        /^error: cannot write \S+\/docker\/config\.json: .*\nhint: DOCKER_CONFIG names another folder for it\.\n$/,
      ),
    ]);
  });

  test('a wrong password is not kept', async () => {
    const { exitCode, stdout, stderr } = await login(registry.address, 'wrong');
    expect([exitCode, stdout]).toEqual([1, '']);
    expect(stderr).toMatch(/^error: Registry .* answered 401 Unauthorized .*asked with user "lading".*\nhint: /);
    expect(stderr).not.toContain('wrong:');
    await expect(readFile(configFile())).rejects.toThrow('ENOENT');
  });

  test('a registry that wants no login is told of', async () => {
    const { exitCode, stderr } = await login(open.address, 'anything');
    expect(exitCode).toBe(0);
    expect(stderr).toMatch(/^warning: .* did not ask for a login/);
  });

  test('a helper keeps it where one is configured', async () => {
    await installHelper(`echo "$1" >> ${folder}/asked; cat >> ${folder}/asked`);
    const { stdout } = await login(registry.address, password);
    expect(stdout).toContain('kept in the credential helper docker-credential-test\n');
    expect((await readFile(path.join(folder, 'asked'), 'utf8')).split('\n')).toEqual([
      'store',
      JSON.stringify({ ServerURL: registry.address, Username: username, Secret: password }),
    ]);
    expect(await config()).not.toHaveProperty('auths');
  });

  test('logout forgets it, under all its spellings, and says when there was nothing', async () => {
    await mkdir(path.join(folder, 'docker'));
    const auths = { [`https://${registry.address}/v1/`]: { auth }, [registry.address]: { auth }, 'a.test': { auth } };
    await writeFile(configFile(), JSON.stringify({ auths }));
    const first = await runLading(['logout', registry.address], { env });
    expect(first).toEqual({ exitCode: 0, stdout: `Logged out of ${registry.address}\n`, stderr: '' });
    expect(await config()).toEqual({ auths: { 'a.test': { auth } } });
    const second = await runLading(['logout', registry.address], { env });
    expect(second).toEqual({ exitCode: 0, stdout: `Not logged in to ${registry.address}\n`, stderr: '' });
  });

  test('logout asks the helper', async () => {
    await installHelper('echo "credentials not found in native keychain"; exit 1');
    expect((await runLading(['logout', registry.address], { env })).stdout).toMatch(/^Not logged in/);
    await writeFile(path.join(folder, 'docker-credential-test'), '#!/bin/sh\n[ "$1" = erase ]\n');
    expect((await runLading(['logout', registry.address], { env })).stdout).toMatch(/^Logged out/);
  });

  test.each<[string, string[], RegExp]>([
    ['no registry', ['login', 'No_Registry', '-u', 'a', '--password-stdin'], /is not the name of a registry/],
    ['no user', ['login', 'a.test', '--password-stdin'], /needs --username/],
    ['no password', ['login', 'a.test', '-u', 'a', '--password-stdin'], /the password is empty/],
    ['no terminal', ['login', 'a.test', '-u', 'a'], /no terminal/],
  ])('%s is wrong usage', async (_, args, message) => {
    const { exitCode, stderr } = await runLading(args, { env, stdin: '' });
    expect(exitCode).toBe(2);
    expect(stderr).toMatch(message);
  });

  describe.skipIf(terminalMissing)(`at a terminal (${terminalMissing ?? 'of python3'})`, () => {
    const atTerminal = (...args: string[]) => {
      const command = ['python3', '-c', 'import pty,sys; sys.exit(pty.spawn(sys.argv[1:])>>8)', process.execPath, main];
      const running = new RunningLading(args, { env, command, keepStdin: true });
      return { running, type: (text: string) => running.child.stdin!.write(text) };
    };

    test('user and password are asked for, and the password does not show', async () => {
      const { running, type } = atTerminal('login', registry.address);
      await running.prints(`User for ${registry.address}: `);
      type(`${username}\r`);
      await running.prints('Password of lading: ');
      type(`${password}\r`);
      const { exitCode, stdout } = await running.ended;
      expect(exitCode).toBe(0);
      expect(stdout).toContain('Logged in to');
      expect(stdout).not.toContain(password);
      expect((await config()).auths[registry.address]).toEqual({ auth });
    });

    test('Ctrl-C ends the question', async () => {
      const { running, type } = atTerminal('login', '-u', username, registry.address);
      await running.prints('Password of lading: ');
      type('\u0003');
      expect((await running.ended).exitCode).toBe(130);
    });
  });
});
