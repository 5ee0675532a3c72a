/** A text that is no pattern. */
export class BadPattern extends Error {}

/** What one place of a pattern accepts: any run of characters, or one that passes. */
type Token = 'run' | ((character: string) => boolean);

/**
 * Whether `text` matches a shell pattern as Go's `filepath.Match` understands it: `*` and `?` (not across `/`),
 * `[a-z]`, `[^a-z]`, and `\` before a character that stands for itself. Takes time in proportion to the product of both
 * lengths at most: patterns come from pull secrets, which anybody may write.
 * @throws BadPattern
 * @see https://pkg.go.dev/path/filepath#Match
 */
export function goGlob(pattern: string, text: string): boolean {
  const tokens = tokensOf([...pattern]);
  const characters = [...text];
  let token = 0;
  let position = 0;
  /** Where the last run stands, and where its end was tried last. */
  let run: { readonly token: number; end: number } | undefined;
  while (position < characters.length) {
    const wanted = tokens[token];
    if (wanted === 'run') {
      run = { token, end: position };
      token += 1;
    } else if (wanted?.(characters[position]!)) {
      token += 1;
      position += 1;
    } else {
      if (!run || characters[run.end] === '/') return false;
      run.end += 1;
      token = run.token + 1;
      position = run.end;
    }
  }
  return tokens.slice(token).every((rest) => rest === 'run');
}

function tokensOf(pattern: readonly string[]): readonly Token[] {
  const tokens: Token[] = [];
  for (let index = 0; index < pattern.length; index += 1) {
    const character = pattern[index]!;
    if (character === '*') {
      tokens.push('run');
    } else if (character === '?') {
      tokens.push((other) => other !== '/');
    } else if (character === '[') {
      const [token, end] = classToken(pattern, index + 1);
      tokens.push(token);
      index = end;
    } else {
      if (character === '\\') index += 1;
      const literal = pattern[index];
      if (literal === undefined) throw new BadPattern('a backslash ends the pattern');
      tokens.push((other) => other === literal);
    }
  }
  return tokens;
}

/** The class that begins behind a `[`, and the place of its `]`. */
function classToken(pattern: readonly string[], start: number): [token: Token, end: number] {
  let index = start;
  const negated = pattern[index] === '^';
  if (negated) index += 1;
  const next = (): string => {
    if (pattern[index] === '-' || pattern[index] === ']') throw new BadPattern('a class has no character there');
    if (pattern[index] === '\\') index += 1;
    const character = pattern[index];
    index += 1;
    if (character === undefined || index === pattern.length) throw new BadPattern('a class is not closed');
    return character;
  };
  const ranges: { readonly low: string; readonly high: string }[] = [];
  do {
    const low = next();
    let high = low;
    if (pattern[index] === '-') {
      index += 1;
      high = next();
    }
    ranges.push({ low, high });
  } while (pattern[index] !== ']');
  return [(other) => ranges.some(({ low, high }) => low <= other && other <= high) !== negated, index];
}
