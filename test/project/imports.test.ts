import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';

const source = fileURLToPath(new URL('../../src', import.meta.url));

/** Which folder of src/ may import which; `docs/architecture.md` draws the same. */
const mayImport: Readonly<Record<string, readonly string[] | 'anything'>> = {
  lib: [],
  oci: ['lib'],
  policy: ['oci', 'lib'],
  registry: ['oci', 'lib'],
  store: ['oci', 'lib'],
  unpack: ['oci', 'lib'],
  pull: ['registry', 'store', 'unpack', 'oci', 'lib'],
  transfer: ['registry', 'store', 'pull', 'unpack', 'oci', 'lib'],
  runtime: ['oci', 'lib'],
  cri: ['oci', 'lib'],
  engine: ['pull', 'store', 'registry', 'runtime', 'cri', 'oci', 'lib'],
  agent: ['cri', 'policy', 'oci', 'lib'],
  distribution: ['oci', 'store', 'registry', 'lib'],
  api: ['agent', 'lib'],
  cli: 'anything',
};

/** Packages that only one folder may use, so that a replacement touches one place. */
const packageHomes: Readonly<Record<string, string>> = {
  bcryptjs: 'distribution',
  koffi: 'lib',
  undici: 'registry',
  'smol-toml': 'registry',
  yaml: 'agent cli',
  commander: 'cli',
  valibot: 'cli',
  'log-update': 'cli',
  'string-width': 'cli',
  '@kubernetes/client-node': 'agent',
};

interface Import {
  readonly from: string;
  readonly specifier: string;
}

/** Statements begin their line (the formatter sees to it); `import('…')` stands anywhere. */
const importStatement = /^(?:import|export|\}) ?(?:[^'"\n;]* from )?'([^']+)';$|\bimport\('([^']+)'\)/gm;

const imports: Import[] = typescriptFiles(source).flatMap((file) =>
  [...readFileSync(file, 'utf8').matchAll(importStatement)].map((match) => ({
    from: file,
    specifier: match[1] ?? match[2]!,
  })),
);

describe('folders import only what they may', () => {
  test('every folder of src/ has a rule', () => {
    const folders = readdirSync(source, { withFileTypes: true }).map((entry) => entry.name);
    expect(folders.filter((folder) => !(folder in mayImport))).toEqual([]);
    expect(imports.length).toBeGreaterThan(folders.length);
  });

  test('no import crosses a boundary', () => {
    const crossings = imports.filter(({ from, specifier }) => {
      if (!specifier.startsWith('.')) return false;
      const rule = mayImport[folderOf(from)];
      const target = folderOf(resolve(dirname(from), specifier));
      return rule !== 'anything' && target !== folderOf(from) && !rule?.includes(target);
    });
    expect(crossings).toEqual([]);
  });

  test('a package is used in its home only', () => {
    const strays = imports.filter(({ from, specifier }) => {
      if (specifier.startsWith('.') || specifier.startsWith('node:')) return false;
      const name = specifier.split('/', specifier.startsWith('@') ? 2 : 1).join('/');
      return !packageHomes[name]?.split(' ').includes(folderOf(from));
    });
    expect(strays).toEqual([]);
  });
});

function folderOf(file: string): string {
  return relative(source, file).split(/[/\\]/)[0]!;
}

function typescriptFiles(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return typescriptFiles(path);
    return entry.name.endsWith('.ts') ? [path] : [];
  });
}
