import type { ServerResponse } from 'node:http';
import type { ByteSource } from './storage.ts';

/** One piece that is read and sent: half as much is slower by a tenth, twice as much no faster. */
const pieceBytes = 1024 * 1024;
/** With more answers than this at once half as much saves memory. */
const manyAnswers = 16;
/** What is smaller is sent in one go, from memory of its own. */
const smallBytes = 64 * 1024;
/** One is read from the disk while the other goes out. */
const buffersPerAnswer = 2;
/** Kept for the next answers, as many as eight of them use. */
const maxSpareBuffers = 16;

const spareBuffers: Buffer[] = [];
/** Those that are being sent in pieces. */
let answers = 0;

export interface OpenFileRange {
  readonly start: number;
  readonly size: number;
  readonly file: ByteSource;
}

/**
 * Sends a part of a file as fast as the client takes it, and no faster is it read; ends the answer. All pieces go
 * through the same two buffers: with a fresh one for each, as a stream would have it, 80 MiB of them wait for the
 * garbage collector, and half of the time goes into making them.
 * @param onBytes told of each piece that was handed to the connection
 * @throws what the file or the connection has to say
 */
export async function sendFile(
  response: ServerResponse,
  { start, size, file }: OpenFileRange,
  onBytes: (bytes: number) => void,
): Promise<void> {
  if (size > smallBytes) {
    await sendPieces(response, { file, start, end: start + size }, onBytes);
    response.end();
    return;
  }
  const bytes = Buffer.allocUnsafe(size);
  for (let done = 0; done < size; ) done += await readSome(file, bytes.subarray(done), start + done);
  onBytes(size);
  response.end(bytes);
}

async function sendPieces(
  response: ServerResponse,
  { file, start, end }: { file: ByteSource; start: number; end: number },
  onBytes: (bytes: number) => void,
): Promise<void> {
  const ring: Slot[] = [];
  const cancel = () => {
    for (const slot of ring) slot.cancel();
  };
  response.once('close', cancel);
  answers += 1;
  try {
    for (let [position, turn] = [start, 0]; position < end; turn = (turn + 1) % buffersPerAnswer) {
      if (turn === ring.length) ring.push(new Slot(response));
      const slot = ring[turn]!;
      await slot.sent;
      const most = answers > manyAnswers ? pieceBytes / 2 : pieceBytes;
      const bytes = await readSome(file, slot.buffer.subarray(0, Math.min(most, end - position)), position);
      slot.send(bytes, onBytes);
      position += bytes;
    }
    for (const slot of ring) await slot.sent;
    for (const { buffer } of ring) if (spareBuffers.length < maxSpareBuffers) spareBuffers.push(buffer);
  } finally {
    answers -= 1;
    response.off('close', cancel);
  }
}

class Slot {
  readonly buffer: Buffer = spareBuffers.pop() ?? Buffer.allocUnsafeSlow(pieceBytes);
  /** Resolves when the kernel has what was sent last, so that the buffer may be filled again. */
  sent: Promise<void> = Promise.resolve();
  readonly #response: ServerResponse;
  #reject: (error: Error) => void = () => undefined;

  constructor(response: ServerResponse) {
    this.#response = response;
  }

  send(bytes: number, onBytes: (bytes: number) => void): void {
    this.sent = new Promise((resolve, reject) => {
      this.#reject = reject;
      this.#response.write(this.buffer.subarray(0, bytes), (error) => {
        if (error) return reject(error);
        onBytes(bytes);
        resolve();
      });
    });
    this.sent.catch(() => undefined);
  }

  /** An answer that waits behind another one on its connection never hears that the connection is gone. */
  cancel(): void {
    this.#reject(new Error('the client has gone'));
  }
}

async function readSome(file: ByteSource, buffer: Uint8Array, position: number): Promise<number> {
  const { bytesRead } = await file.read(buffer, 0, buffer.byteLength, position);
  if (bytesRead === 0) throw new Error(`the file ends at ${position}`);
  return bytesRead;
}
