// Loads the program from the files that the build made of it, with what V8 compiled in earlier runs of the same command.
// Node's own compile cache keeps only what runs while a module is loaded, not the functions that are called later: with
// all of them a command asks its first request 20 ms earlier, and `lading version` takes 45 instead of 54 ms.
'use strict';

const fs = require('node:fs');
const { createRequire, enableCompileCache } = require('node:module');
const { basename, dirname, isAbsolute, join } = require('node:path');
const { debuglog } = require('node:util');
const { Script } = require('node:vm');
const { channel } = require('node:diagnostics_channel');

const debug = debuglog('lading:compiled');
const folder = join(__dirname, '..', 'dist', 'program');
/** A run may meet functions that those before it did not: so many of them write down what is compiled by then. */
const writtenRuns = 3;
/** V8 takes compiled code as it is in memory, without a copy, when it begins at a multiple of this. */
const alignment = 8;
const pieceBytes = 64 * 1024;

exports.runProgram = function runProgram() {
  const cache = cacheFolder();
  if (cache) enableCompileCache(join(cache, 'modules')); // for its threads and packages
  const entry = fs.readFileSync(join(folder, 'entry'), 'utf8');
  new Program(cache && join(cache, `${commandName()}-${basename(entry, '.js')}`)).load(entry);
};

class Program {
  #cacheFile;
  #cached;
  #modules = new Map();
  #scripts = new Map();
  #native = createRequire(__filename);
  #compiling = channel('lading:compiling');

  constructor(cacheFile) {
    this.#cacheFile = cacheFile;
    this.#cached = (cacheFile && readCompiled(cacheFile)) || { runs: 0, code: new Map() };
    // Last of all: the code is written under the flags under which it will be read.
    if (cacheFile) process.once('beforeExit', () => process.once('exit', () => this.#save()));
  }

  load(name) {
    const known = this.#modules.get(name);
    if (known) return known.exports;
    const module = { exports: {} };
    this.#modules.set(name, module);
    const filename = join(folder, name);
    const source = `(function (exports, require, module, __filename, __dirname) {${fs.readFileSync(filename, 'latin1')}\n})`;
    const cachedData = this.#cached.code.get(name);
    this.#compiling.publish({ change: 1 });
    const script = new Script(source, { filename, cachedData });
    this.#compiling.publish({ change: -1 });
    const isCompiled = cachedData !== undefined && !script.cachedDataRejected;
    debug('%s: %s', name, isCompiled ? 'compiled before' : 'compiled now');
    if (!isCompiled) this.#cached.runs = 0;
    this.#scripts.set(name, script);
    const require = (id) => (id.startsWith('./') ? this.load(id.slice(2)) : this.#foreign(id));
    script.runInThisContext().call(module.exports, module.exports, require, module, filename, folder);
    return module.exports;
  }

  #foreign(id) {
    return id.startsWith('node:') ? process.getBuiltinModule(id) : this.#native(id);
  }

  #save() {
    const runs = this.#cached.runs + 1;
    if (runs > writtenRuns) return;
    const code = new Map(this.#cached.code);
    for (const [name, script] of this.#scripts) code.set(name, script.createCachedData());
    writeCompiled(this.#cacheFile, runs, code);
  }
}

/** The first argument, if it looks like the name of a command: each of them runs other functions. */
function commandName() {
  return /^[a-z][a-z-]{0,19}$/.exec(process.argv[2] ?? '')?.[0] ?? 'other';
}

/**
 * As `cacheDirectory` of `toolchain.mjs`, which takes longer to load. There, and nobody else's; undefined where nothing is
 * to be kept, or where that cannot be had.
 */
function cacheFolder() {
  const { XDG_CACHE_HOME = '', HOME = '', NODE_DISABLE_COMPILE_CACHE } = process.env;
  // As its specification says, a relative one does not count.
  const parent = isAbsolute(XDG_CACHE_HOME) ? XDG_CACHE_HOME : join(HOME, '.cache');
  if (!isAbsolute(parent) || NODE_DISABLE_COMPILE_CACHE || !process.geteuid) return undefined;
  const cache = join(parent, 'lading', 'compiled');
  try {
    if (!fs.existsSync(cache)) for (const folder of [parent, join(parent, 'lading'), cache]) makeFolder(folder);
    return isOursAlone(fs.statSync(cache)) ? cache : undefined;
  } catch {
    return undefined;
  }
}

/** One by one: asked for all of a path, Node.js tries for ever where the kernel lets nobody make folders. */
function makeFolder(path) {
  try {
    fs.mkdirSync(path, { mode: 0o700 });
  } catch (error) {
    if (error.code !== 'EEXIST') throw error;
  }
}

function isOursAlone({ uid, mode }) {
  return uid === process.geteuid() && (mode & 0o022) === 0;
}

/**
 * Undefined where there is none, where it is damaged, or where somebody else could have written it. It is there twice: V8
 * runs whatever it is given, and to load what makes a checksum takes 3 ms.
 */
function readCompiled(file) {
  let fd;
  try {
    fd = fs.openSync(file, 'r');
    const facts = fs.fstatSync(fd);
    if (!isOursAlone(facts)) return undefined;
    const bytes = readTwice(fd, facts.size / 2);
    if (!bytes) return undefined;
    const end = bytes.indexOf('\n');
    const { runs, pieces } = JSON.parse(bytes.subarray(0, end));
    const code = new Map();
    let position = aligned(end + 1);
    for (const [name, length] of pieces) {
      code.set(name, bytes.subarray(position, position + length));
      position = aligned(position + length);
    }
    return { runs, code };
  } catch {
    return undefined;
  } finally {
    if (fd !== undefined) fs.closeSync(fd);
  }
}

/** What a file has twice; not all of both at once, as fresh memory takes its time. */
function readTwice(fd, length) {
  const bytes = Buffer.allocUnsafeSlow(length);
  const piece = Buffer.allocUnsafeSlow(pieceBytes);
  if (fs.readSync(fd, bytes, 0, bytes.length, 0) !== bytes.length) return undefined;
  for (let at = 0; at < bytes.length; at += pieceBytes) {
    const there = bytes.subarray(at, at + pieceBytes);
    const again = piece.subarray(0, fs.readSync(fd, piece, 0, there.length, bytes.length + at));
    if (!there.equals(again)) return undefined;
  }
  return bytes;
}

/** Whole or not at all; that it cannot be written is no matter of the command. */
function writeCompiled(file, runs, code) {
  const unfinished = `${file}.${process.pid}`;
  try {
    const pieces = [...code].map(([name, { length }]) => [name, length]);
    const parts = [Buffer.from(`${JSON.stringify({ runs, pieces })}\n`), ...code.values()];
    const padded = parts.flatMap((part) => [part, Buffer.alloc(aligned(part.length) - part.length)]);
    fs.writeFileSync(unfinished, Buffer.concat([...padded, ...padded]), { mode: 0o600, flag: 'wx' });
    fs.renameSync(unfinished, file);
    removeOthers(file);
  } catch {
    try {
      fs.rmSync(unfinished, { force: true });
    } catch {}
  }
}

/** Of the same command, by other builds and by runs that were killed. */
function removeOthers(file) {
  const [cache, name] = [dirname(file), basename(file)];
  const command = name.slice(0, name.indexOf('-main-'));
  for (const other of fs.readdirSync(cache)) {
    if (other !== name && other.startsWith(`${command}-main-`)) fs.rmSync(join(cache, other), { force: true });
  }
}

function aligned(position) {
  return Math.ceil(position / alignment) * alignment;
}
