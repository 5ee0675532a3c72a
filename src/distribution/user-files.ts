import { createHash } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import { errorMessage, LadingError } from '../lib/errors.ts';

/** A file with one `NAME:…` a line that is read again when it has changed, so that a user who is taken out is out. */
export class UserFile<T> {
  readonly path: string;
  readonly #parse: (lines: readonly UserLine[]) => T;
  readonly #hint: string;
  #content: T;
  #stamp = '';

  private constructor(path: string, { parse, hint }: UserFileKind<T>) {
    this.path = path;
    this.#parse = parse;
    this.#hint = hint;
    this.#content = parse([]);
  }

  /** @throws LadingError `ERR_LADING_DISTRIBUTION_USERS` if it cannot be read or has a line that is not as it must be */
  static async open<T>(path: string, kind: UserFileKind<T>): Promise<UserFile<T>> {
    const file = new UserFile(path, kind);
    await file.refresh();
    return file;
  }

  get content(): T {
    return this.#content;
  }

  /** @throws LadingError as `open`; the users stay as they were then */
  async refresh(): Promise<void> {
    try {
      const { mtimeMs, size, ino } = await stat(this.path);
      const stamp = `${mtimeMs} ${size} ${ino}`;
      if (stamp === this.#stamp) return;
      this.#content = this.#parse(linesIn(await readFile(this.path, 'utf8')));
      this.#stamp = stamp;
    } catch (error) {
      const message = `the users in ${this.path} cannot be read: ${errorMessage(error)}`;
      throw new LadingError('ERR_LADING_DISTRIBUTION_USERS', message, {
        hint: this.#hint,
        cause: error,
        data: { path: this.path },
      });
    }
  }
}

export interface UserFileKind<T> {
  /** Never says what a line holds. */
  readonly parse: (lines: readonly UserLine[]) => T;
  readonly hint: string;
}

export interface UserLine {
  readonly number: number;
  readonly name: string;
  /** What follows the first colon. */
  readonly secret: string;
}

const bcryptPattern = /^\$2[aby]\$\d\d\$[./A-Za-z0-9]{53}$/;

/** As `htpasswd -B` writes it: bcrypt hashes by user. */
export const htpasswdFile: UserFileKind<ReadonlyMap<string, string>> = {
  parse: (lines) =>
    new Map(
      lines.map(({ number, name, secret }) => {
        if (name === '' || !bcryptPattern.test(secret)) {
          throw new Error(`line ${number} is not NAME:HASH with a bcrypt hash`);
        }
        return [name, secret];
      }),
    ),
  hint: 'Make the file with `htpasswd -B -c FILE USER`.',
};

const tokenPattern = /^[A-Za-z0-9._~+/=-]{16,}$/;

/** Tokens of programs: users by what `tokenKey` makes of the token. */
export const tokenFile: UserFileKind<ReadonlyMap<string, string>> = {
  parse: (lines) =>
    new Map(
      lines.map(({ number, name, secret }) => {
        if (name === '' || !tokenPattern.test(secret)) {
          throw new Error(`line ${number} is not NAME:TOKEN with a token of 16 letters and digits or more`);
        }
        return [tokenKey(secret), name];
      }),
    ),
  hint: 'One line is NAME:TOKEN, with a token as `openssl rand -hex 32` makes it.',
};

/** Tokens are long and random: a fast hash hides them, and looking one up tells nothing by the time that it takes. */
export function tokenKey(token: string): string {
  return createHash('sha256').update(token).digest('base64');
}

function linesIn(text: string): UserLine[] {
  return text.split(/\r?\n/).flatMap((line, index) => {
    if (line.trim() === '' || line.startsWith('#')) return [];
    const colon = line.indexOf(':');
    return [{ number: index + 1, name: line.slice(0, Math.max(0, colon)), secret: line.slice(colon + 1).trim() }];
  });
}
