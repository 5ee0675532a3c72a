import { spawnSync } from 'node:child_process';
import { homedir, userInfo } from 'node:os';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { homeFolder } from '../../src/lib/home-folder.ts';

test('$HOME goes before the user database', () => {
  expect(homeFolder({ HOME: '/home/of/tests' })).toBe('/home/of/tests');
  expect(homeFolder({})).toBe(homedir());
});

test.each([
  ['no HOME', {}],
  ['an empty HOME', { HOME: '' }],
])('with %s the user database says it', (_, env) => {
  expect(inAnotherProcess('log(homeFolder())', env)).toBe(userInfo().homedir);
});

test.skipIf(process.getuid?.() !== 0)('a user whom nobody knows has no home, and everything works (root)', () => {
  const said = inAnotherProcess(
    `process.setuid(399_999_999);
     log(homeFolder(), dockerConfigFile(process.env), containersAuthFiles(process.env)[0], defaultCertsDirs()[0]);
     const { settings } = await loadConfiguration({ flags: {}, env: process.env, uid: process.geteuid() });
     log(settings.root);`,
    {},
  );
  expect(said.split(/\s/)).toEqual([
    '/',
    '/.docker/config.json',
    '/run/containers/399999999/containers/auth.json',
    '/.config/lading/certs.d',
    '/.local/share/lading',
  ]);
});

/** What a program says that is run with this environment and no other. */
function inAnotherProcess(program: string, env: NodeJS.ProcessEnv): string {
  const from = (file: string) => `from '${fileURLToPath(new URL(`../../src/${file}`, import.meta.url))}';`;
  const text = `
    import { homeFolder } ${from('lib/home-folder.ts')}
    import { dockerConfigFile } ${from('registry/docker-config.ts')}
    import { containersAuthFiles } ${from('registry/containers-auth.ts')}
    import { defaultCertsDirs } ${from('registry/hosts/directory.ts')}
    import { loadConfiguration } ${from('cli/configuration/configuration.ts')}
    const { log } = console;
    ${program}`;
  const { stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', text], {
    encoding: 'utf8',
    env,
  });
  expect(stderr).toBe('');
  return stdout.trim();
}
