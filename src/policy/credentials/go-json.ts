import { goQuote } from '../go-text.ts';

/**
 * JSON with the error texts of Go, which the kubelet shows for pull secrets that it cannot read.
 * @see https://cs.opensource.google/go/go/+/master:src/encoding/json/scanner.go
 */

export type ParsedGoJson = { readonly value: unknown } | { readonly problem: string };

/** The value, or what Go says is wrong with the text. */
export function parseGoJson(text: string): ParsedGoJson {
  try {
    return { value: JSON.parse(text) };
  } catch {
    return { problem: new Scanner(Buffer.from(text, 'utf8').toString('latin1')).problem() };
  }
}

/** What Go calls a value of this kind: `bool`, `number`, `string`, `array`, `object`. */
export function goTypeName(value: unknown): string {
  if (Array.isArray(value)) return 'array';
  return typeof value === 'boolean' ? 'bool' : typeof value;
}

class Problem extends Error {}

/** Reads text that is no JSON up to the first byte that is wrong. Characters are bytes. */
class Scanner {
  readonly #text: string;
  #position = 0;

  constructor(text: string) {
    this.#text = text;
  }

  problem(): string {
    try {
      this.#value();
      this.#blanks();
      if (this.#position < this.#text.length) this.#fail('after top-level value');
      return 'unexpected end of JSON input';
    } catch (error) {
      if (error instanceof Problem) return error.message;
      throw error;
    }
  }

  #value(): void {
    const first = this.#next();
    if (first === '{') this.#object();
    else if (first === '[') this.#array();
    else if (first === '"') this.#string();
    else if (first === '-' || isDigit(first)) this.#number(first);
    else this.#literal(first);
  }

  #literal(first: string): void {
    const literal = ['true', 'false', 'null'].find((word) => word.startsWith(first));
    if (literal === undefined) this.#failAt(this.#position - 1, 'looking for beginning of value');
    for (const expected of literal.slice(1)) {
      if (this.#take() !== expected) {
        this.#failAt(this.#position - 1, `in literal ${literal} (expecting ${quoted(expected)})`);
      }
    }
  }

  #object(): void {
    if (this.#peek() === '}') {
      this.#skip();
      return;
    }
    for (;;) {
      if (this.#next() !== '"') this.#failAt(this.#position - 1, 'looking for beginning of object key string');
      this.#string();
      if (this.#next() !== ':') this.#failAt(this.#position - 1, 'after object key');
      this.#value();
      const after = this.#next();
      if (after === '}') return;
      if (after !== ',') this.#failAt(this.#position - 1, 'after object key:value pair');
    }
  }

  #array(): void {
    if (this.#peek() === ']') {
      this.#skip();
      return;
    }
    for (;;) {
      this.#value();
      const after = this.#next();
      if (after === ']') return;
      if (after !== ',') this.#failAt(this.#position - 1, 'after array element');
    }
  }

  #string(): void {
    for (;;) {
      const character = this.#take();
      if (character === '"') return;
      if (character < ' ') this.#failAt(this.#position - 1, 'in string literal');
      if (character !== '\\') continue;
      const escaped = this.#take();
      if (escaped === 'u') {
        for (let digit = 0; digit < 4; digit += 1) {
          if (!/[0-9a-fA-F]/.test(this.#take())) {
            this.#failAt(this.#position - 1, 'in \\u hexadecimal character escape');
          }
        }
      } else if (!'bfnrt\\/"'.includes(escaped)) {
        this.#failAt(this.#position - 1, 'in string escape code');
      }
    }
  }

  #number(first: string): void {
    const digit = first === '-' ? this.#take() : first;
    if (!isDigit(digit)) this.#failAt(this.#position - 1, 'in numeric literal');
    if (digit !== '0') this.#digits();
    if (this.#text[this.#position] === '.') {
      this.#skip();
      if (!isDigit(this.#take())) this.#failAt(this.#position - 1, 'after decimal point in numeric literal');
      this.#digits();
    }
    if (/[eE]/.test(this.#text[this.#position] ?? '')) {
      this.#skip();
      if (/[+-]/.test(this.#text[this.#position] ?? '')) this.#skip();
      if (!isDigit(this.#take())) this.#failAt(this.#position - 1, 'in exponent of numeric literal');
      this.#digits();
    }
  }

  #digits(): void {
    while (isDigit(this.#text[this.#position] ?? '')) this.#skip();
  }

  #blanks(): void {
    while (/[ \t\r\n]/.test(this.#text[this.#position] ?? '')) this.#skip();
  }

  #peek(): string | undefined {
    this.#blanks();
    return this.#text[this.#position];
  }

  /** The next byte that is no blank. */
  #next(): string {
    this.#blanks();
    return this.#take();
  }

  #take(): string {
    const character = this.#text[this.#position];
    if (character === undefined) throw new Problem('unexpected end of JSON input');
    this.#skip();
    return character;
  }

  #skip(): void {
    this.#position += 1;
  }

  #fail(context: string): never {
    this.#failAt(this.#position, context);
  }

  #failAt(position: number, context: string): never {
    throw new Problem(`invalid character ${quoted(this.#text[position]!)} ${context}`);
  }
}

function isDigit(character: string): boolean {
  return /^[0-9]$/.test(character);
}

/** A byte in single quotes, as Go prints it. */
function quoted(character: string): string {
  if (character === "'") return "'\\''";
  if (character === '"') return "'\"'";
  return `'${goQuote(character).slice(1, -1)}'`;
}
