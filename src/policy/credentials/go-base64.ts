const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';
const isLineEnd = (character: string | undefined) => character === '\n' || character === '\r';

/**
 * Decodes base64 of the standard alphabet as strictly as Go does: line ends are skipped, everything else that does not
 * belong is an error.
 * @param text of single bytes; `binary` of a Buffer
 * @returns the bytes, or the position that Go calls wrong
 * @see https://cs.opensource.google/go/go/+/master:src/encoding/base64/base64.go `decodeQuantum`
 */
export function goBase64(text: string, form: 'padded' | 'unpadded'): Buffer | number {
  let digits = '';
  let position = 0;
  const skipLineEnds = () => {
    while (isLineEnd(text[position])) position += 1;
  };
  for (; position < text.length; position += 1) {
    const character = text[position]!;
    if (isLineEnd(character)) continue;
    if (alphabet.includes(character)) {
      digits += character;
      continue;
    }
    const inQuantum = digits.length % 4;
    if (character !== '=' || form === 'unpadded' || inQuantum < 2) return position;
    position += 1;
    if (inQuantum === 2) {
      skipLineEnds();
      if (position === text.length) return text.length;
      if (text[position] !== '=') return position - 1;
      position += 1;
    }
    skipLineEnds();
    return position < text.length ? position : Buffer.from(digits, 'base64');
  }
  const rest = digits.length % 4;
  if (rest === 1 || (rest > 0 && form === 'padded')) return text.length - rest;
  return Buffer.from(digits, 'base64');
}
