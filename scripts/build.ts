/**
 * Emits `dist/` for the published package: the types beside what package.json exports, and all modules, with those of
 * their packages, in a few files: `lading copy` has its first answer after 100 ms instead of 140.
 */
import { spawnSync } from 'node:child_process';
import { readFileSync, rmSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { build } from 'rolldown';
import { programModules } from '../src/lib/program-module.ts';

process.chdir(fileURLToPath(new URL('..', import.meta.url)));
rmSync('dist', { recursive: true, force: true });
const { status } = spawnSync(process.execPath, ['node_modules/typescript/bin/tsc', '-p', 'tsconfig.build.json'], {
  stdio: 'inherit',
});
if (status !== 0) process.exit(status ?? 1);

const { exports } = JSON.parse(readFileSync('package.json', 'utf8')) as { exports: Record<string, unknown> };
const libraries = Object.keys(exports).flatMap((name) => (name.endsWith('.json') ? [] : [`${name.slice(2)}/index`]));
const entries = ['cli/main', ...libraries, ...programModules];

const isEntry = new RegExp(`/src/(${entries.join('|')})\\.ts$`);
const chunks = {
  // Alone, as it must run before all others.
  'v8-flags': /\/src\/cli\/v8-flags\.ts$/,
  // What almost every command loads.
  base: /\/src\/(lib|oci)\//,
  registry: /\/src\/registry\//,
};

await build({
  input: Object.fromEntries(entries.map((name) => [name, `src/${name}.ts`])),
  platform: 'node',
  // Has a binary beside it.
  external: 'koffi',
  plugins: [
    {
      name: 'without-http2',
      // undici asks for it, and does without where it is not there. It takes 12 ms to load, and is never used.
      resolveId: (source) => (source === 'node:http2' ? '\0no-http2' : undefined),
      load: (id) => (id === '\0no-http2' ? 'export const constants = {};' : undefined),
    },
  ],
  output: {
    dir: 'dist',
    format: 'esm',
    entryFileNames: '[name].js',
    // Two folders below the package, as the modules of `src/lib`, which look for files from where they are.
    chunkFileNames: 'chunks/[name]-[hash].js',
    codeSplitting: {
      groups: Object.entries(chunks).map(([name, modules], index) => ({
        name,
        test: (id) => modules.test(id) && !isEntry.test(id),
        priority: -index,
      })),
    },
  },
});
