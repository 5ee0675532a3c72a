import { describe, expect, test } from 'vitest';
import { defaultCertsDirs, findHostDirectory } from '../../../src/registry/hosts/directory.ts';
import { newCertsDir } from '../fixtures.ts';

describe('the folders that are looked at', () => {
  test('are Lading’s own, then containerd’s', () => {
    expect(defaultCertsDirs({}, 0)).toEqual(['/etc/lading/certs.d', '/etc/containerd/certs.d']);
    expect(defaultCertsDirs({ HOME: '/home/a' }, 1000)).toEqual([
      '/home/a/.config/lading/certs.d',
      '/etc/containerd/certs.d',
    ]);
    expect(defaultCertsDirs({ HOME: '/home/a', XDG_CONFIG_HOME: '/cfg' }, 1000)[0]).toBe('/cfg/lading/certs.d');
    expect(defaultCertsDirs({ HOME: '/home/a', XDG_CONFIG_HOME: 'relative' }, 1000)[0]).toMatch(/^\/home\/a\//);
  });

  test('or those of LADING_CERTS_D, which may be none', () => {
    expect(defaultCertsDirs({ LADING_CERTS_D: '/a:/b' }, 0)).toEqual(['/a', '/b']);
    expect(defaultCertsDirs({ LADING_CERTS_D: '' }, 0)).toEqual([]);
  });
});

describe('the folder of a registry', () => {
  test('is looked for under its name, then as _default, in one folder after the other', async () => {
    const first = await newCertsDir({ 'a.test_5000_/x': '', 'a.test:5000/x': '' });
    const second = await newCertsDir({ 'a.test/x': '', '_default/x': '' });
    const find = async (registry: string) => {
      const found = await findHostDirectory(registry, [`${first}/missing`, first, second]);
      return found?.path.replace(first, '1').replace(second, '2');
    };
    expect(await find('a.test:5000')).toBe('1/a.test_5000_');
    expect(await find('a.test')).toBe('2/a.test');
    expect(await find('b.test')).toBe('2/_default');
  });

  test('is a folder, and not a file of that name', async () => {
    const root = await newCertsDir({ 'a.test': '' });
    expect(await findHostDirectory('a.test', [root])).toBeUndefined();
  });
});
