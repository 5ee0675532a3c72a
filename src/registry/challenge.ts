import { splitScopes } from './scope.ts';

/** One challenge of a 401; names in lower case, values unescaped. */
export interface Challenge {
  readonly scheme: string;
  readonly params: Readonly<Record<string, string>>;
}

/** A challenge that Lading can answer. */
export type UsableChallenge =
  | { readonly scheme: 'basic' }
  | {
      readonly scheme: 'bearer';
      readonly realm: URL;
      /** Absent when the challenge has none or an empty one: then it is not sent either. */
      readonly service: string | undefined;
      readonly scopes: readonly string[];
      /** `insufficient_scope`, `invalid_token`, … */
      readonly error: string | undefined;
    };

/**
 * Parses the `WWW-Authenticate` lines of one response. A syntax fault ends its line; what came before it counts.
 * @see registry.md 3.2
 */
export function parseChallenges(lines: readonly string[]): Challenge[] {
  return lines.flatMap(parseLine);
}

/** The challenge to answer: the first Bearer one with an absolute http(s) realm, else Basic, else nothing. */
export function selectChallenge(challenges: readonly Challenge[]): UsableChallenge | undefined {
  for (const { scheme, params } of challenges) {
    if (scheme !== 'bearer') continue;
    const realm = absoluteUrl(params.realm);
    if (!realm) continue;
    return {
      scheme,
      realm,
      service: params.service || undefined,
      scopes: splitScopes(params.scope ?? ''),
      error: params.error,
    };
  }
  return challenges.some(({ scheme }) => scheme === 'basic') ? { scheme: 'basic' } : undefined;
}

function absoluteUrl(text: string | undefined): URL | undefined {
  if (text === undefined || !/^https?:\/\//i.test(text) || !URL.canParse(text)) return undefined;
  return new URL(text);
}

const blank = /[ \t]*/y;
const blankOrComma = /[ \t,]*/y;
const token = /[!#$%&'*+.^_`|~0-9A-Za-z-]+/y;
const token68 = /[A-Za-z0-9\-._~+/]+=*(?=[ \t]*(?:,|$))/y;
const quoted = /"((?:[^"\\]|\\.)*)"/y;
/** Wider than RFC 9110 allows, since unquoted URLs occur. */
const unquoted = /[^ \t,"]+/y;

function parseLine(line: string): Challenge[] {
  const challenges: { scheme: string; params: Record<string, string> }[] = [];
  let position = 0;
  const take = (pattern: RegExp): RegExpExecArray | null => {
    pattern.lastIndex = position;
    const match = pattern.exec(line);
    if (match) position = pattern.lastIndex;
    return match;
  };
  for (;;) {
    take(blankOrComma);
    const name = take(token)?.[0].toLowerCase();
    if (name === undefined) return challenges;
    const blanks = take(blank)?.[0] ?? '';
    const params = challenges.at(-1)?.params;
    if (params && line[position] === '=') {
      position += 1;
      take(blank);
      const value = take(quoted)?.[1]?.replace(/\\(.)/g, '$1') ?? take(unquoted)?.[0];
      if (value === undefined) return challenges;
      params[name] = value;
      take(blank);
      if (position < line.length && line[position] !== ',') return challenges;
    } else {
      challenges.push({ scheme: name, params: {} });
      if (blanks !== '') take(token68);
    }
  }
}
