/**
 * Machine code under construction: bytes in order, labels, and patches for distances that are known only when all is
 * laid out.
 */
export class Code {
  readonly #bytes: number[] = [];
  readonly #labels = new Map<string, number>();
  readonly #patches: Array<(view: DataView) => void> = [];

  /** Bytes emitted so far. */
  get length(): number {
    return this.#bytes.length;
  }

  bytes(values: Iterable<number>): void {
    this.#bytes.push(...values);
  }

  /** 32 bits, little-endian. */
  word(value: number): void {
    this.bytes([value & 0xff, (value >>> 8) & 0xff, (value >>> 16) & 0xff, (value >>> 24) & 0xff]);
  }

  label(name: string): void {
    this.#labels.set(name, this.length);
  }

  align(boundaryBytes: number): void {
    while (this.length % boundaryBytes !== 0) this.bytes([0]);
  }

  /** Runs `patch` with the place of `label` once it is known. */
  patch(label: string, patch: (view: DataView, offset: number) => void): void {
    this.#patches.push((view) => patch(view, this.#labels.get(label)!));
  }

  finish(): Uint8Array {
    const bytes = Uint8Array.from(this.#bytes);
    for (const patch of this.#patches) patch(new DataView(bytes.buffer));
    return bytes;
  }
}
