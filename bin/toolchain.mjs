// What the npm scripts and the installed command need before TypeScript can run: the packages of this project and a
// Node.js that is new enough. Runs on Node 20 with nothing installed, so: plain JavaScript, no imports but Node's own.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { homedir, userInfo } from 'node:os';
import { join } from 'node:path';

const oldestMajor = 24;
const nodeVersionRange = '24';

/** Path of a `node` binary of at least version 24; installs one through npm the first time when this one is older. */
export function ensureNode() {
  if (Number(process.versions.node.split('.')[0]) >= oldestMajor) return process.execPath;
  const platformName = process.platform === 'win32' ? 'win' : process.platform;
  const packageName = `node-${platformName}-${process.arch}`;
  const prefix = join(cacheDirectory(), `${packageName}-${nodeVersionRange}`);
  const binary = join(prefix, 'node_modules', packageName, 'bin', process.platform === 'win32' ? 'node.exe' : 'node');
  if (existsSync(binary)) return binary;
  note(
    `Node.js ${process.version} is older than ${oldestMajor}: installing ${packageName}@${nodeVersionRange} with npm (once)`,
  );
  const partial = `${prefix}.${process.pid}`;
  try {
    mkdirSync(partial, { recursive: true });
    writeFileSync(join(partial, 'package.json'), '{"private":true}\n');
  } catch (error) {
    fail(`${error.message}. Set HOME to a folder that you may write to, or install Node.js ${oldestMajor} or newer.`);
  }
  const installed = npm(
    [
      'install',
      '--no-save',
      '--no-package-lock',
      '--no-fund',
      '--no-audit',
      '--loglevel=error',
      `${packageName}@${nodeVersionRange}`,
    ],
    partial,
  );
  if (!installed) {
    rmSync(partial, { recursive: true, force: true });
    fail(
      `npm could not install ${packageName}@${nodeVersionRange}. Install Node.js ${oldestMajor} or newer, then run the command again.`,
    );
  }
  try {
    renameSync(partial, prefix);
  } catch {
    rmSync(partial, { recursive: true, force: true });
  }
  return binary;
}

/** Installs the packages of `root` when package-lock.json is newer than the last installation. */
export function ensurePackages(root) {
  const lock = join(root, 'package-lock.json');
  const marker = join(root, 'node_modules', '.package-lock.json');
  if (existsSync(marker) && statSync(marker).mtimeMs >= statSync(lock).mtimeMs) return;
  note('installing npm packages (once)');
  if (!npm(['ci', '--no-fund', '--no-audit', '--loglevel=error'], root)) {
    fail('npm ci failed. See its message above, then run the command again.');
  }
  // npm keeps the lock file's time on some file systems; the marker must not look older than the lock.
  writeFileSync(marker, readFileSync(marker));
}

function npm(args, cwd) {
  const command = process.platform === 'win32' ? 'npm.cmd' : 'npm';
  const result = spawnSync(command, args, {
    cwd,
    stdio: ['ignore', 2, 2],
    shell: process.platform === 'win32',
    env: cleanEnvironment(),
  });
  return result.status === 0;
}

/** Without what an outer `npm run` sets, so that the inner npm works on its own folder. */
function cleanEnvironment() {
  return Object.fromEntries(
    Object.entries(process.env).filter(([key]) => !/^npm_(config_(local_)?prefix|lifecycle|package)/.test(key)),
  );
}

/** Where what is fetched or compiled once is kept for this user. */
export function cacheDirectory() {
  return join(process.env.XDG_CACHE_HOME || join(homeFolder(), '.cache'), 'lading');
}

/** As `src/lib/home-folder.ts`, which only a newer Node.js can load. */
function homeFolder() {
  if (process.env.HOME) return process.env.HOME;
  try {
    return homedir() || userInfo().homedir;
  } catch {
    return '/';
  }
}

function note(text) {
  process.stderr.write(`lading: ${text}\n`);
}

function fail(text) {
  process.stderr.write(`lading: ${text}\n`);
  process.exit(1);
}
