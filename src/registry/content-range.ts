/** `Content-Range: bytes 5-9/10`: positions inclusive, the size undefined for `*`. */
export interface ContentRange {
  readonly first: number;
  readonly last: number;
  readonly size: number | undefined;
}

/** Undefined when the header is missing, repeated, or not one range of bytes. @see RFC 9110, section 14.4 */
export function parseContentRange(lines: readonly string[]): ContentRange | undefined {
  if (lines.length !== 1) return undefined;
  const match = /^bytes (\d+)-(\d+)\/(\d+|\*)$/i.exec(lines[0]!.trim());
  if (!match) return undefined;
  const [, first, last, size] = match;
  return { first: Number(first), last: Number(last), size: size === '*' ? undefined : Number(size) };
}

/** Whether the range is all from `offset` to the end of a content of `size` bytes. */
export function isRestOf(range: ContentRange | undefined, offset: number, size: number): boolean {
  return range?.first === offset && range.last === size - 1 && (range.size === undefined || range.size === size);
}
