import { type ErrorCode, LadingError } from '../lib/errors.ts';
import { freeSpace } from '../lib/free-space.ts';

/** What can be wrong with a layer; each has a code, `ERR_LADING_LAYER_` and the class in capitals. */
export type LayerErrorClass =
  | 'bad-compression'
  | 'bad-link'
  | 'bad-tar'
  | 'bad-whiteout'
  | 'digest-mismatch'
  | 'name-too-long'
  | 'not-a-directory'
  | 'too-large'
  | 'unsafe-path'
  | 'unsupported-entry'
  | 'unsupported-media-type';

const hints: Partial<Record<LayerErrorClass, string>> = {
  'bad-compression': 'The blob is damaged or was not made by gzip or zstd; push the image again.',
  'bad-tar': 'The layer was written by a broken tool; build and push the image again.',
  'digest-mismatch': 'The registry serves content that the image does not name; pull again or push the image again.',
  'too-large': 'If you trust this image, raise its limit: `unpack.limits` in the configuration (lading config).',
  'unsafe-path': 'An entry tries to leave the root of its image; do not trust this image.',
};

/** A layer that must not be used: nothing of it becomes visible. `data.class` says what is wrong. */
export class LayerError extends LadingError {
  readonly class: LayerErrorClass;

  constructor(errorClass: LayerErrorClass, message: string, details: { hint?: string; cause?: unknown } = {}) {
    const code = `ERR_LADING_LAYER_${errorClass.toUpperCase().replaceAll('-', '_')}` as ErrorCode;
    super(code, message, { hint: hints[errorClass], ...details, data: { class: errorClass } });
    this.class = errorClass;
  }
}

/** `entryError('bad-link', 'a/b', 'its target is missing')`; `name` as in the archive, one character per byte. */
export function entryError(errorClass: LayerErrorClass, name: string, problem: string): LayerError {
  return new LayerError(errorClass, `entry ${printableName(name)}: ${problem}`);
}

/** The host, not the layer, is why unpacking failed: a full disk, an id that is not mapped, a failing device. */
export function hostError(name: string, cause: NodeJS.ErrnoException): LadingError {
  const shown = printableName(name);
  if (cause.code === 'ENAMETOOLONG') {
    return entryError('name-too-long', name, 'the file system does not take a name this long');
  }
  if (cause.code === 'ENOSPC' || cause.code === 'EDQUOT') {
    return new LadingError('ERR_LADING_DISK_FULL', `no room for ${shown}: ${cause.message}`, {
      cause,
      hint: 'Free disk space or inodes below the store (lading gc), then pull again.',
    });
  }
  if (cause.code === 'EIO') {
    return new LadingError(
      'ERR_LADING_DISK_FAILING',
      `cannot unpack ${shown}: the device reports an I/O error (${cause.message})`,
      {
        cause,
        hint: 'See the kernel log (dmesg) for the device. Nothing of the layer has been kept.',
      },
    );
  }
  return new LadingError('ERR_LADING_UNPACK_IO', `cannot unpack ${shown}: ${cause.message}`, { cause });
}

/** Says which disk is full: where an entry is made, only its name in the layer is known. */
export function namingDisk(error: unknown, folder: string): unknown {
  if (!(error instanceof LadingError) || error.code !== 'ERR_LADING_DISK_FULL') return error;
  const { cause, hint, message } = error;
  const { text, bytes: freeBytes, inodes: freeInodes } = freeSpace(folder);
  const data = { path: folder, freeBytes, freeInodes };
  return new LadingError(error.code, `${message}, on the disk of ${folder}${text}`, { cause, hint, data });
}

/** The blob cannot be read from the disk. */
export function readError(cause: NodeJS.ErrnoException): LadingError {
  return new LadingError('ERR_LADING_DISK_FAILING', `cannot read its blob: ${cause.message}`, {
    cause,
    hint: 'See the kernel log (dmesg) for the device, then pull again, or run `lading check --repair`.',
  });
}

/** An error as plain data, to send it to another thread. */
export interface PlainError {
  readonly class?: LayerErrorClass;
  readonly code?: string;
  readonly message: string;
  readonly hint?: string;
  readonly data?: Readonly<Record<string, unknown>>;
  readonly stack?: string;
  readonly cause?: PlainError;
  readonly errno?: number;
  readonly syscall?: string;
}

export function toPlainError(error: unknown): PlainError {
  if (!(error instanceof Error)) return { message: String(error) };
  const { code, errno, syscall } = error as NodeJS.ErrnoException;
  return {
    message: error.message,
    ...(error.stack === undefined ? {} : { stack: error.stack }),
    ...(code === undefined ? {} : { code }),
    ...(errno === undefined ? {} : { errno }),
    ...(syscall === undefined ? {} : { syscall }),
    ...(error.cause === undefined ? {} : { cause: toPlainError(error.cause) }),
    ...(error instanceof LadingError
      ? { data: error.data, ...(error.hint === undefined ? {} : { hint: error.hint }) }
      : {}),
    ...(error instanceof LayerError ? { class: error.class } : {}),
  };
}

export function fromPlainError(plain: PlainError): Error {
  const cause = plain.cause === undefined ? undefined : fromPlainError(plain.cause);
  const details = {
    ...(cause === undefined ? {} : { cause }),
    ...(plain.hint === undefined ? {} : { hint: plain.hint }),
  };
  if (plain.class !== undefined) return new LayerError(plain.class, plain.message, details);
  if (plain.data !== undefined) {
    return new LadingError(plain.code as ErrorCode, plain.message, { ...details, data: plain.data });
  }
  const error: NodeJS.ErrnoException = new Error(plain.message, cause === undefined ? undefined : { cause });
  if (plain.stack !== undefined) error.stack = plain.stack;
  if (plain.code !== undefined) error.code = plain.code;
  if (plain.errno !== undefined) error.errno = plain.errno;
  if (plain.syscall !== undefined) error.syscall = plain.syscall;
  return error;
}

/** A byte string for messages: quoted, readable where it is UTF-8, shortened where it is long. */
export function printableName(name: string): string {
  const text = Buffer.from(name, 'latin1').toString('utf8');
  return JSON.stringify(text.length > 200 ? `${text.slice(0, 200)}…` : text);
}

/** A number of a header for messages: beyond 2^53 it does not have the digits that the archive has. */
export function printableNumber(value: number): string {
  if (Number.isSafeInteger(value)) return `${value}`;
  return value > 0 ? `more than ${Number.MAX_SAFE_INTEGER}` : `less than ${Number.MIN_SAFE_INTEGER}`;
}
