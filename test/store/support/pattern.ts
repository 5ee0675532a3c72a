/** `size` bytes 0, 1, … 250, 0, …: long enough a period that a shifted or repeated piece is not the same. */
export function pattern(size: number): Buffer {
  const bytes = Buffer.alloc(size);
  for (let index = 0; index < size; index += 1) bytes[index] = index % 251;
  return bytes;
}
