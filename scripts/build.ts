/**
 * Emits `dist/` for the published package, with the modules of its packages in a few files: `lading copy` has its first
 * answer after 100 ms instead of 140. What package.json exports, and what threads and child processes begin with, are
 * modules with their types beside them; the program is `dist/program/`, CommonJS files that `bin/program.cjs` loads.
 */
import { spawnSync } from 'node:child_process';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { type BuildOptions, build, type OutputOptions } from 'rolldown';
import { programModules } from '../src/lib/program-module.ts';

process.chdir(fileURLToPath(new URL('..', import.meta.url)));
rmSync('dist', { recursive: true, force: true });
const { status } = spawnSync(process.execPath, ['node_modules/typescript/bin/tsc', '-p', 'tsconfig.build.json'], {
  stdio: 'inherit',
});
if (status !== 0) process.exit(status ?? 1);

const { exports } = JSON.parse(readFileSync('package.json', 'utf8')) as { exports: Record<string, unknown> };
const libraries = Object.keys(exports).flatMap((name) => (name.endsWith('.json') ? [] : [`${name.slice(2)}/index`]));
const entries = [...libraries, ...programModules];

const chunks = {
  // What almost every command loads.
  base: /\/src\/(lib|oci)\//,
  registry: /\/src\/registry\//,
};

/** What packages load and Lading never uses. A command asks its first request 24 ms earlier without it. */
const notUsed = [
  // 12 ms; undici does without where it is not there.
  { from: /\/undici\//, module: /^node:http2$/, instead: 'export const constants = {};' },
  // 4 ms; undici wants to know whether a body is an IncomingMessage, and the default limit on heads of messages.
  {
    from: /\/undici\//,
    module: /^node:http$/,
    instead: 'export class IncomingMessage {}\nexport const maxHeaderSize = 16384;',
  },
  // 2 ms; an experimental parser of undici, as 165 kB of text.
  { from: /\/undici\//, module: /\/milo\/(?:no-)?simd\.js$/, instead: 'export default undefined;' },
  // 5 ms; commander starts programs for commands that are programs of their own.
  { from: /\/commander\//, module: /^node:child_process$/, instead: 'export default {};' },
];
const emptyPrefix = '\0not-used:';

/**
 * undici copies each piece of an answer into the memory of its parser. In the midst of a body whose length is known the
 * parser only counts and looks at nothing: a copy of 144 MB takes 5 % less time without.
 */
const notCopied = {
  module: /\/undici\/lib\/dispatcher\/client-h1\.js$/,
  statement: 'currentBuffer.set(chunk)',
  unless: 'this.bytesRead > 0 && !this.hasTransferEncoding && this.contentLength - this.bytesRead > chunk.length',
};

/** V8 keeps and reads text with one other character in two bytes for each. */
const ascii = (code: string) =>
  code.replace(/[^\0-\x7f]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`);

const common: BuildOptions = {
  platform: 'node',
  // Has a binary beside it.
  external: 'koffi',
  plugins: [
    {
      name: 'without-what-is-not-used',
      resolveId: (source, importer = '') =>
        notUsed.find(({ from, module }) => from.test(importer) && module.test(source)) && `${emptyPrefix}${source}`,
      load(id) {
        if (!id.startsWith(emptyPrefix)) return;
        const source = id.slice(emptyPrefix.length);
        return notUsed.find(({ module }) => module.test(source))!.instead;
      },
    },
    {
      name: 'without-needless-copies',
      transform(code, id) {
        const { module, statement, unless } = notCopied;
        if (!module.test(id)) return;
        if (code.split(statement).length !== 2) throw new Error(`${id} has another way to copy: look at it anew`);
        return code.replace(statement, `if (!(${unless})) ${statement}`);
      },
      generateBundle(_options, bundle) {
        const isDone = Object.values(bundle).some(
          (file) => file.type === 'chunk' && file.code.includes(notCopied.unless),
        );
        if (!isDone) throw new Error(`undici has no ${notCopied.module} any more: look for the copy anew`);
      },
    },
    {
      name: 'ascii',
      generateBundle(_options, bundle) {
        for (const file of Object.values(bundle)) if (file.type === 'chunk') file.code = ascii(file.code);
      },
    },
  ],
};

/** @param names of modules below `src/`, which become files of their own */
function inChunks(names: readonly string[]): OutputOptions {
  const isEntry = new RegExp(`/src/(${names.join('|')})\\.ts$`);
  const groups = Object.entries(chunks).map(([name, modules], index, all) => ({
    name,
    test: (id: string) => modules.test(id) && !isEntry.test(id),
    priority: all.length - index,
  }));
  return { codeSplitting: { groups } };
}

// Modules of `src/lib` look for files from where they are: whatever becomes of them is two folders below the package.
await build({
  ...common,
  input: Object.fromEntries(entries.map((name) => [name, `src/${name}.ts`])),
  output: {
    ...inChunks(entries),
    dir: 'dist',
    format: 'esm',
    entryFileNames: '[name].js',
    chunkFileNames: 'chunks/[name]-[hash].js',
  },
});
const { output } = await build({
  ...common,
  input: { main: 'src/cli/main.ts' },
  // By these names the code that was compiled of it is found again.
  output: {
    ...inChunks(['cli/main']),
    dir: 'dist/program',
    format: 'cjs',
    // Of Node's own modules too: its loader of ES modules knows nothing of code that the program loaded itself.
    dynamicImportInCjs: false,
    entryFileNames: '[name]-[hash].js',
    chunkFileNames: '[name]-[hash].js',
  },
});
writeFileSync('dist/program/entry', output[0].fileName);
