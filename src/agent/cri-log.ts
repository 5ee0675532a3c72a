export type LogStream = 'stdout' | 'stderr';

/** A line longer than this is given in pieces, so that output without line ends cannot fill the memory. */
const maxLineBytes = 1024 * 1024;

const newline = 0x0a;
const space = 0x20;

/**
 * Reads the log format of the CRI, `<time> <stream> <P|F> <text>`, from chunks of any size, and gives whole lines:
 * parts (`P`) are joined up to the full record (`F`) that ends them, bytes before decoding, because a part may end
 * inside a character. Records that are not in the format are skipped.
 * @see https://github.com/kubernetes/kubernetes/blob/v1.36.0/staging/src/k8s.io/cri-client/pkg/logs/logs.go
 */
export class CriLogParser {
  readonly #onLine: (stream: LogStream, line: string) => void;
  readonly #parts: Record<LogStream, Buffer[]> = { stdout: [], stderr: [] };
  #rest: Buffer = Buffer.alloc(0);

  constructor(onLine: (stream: LogStream, line: string) => void) {
    this.#onLine = onLine;
  }

  push(chunk: Buffer): void {
    const data = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    let start = 0;
    for (let end = data.indexOf(newline); end !== -1; end = data.indexOf(newline, start)) {
      this.#record(data.subarray(start, end));
      start = end + 1;
    }
    this.#rest = Buffer.from(data.subarray(start));
  }

  /** The log has ended: gives what is still waiting for its end. */
  end(): void {
    if (this.#rest.length > 0) this.#record(this.#rest);
    this.#rest = Buffer.alloc(0);
    for (const stream of ['stdout', 'stderr'] as const) if (this.#parts[stream].length > 0) this.#flush(stream);
  }

  #record(record: Buffer): void {
    const afterTime = record.indexOf(space);
    const afterStream = record.indexOf(space, afterTime + 1);
    const afterTag = record.indexOf(space, afterStream + 1);
    if (afterTime === -1 || afterStream === -1) return;
    const stream = record.toString('latin1', afterTime + 1, afterStream);
    if (stream !== 'stdout' && stream !== 'stderr') return;
    const tagEnd = afterTag === -1 ? record.length : afterTag;
    const tag = record.toString('latin1', afterStream + 1, tagEnd).split(':', 1)[0];
    const parts = this.#parts[stream];
    parts.push(Buffer.from(record.subarray(Math.min(tagEnd + 1, record.length))));
    if (tag !== 'P' || parts.reduce((sum, part) => sum + part.length, 0) >= maxLineBytes) this.#flush(stream);
  }

  #flush(stream: LogStream): void {
    const line = Buffer.concat(this.#parts[stream]).toString('utf8');
    this.#parts[stream] = [];
    this.#onLine(stream, line);
  }
}
