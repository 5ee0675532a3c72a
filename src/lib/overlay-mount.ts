import { closeSync, constants, mkdtempSync, openSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { errorCode, LadingError } from './errors.ts';
import { mount, mountFlags, umount2, unmountFlags } from './libc.ts';
import { isNotOffered, openFileSystem, setMountReadOnly } from './libc-mount.ts';
import { programModule } from './program-module.ts';

/**
 * Stacks layer directories with the kernel's overlayfs. Layers must not change while any overlay uses them, and their
 * names may be any bytes that a path string can hold. Which form of whiteout and opaque mark a store uses is decided
 * once, by `probeOverlay` in `overlay.ts`.
 */

/** How layers of a store are stacked, found by trying. */
export type OverlaySupport =
  | {
      readonly mode: 'overlay';
      /** True in a user namespace: overlayfs keeps its marks in `user.overlay.*` instead of `trusted.overlay.*`. */
      readonly userxattr: boolean;
    }
  | { readonly mode: 'copy' /** Why overlayfs cannot be used here, one sentence. */; readonly reason: string };

export interface OverlayMount {
  /** Directories, topmost first, each once: 1 … 500. */
  readonly lowers: readonly string[];
  /** Without it the mount is read-only. */
  readonly upper?: string | undefined;
  /** An empty directory on the file system of `upper`; goes with it. */
  readonly work?: string | undefined;
  /** An existing directory. */
  readonly target: string;
  readonly support: OverlaySupport;
}

/** The kernel's limit (OVL_MAX_STACK). */
export const maxLowerDirectories = 500;
/** The kernel copies one page of mount(2) options and cuts off the rest without a word. */
const maxOptionBytes = 4095;
/** fsconfig(2) takes strings of less than 256 bytes. */
const maxValueBytes = 255;

/**
 * Mounts a chain of layers at `target`; one lower directory without an upper is bound read-only, since overlayfs
 * refuses to be that.
 * @throws LadingError `ERR_LADING_OVERLAY_UNAVAILABLE` if the support says copy; `ERR_LADING_OVERLAY_MOUNT` if the
 * kernel refuses, with its error as cause
 */
export function mountOverlay(options: OverlayMount): void {
  const { lowers, upper, work, target, support } = options;
  if (support.mode === 'copy') {
    throw new LadingError('ERR_LADING_OVERLAY_UNAVAILABLE', `cannot mount layers at ${target}: ${support.reason}`);
  }
  if (lowers.length === 0 || lowers.length > maxLowerDirectories) {
    const found = lowers.length === 0 ? 'no layer' : `${lowers.length} layers`;
    throw new LadingError('ERR_LADING_OVERLAY_MOUNT', `cannot mount ${found} at ${target}: overlayfs takes 1 to 500`);
  }
  try {
    if (lowers.length === 1 && upper === undefined) bindReadOnly(lowers[0]!, target);
    else mountStack({ lowers, upper, work, target, userxattr: support.userxattr });
  } catch (cause) {
    const reason = (cause as Error).message;
    throw new LadingError(
      'ERR_LADING_OVERLAY_MOUNT',
      `cannot mount ${lowers.length} layer(s) at ${target}: ${reason}`,
      { cause, hint: 'The kernel log (dmesg) has the reason when overlayfs refuses.' },
    );
  }
}

/** Unmounts what `mountOverlay` mounted; nothing there is no error. @throws Error EBUSY while files are in use */
export function unmount(target: string): void {
  try {
    umount2(target, unmountFlags.noFollow);
  } catch (error) {
    // EPERM: root of a user namespace that is not the mount namespace's has mounted nothing there either.
    if (!['EINVAL', 'ENOENT', 'EPERM'].includes(errorCode(error) ?? '')) throw error;
  }
}

function bindReadOnly(source: string, target: string): void {
  mount(source, target, undefined, mountFlags.bind);
  try {
    setMountReadOnly(target);
  } catch (error) {
    try {
      if (!isNotOffered(error)) throw error;
      mount(undefined, target, undefined, mountFlags.bind | mountFlags.remount | mountFlags.readOnly);
    } catch (failure) {
      umount2(target, unmountFlags.detach);
      throw failure;
    }
  }
}

export interface Stack {
  lowers: readonly string[];
  upper: string | undefined;
  work: string | undefined;
  target: string;
  userxattr: boolean;
}

/** True once a mount through fsconfig worked in this process, false once the kernel said that it does not know it. */
let perLayerOptions: boolean | undefined;

export function mountStack(stack: Stack): void {
  if (perLayerOptions !== false) {
    try {
      mountByConfig(stack);
      perLayerOptions = true;
      return;
    } catch (error) {
      if (perLayerOptions || !isNotOffered(error)) throw error;
    }
    mountByOptions(stack);
    perLayerOptions = false;
    return;
  }
  mountByOptions(stack);
}

/** Linux ≥ 6.7: each layer is one call, so that neither their number nor their names meet a limit on the options. */
export function mountByConfig(stack: Stack): void {
  const context = openFileSystem('overlay');
  const handles: number[] = [];
  try {
    const reach = (path: string) => (isPlain(path) ? path : throughDescriptor(path, handles));
    for (const lower of stack.lowers) context.set('lowerdir+', reach(lower));
    if (stack.upper !== undefined) context.set('upperdir', reach(stack.upper));
    if (stack.work !== undefined) context.set('workdir', reach(stack.work));
    for (const [key, value] of commonOptions(stack)) context.set(key, value);
    context.mountAt(stack.target);
  } finally {
    context.close();
    for (const handle of handles) closeSync(handle);
  }
}

/** Older kernels: everything in one string of at most 4,095 bytes. */
export function mountByOptions(stack: Stack): void {
  const handles: number[] = [];
  try {
    const reach = (path: string) => (isPlain(path) ? path : throughDescriptor(path, handles));
    const whole = optionText(stack, stack.lowers.map(reach), reach);
    if (Buffer.byteLength(whole) <= maxOptionBytes) {
      mount('overlay', stack.target, 'overlay', 0, whole);
      return;
    }
  } finally {
    for (const handle of handles) closeSync(handle);
  }
  mountFromLinkFolder(stack);
}

/**
 * Many layers on an old kernel: a child process works in a folder of symlinks with names of one or two characters, so
 * that 500 layers take 2 KB. A child, because the working directory of this process belongs to all its threads.
 */
function mountFromLinkFolder(stack: Stack): void {
  const folder = mkdtempSync(join(tmpdir(), 'lading-lowers-'));
  try {
    const link = (path: string, name: string) => {
      symlinkSync(path, join(folder, name));
      return name;
    };
    const lowers = stack.lowers.map((lower, index) => link(lower, index.toString(36)));
    const text = optionText(stack, lowers, (path) => link(path, path === stack.upper ? 'upper' : 'work'));
    const { spawnSync } = process.getBuiltinModule('node:child_process');
    const child = spawnSync(process.execPath, [programModule('lib/overlay-mount-child').pathname, stack.target, text], {
      cwd: folder,
      stdio: ['ignore', 'ignore', 'pipe'],
      encoding: 'utf8',
    });
    if (child.error) throw child.error;
    if (child.status !== 0) throw new Error(child.stderr.trim() || `the mounting process ended with ${child.status}`);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function optionText(stack: Stack, lowers: readonly string[], reach: (path: string) => string): string {
  const parts = [`lowerdir=${lowers.join(':')}`];
  if (stack.upper !== undefined) parts.push(`upperdir=${reach(stack.upper)}`);
  if (stack.work !== undefined) parts.push(`workdir=${reach(stack.work)}`);
  for (const [key, value] of commonOptions(stack)) parts.push(value === undefined ? key : `${key}=${value}`);
  return parts.join(',');
}

/**
 * `index=off`: several mounts share the same layers. `metacopy=off` and `redirect_dir=nofollow`: a forged redirect in a
 * layer then fails instead of mapping another directory; with `userxattr` the kernel has both off by itself.
 */
function commonOptions(stack: Stack): [string, string?][] {
  if (stack.userxattr) return [['userxattr'], ['index', 'off']];
  return [
    ['index', 'off'],
    ['metacopy', 'off'],
    ['redirect_dir', 'nofollow'],
  ];
}

/** Short enough for fsconfig, and free of the characters that overlayfs and mount(2) give a meaning. */
function isPlain(path: string): boolean {
  return Buffer.byteLength(path) <= maxValueBytes && !/[\\:,]/.test(path);
}

function throughDescriptor(path: string, handles: number[]): string {
  const pathOnly = 0o10000000;
  const handle = openSync(path, pathOnly | constants.O_DIRECTORY);
  handles.push(handle);
  return `/proc/self/fd/${handle}`;
}
