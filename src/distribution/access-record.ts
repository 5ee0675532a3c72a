import type { Endpoint } from './routes.ts';

/** One request that has ended, however it ended. */
export interface AccessRecord {
  readonly method: string;
  /** Without the query. */
  readonly path: string;
  /** Undefined for a path that means nothing here. */
  readonly endpoint: Endpoint | undefined;
  /** 499 if the client left before it was answered. */
  readonly status: number;
  /** Of the body that was sent. */
  readonly bytes: number;
  /** Of the request's body, as far as it was read. */
  readonly receivedBytes: number;
  readonly userAgent: string | undefined;
  /** The client's address. */
  readonly address: string;
  /** Who has logged in. */
  readonly user: string | undefined;
  readonly durationMs: number;
}

/**
 * One line in the combined format that web servers write and log tools read, with the duration in milliseconds behind it.
 * @param at when the request ended
 * @see https://httpd.apache.org/docs/current/logs.html#combined
 */
export function combinedLogLine(record: AccessRecord, at: Date): string {
  const { address, user = '-', method, path, status, bytes, userAgent = '-', durationMs } = record;
  const [, day, month, year, time] = /^\w+, (\d+) (\w+) (\d+) ([\d:]+) GMT$/.exec(at.toUTCString())!;
  const when = `${day}/${month}/${year}:${time} +0000`;
  const request = `"${escaped(method)} ${escaped(path)} HTTP/1.1"`;
  return `${address} - ${escaped(user)} [${when}] ${request} ${status} ${bytes} "-" "${escaped(userAgent)}" ${durationMs.toFixed(1)}`;
}

/** As nginx does it: nothing that a client sends ends the line or the field. */
function escaped(text: string): string {
  return text.replace(/[^\x21\x23-\x5b\x5d-\x7e ]/g, (character) =>
    [...Buffer.from(character)].map((byte) => `\\x${byte.toString(16).padStart(2, '0').toUpperCase()}`).join(''),
  );
}
