// What the npm scripts and the installed command need before TypeScript can run: the packages of this project and a
// Node.js that is new enough. Runs on Node 20 with nothing installed, so: plain JavaScript, no imports but Node's own.
import { spawn, spawnSync } from 'node:child_process';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { constants, homedir, userInfo } from 'node:os';
import { basename, dirname, isAbsolute, join } from 'node:path';

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
  let partial;
  try {
    partial = partialFolder(prefix);
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
  moveUnlessThere(partial, prefix);
  rmSync(partial, { recursive: true, force: true });
  return binary;
}

/** Runs a Node.js that is new enough in place of this process, which ends as that one ends. */
export function runNode(args, options = {}) {
  const child = spawn(ensureNode(), args, { stdio: 'inherit', ...options });
  // The terminal sends Ctrl-C to the whole process group: the child decides what to do, this process waits for it.
  for (const signal of ['SIGINT', 'SIGHUP']) process.on(signal, () => {});
  process.on('SIGTERM', () => child.kill('SIGTERM'));
  child.on('exit', (code, signal) => process.exit(code ?? 128 + (constants.signals[signal] ?? 0)));
}

/** Installs the packages of `root` when package-lock.json is newer than the last installation. */
export function ensurePackages(root) {
  const lock = join(root, 'package-lock.json');
  const packages = join(root, 'node_modules');
  const areThere = () => {
    const marker = join(packages, '.package-lock.json');
    return existsSync(marker) && statSync(marker).mtimeMs >= statSync(lock).mtimeMs;
  };
  if (areThere()) return;
  note('installing npm packages (once)');
  const hasOlder = existsSync(packages);
  // Elsewhere first: two `npm ci` at the same time in one folder spoil each other's work.
  const partial = partialFolder(packages);
  for (const name of ['package.json', 'package-lock.json', '.npmrc']) {
    if (existsSync(join(root, name))) copyFileSync(join(root, name), join(partial, name));
  }
  const installed = npm(['ci', '--no-fund', '--no-audit', '--loglevel=error'], partial);
  if (installed && !areThere()) {
    // npm keeps the lock file's time on some file systems; the marker must not look older than the lock.
    const marker = join(partial, 'node_modules', '.package-lock.json');
    writeFileSync(marker, readFileSync(marker));
    if (hasOlder) moveUnlessThere(packages, join(partial, 'older'));
    moveUnlessThere(join(partial, 'node_modules'), packages);
  }
  rmSync(partial, { recursive: true, force: true });
  if (!installed) fail('npm ci failed. See its message above, then run the command again.');
}

/** An empty folder beside `target`, for this process. Removes what those have left that were killed. */
function partialFolder(target) {
  const parent = dirname(target);
  mkdirSync(parent, { recursive: true });
  for (const name of readdirSync(parent)) {
    const [, pid] = name.startsWith(`${basename(target)}.`) ? (/\.(\d+)$/.exec(name) ?? []) : [];
    if (pid !== undefined && !isAlive(Number(pid))) rmSync(join(parent, name), { recursive: true, force: true });
  }
  const partial = `${target}.${process.pid}`;
  mkdirSync(partial, { recursive: true });
  return partial;
}

function isAlive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === 'EPERM';
  }
}

/** Another process may be faster, or there may be nothing to move. */
function moveUnlessThere(from, to) {
  try {
    renameSync(from, to);
  } catch (error) {
    if (!['ENOENT', 'ENOTEMPTY', 'EEXIST', 'EPERM'].includes(error.code)) throw error;
  }
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
  const { XDG_CACHE_HOME = '' } = process.env;
  return join(isAbsolute(XDG_CACHE_HOME) ? XDG_CACHE_HOME : join(homeFolder(), '.cache'), 'lading');
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
