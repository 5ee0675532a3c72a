import { createRequire } from 'node:module';
import { constants } from 'node:os';
import { getSystemErrorMap } from 'node:util';
import type { KoffiFunc, LibraryHandle } from 'koffi';
import { LadingError } from './errors.ts';

/**
 * The C library of this process, opened at the first call, for the system calls that Node does not offer. This file
 * knows how to declare a function and how its failure becomes an error like those of `node:fs`; which functions there
 * are stands in `libc.ts` (paths), `libc-at.ts` (relative to descriptors) and `libc-process.ts`.
 */

type Koffi = typeof import('koffi');

/** A path as the kernel sees it: bytes. Strings are encoded as UTF-8. */
export type PathBytes = string | Uint8Array;

let loaded: { koffi: Koffi; library: LibraryHandle } | undefined;

function library(): { koffi: Koffi; library: LibraryHandle } {
  if (loaded) return loaded;
  if (process.platform !== 'linux') {
    throw new LadingError('ERR_LADING_LINUX_ONLY', `this needs Linux system calls, and this is ${process.platform}`, {
      hint: 'Unpacking layers and running containers need Linux; pulling to the blob store, explaining and the registry do not.',
    });
  }
  const koffi = loadKoffi();
  loaded = { koffi, library: koffi.load(null) };
  return loaded;
}

/**
 * Its binary, from where koffi takes it itself. What koffi does around it, names of former versions, took 9 of the 14 ms
 * that every command with a lock waited for it.
 */
function loadKoffi(): Koffi {
  const require = createRequire(import.meta.url);
  try {
    const binary = `@koromix/koffi-linux-${process.arch}/linux_${process.arch}/koffi.node`;
    return createRequire(require.resolve('koffi'))(binary) as Koffi;
  } catch {
    return require('koffi') as Koffi; // which says what is missing, and knows of musl
  }
}

/** Declares a C function; looked up at its first call. */
// biome-ignore lint/suspicious/noExplicitAny: the prototype text is the type
export function libcFunction(prototype: string): (...values: any[]) => number {
  let found: KoffiFunc<(...values: unknown[]) => number> | undefined;
  return (...values) => {
    found ??= library().library.func(prototype);
    return found(...values);
  };
}

/** As `libcFunction`, but run on a thread of its own: for calls that may take long. Resolves to the result or −errno. */
// biome-ignore lint/suspicious/noExplicitAny: the prototype text is the type
export function libcFunctionAsync(prototype: string): (...values: any[]) => Promise<number> {
  let found: KoffiFunc<(...values: unknown[]) => number> | undefined;
  return (...values) => {
    found ??= library().library.func(prototype);
    const start = found.async;
    return new Promise((resolve, reject) => {
      start(...values, (error: unknown, result: number) => {
        if (error) reject(error);
        else resolve(result < 0 ? -lastErrno() : result);
      });
    });
  };
}

/** A shared library other than the C library; undefined where there is none of this name, or where there is no Linux. */
export function loadLibrary(name: string): { library: LibraryHandle; address: (bytes: Buffer) => bigint } | undefined {
  if (process.platform !== 'linux') return undefined;
  const { koffi } = library();
  try {
    return { library: koffi.load(name), address: (bytes) => koffi.address(bytes) };
  } catch {
    return undefined;
  }
}

/** True if the C library has a function of this name (glibc before 2.33 lacks mknod, for example). */
export function hasLibcFunction(prototype: string): boolean {
  try {
    library().library.func(prototype);
    return true;
  } catch (error) {
    if (error instanceof LadingError) throw error;
    return false;
  }
}

/** errno of the call just made on this thread. */
export function lastErrno(): number {
  return library().koffi.errno();
}

/** NUL-terminated copy of a path. @throws Error EINVAL if it holds a NUL, as node:fs does */
export function cString(path: PathBytes): Buffer {
  const bytes = typeof path === 'string' ? Buffer.from(path) : path;
  if (bytes.includes(0)) throw systemError(constants.errno.EINVAL, 'open', path);
  const terminated = Buffer.allocUnsafe(bytes.byteLength + 1);
  terminated.set(bytes);
  terminated[bytes.byteLength] = 0;
  return terminated;
}

const errnoNames = new Map<number, string>();
for (const [name, value] of Object.entries(constants.errno)) {
  if (!errnoNames.has(value)) errnoNames.set(value, name);
}

/** `ENOENT` for 2. */
export function errnoName(errno: number): string {
  return errnoNames.get(errno) ?? `errno ${errno}`;
}

/** An error like those of `node:fs`: `code`, `errno` (negative), `syscall` and, where there is one, `path`. */
export function systemError(errno: number, syscall: string, path?: PathBytes): NodeJS.ErrnoException {
  const code = errnoName(errno);
  const text = getSystemErrorMap().get(-errno)?.[1] ?? 'system error';
  const shown = path === undefined ? '' : ` '${typeof path === 'string' ? path : Buffer.from(path).toString()}'`;
  const error: NodeJS.ErrnoException = new Error(`${code}: ${text}, ${syscall}${shown}`);
  error.code = code;
  error.errno = -errno;
  error.syscall = syscall;
  if (path !== undefined) error.path = typeof path === 'string' ? path : Buffer.from(path).toString();
  return error;
}

/** Passes a result that is not negative through. @throws Error as systemError for the errno of the call just made */
export function checked(result: number, syscall: string, path?: PathBytes): number {
  if (result < 0) throw systemError(lastErrno(), syscall, path);
  return result;
}
