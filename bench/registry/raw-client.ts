import { connect, type Socket } from 'node:net';

export interface RawRequest {
  readonly method: 'GET' | 'HEAD' | 'POST' | 'PUT';
  readonly path: string;
  readonly accept?: string;
  readonly body?: { readonly size: number; readonly chunks: Iterable<Uint8Array> };
}

export interface RawAnswer {
  readonly status: number;
  readonly location: string;
  /** Of the body, which is counted and not kept. */
  readonly bytes: number;
}

const receiveBytes = 512 * 1024;

/**
 * One connection that stays open, for HTTP/1.1 with little work on this side: what is measured is the server. Answers
 * must have a `Content-Length`.
 */
export class RawConnection {
  readonly #port: number;
  readonly #socket: Socket;
  #head = '';
  /** Bytes of the body that are still to come; undefined while the head comes. */
  #left: number | undefined;
  #answer: { status: number; location: string; bytes: number } = { status: 0, location: '', bytes: 0 };
  #method = '';
  #resolve: (answer: RawAnswer) => void = () => undefined;
  #reject: (error: Error) => void = () => undefined;

  private constructor(port: number) {
    this.#port = port;
    const buffer = Buffer.allocUnsafe(receiveBytes);
    const callback = (bytes: number) => this.#receive(buffer.subarray(0, bytes));
    this.#socket = connect({ host: '127.0.0.1', port, noDelay: true, onread: { buffer, callback } });
    this.#socket.on('error', (error) => this.#reject(error));
    this.#socket.on('close', () => this.#reject(new Error(`port ${port} closed the connection`)));
  }

  static async open(port: number): Promise<RawConnection> {
    const connection = new RawConnection(port);
    await new Promise<void>((resolve, reject) => {
      connection.#socket.once('connect', resolve).once('error', reject);
    });
    return connection;
  }

  close(): void {
    this.#socket.destroy();
  }

  /** One at a time. */
  async request({ method, path, accept = '*/*', body }: RawRequest): Promise<RawAnswer> {
    const answered = new Promise<RawAnswer>((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    this.#method = method;
    const length = method === 'POST' || method === 'PUT' ? `Content-Length: ${body?.size ?? 0}\r\n` : '';
    const type = body ? 'Content-Type: application/octet-stream\r\n' : '';
    const head = `${method} ${path} HTTP/1.1\r\nHost: 127.0.0.1:${this.#port}\r\nAccept: ${accept}\r\n${type}${length}\r\n`;
    this.#socket.write(head);
    for (const chunk of body?.chunks ?? []) {
      if (!this.#socket.write(chunk)) await new Promise((resolve) => this.#socket.once('drain', resolve));
    }
    return answered;
  }

  #receive(bytes: Buffer): boolean {
    let rest = bytes;
    if (this.#left === undefined) {
      this.#head += rest.toString('latin1');
      const end = this.#head.indexOf('\r\n\r\n');
      if (end < 0) return true;
      rest = rest.subarray(rest.byteLength - (this.#head.length - end - 4));
      this.#readHead(this.#head.slice(0, end));
      this.#head = '';
    }
    this.#answer.bytes += rest.byteLength;
    this.#left! -= rest.byteLength;
    if (this.#left === 0) {
      this.#left = undefined;
      this.#resolve(this.#answer);
    }
    return true;
  }

  #readHead(head: string): void {
    const status = Number(head.slice('HTTP/1.1 '.length, 'HTTP/1.1 200'.length));
    const location = /^location: (.*)$/im.exec(head)?.[1]?.trim() ?? '';
    const length = Number(/^content-length: (\d+)$/im.exec(head)?.[1] ?? 0);
    this.#answer = { status, location, bytes: 0 };
    this.#left = this.#method === 'HEAD' || status === 204 || status === 304 ? 0 : length;
  }
}

/** Runs a task on each of so many connections, all at once. */
export async function onConnections(
  port: number,
  count: number,
  task: (connection: RawConnection, index: number) => Promise<void>,
): Promise<void> {
  const connections = await Promise.all(Array.from({ length: count }, () => RawConnection.open(port)));
  try {
    await Promise.all(connections.map(task));
  } finally {
    for (const connection of connections) connection.close();
  }
}
