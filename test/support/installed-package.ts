import { execFile } from 'node:child_process';
import { cpSync, mkdirSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const project = fileURLToPath(new URL('../..', import.meta.url));
/** What `npm pack` reads, and what builds `dist`. */
const sources = [
  ...['package.json', 'package-lock.json', 'tsconfig.json', 'tsconfig.build.json', 'README.md', 'LICENSE'],
  ...['bin', 'docs', 'scripts', 'src'],
];
/** A download of all packages on a slow line. */
const timeoutMs = 240_000;

export interface InstalledPackage {
  /** Where it is installed. */
  readonly folder: string;
  /** Paths in the package. */
  readonly files: readonly string[];
}

/**
 * Packs a copy of this project below `folder` with `npm pack`, which builds it, and installs the package into an empty
 * folder there.
 * @returns why that cannot be tested when npm needs a registry that cannot be reached
 */
export async function installPackage(folder: string): Promise<InstalledPackage | { readonly missing: string }> {
  const copy = path.join(folder, 'copy');
  const target = path.join(folder, 'installed');
  for (const name of sources) cpSync(path.join(project, name), path.join(copy, name), { recursive: true });
  symlinkSync(path.join(project, 'node_modules'), path.join(copy, 'node_modules'));
  // So that it does not look newer than the packages, which are not of this copy alone.
  utimesSync(path.join(copy, 'package-lock.json'), 0, 0);
  const packed = JSON.parse(
    await npm(copy, 'pack', '--json', '--loglevel=error', '--pack-destination', folder),
  ) as unknown;
  const [{ filename, files }] = Object.values(packed as object) as [{ filename: string; files: { path: string }[] }];

  mkdirSync(target);
  writeFileSync(path.join(target, 'package.json'), '{"private":true}\n');
  try {
    await npm(target, 'install', '--prefer-offline', '--no-audit', '--no-fund', path.join(folder, filename));
  } catch (error) {
    const unreachable = /\b(ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENOTCACHED)\b/.exec(
      String(error),
    )?.[0];
    if (unreachable === undefined) throw error;
    return { missing: `npm cannot reach its registry (${unreachable})` };
  }
  return { folder: target, files: files.map((file) => file.path) };
}

/** The environment of a shell: without what an `npm` around these tests sets. */
export function shellEnvironment(): NodeJS.ProcessEnv {
  const { LADING_ROOT: _, FORCE_COLOR: __, NODE_ENV: ___, ...inherited } = process.env;
  return Object.fromEntries(Object.entries(inherited).filter(([name]) => !/^(npm_|VITEST)/i.test(name)));
}

function npm(cwd: string, ...args: string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const options = { cwd, env: shellEnvironment(), timeout: timeoutMs, maxBuffer: 1 << 26 };
    execFile('npm', args, options, (error, stdout, stderr) => {
      if (error) reject(new Error(`npm ${args.join(' ')}: ${error.message}\n${stdout}${stderr}`));
      else resolve(stdout);
    });
  });
}
