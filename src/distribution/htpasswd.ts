import { readFile, stat } from 'node:fs/promises';
import { errorMessage, LadingError } from '../lib/errors.ts';

const bcryptPattern = /^\$2[aby]\$\d\d\$[./A-Za-z0-9]{53}$/;

/**
 * The users in a file as `htpasswd -B` writes it: `NAME:HASH`, one a line. It is read again when it has changed, so
 * that a user who is taken out is out.
 */
export class HtpasswdFile {
  readonly path: string;
  #hashes: ReadonlyMap<string, string> = new Map();
  #stamp = '';

  private constructor(path: string) {
    this.path = path;
  }

  /** @throws LadingError `ERR_LADING_DISTRIBUTION_USERS` if it cannot be read or has an entry that is not bcrypt */
  static async open(path: string): Promise<HtpasswdFile> {
    const file = new HtpasswdFile(path);
    await file.refresh();
    return file;
  }

  /** The bcrypt hash of the user's password. */
  hash(user: string): string | undefined {
    return this.#hashes.get(user);
  }

  /** @throws LadingError as `open`; the users stay as they were then */
  async refresh(): Promise<void> {
    try {
      const { mtimeMs, size, ino } = await stat(this.path);
      const stamp = `${mtimeMs} ${size} ${ino}`;
      if (stamp === this.#stamp) return;
      this.#hashes = parse(await readFile(this.path, 'utf8'));
      this.#stamp = stamp;
    } catch (error) {
      throw new LadingError(
        'ERR_LADING_DISTRIBUTION_USERS',
        `the users in ${this.path} cannot be read: ${errorMessage(error)}`,
        { hint: 'Make the file with `htpasswd -B -c FILE USER`.', cause: error, data: { path: this.path } },
      );
    }
  }
}

/** Never says what a line holds. */
function parse(text: string): ReadonlyMap<string, string> {
  const hashes = new Map<string, string>();
  for (const [index, line] of text.split(/\r?\n/).entries()) {
    if (line.trim() === '' || line.startsWith('#')) continue;
    const colon = line.indexOf(':');
    const hash = line.slice(colon + 1).trim();
    if (colon < 1 || !bcryptPattern.test(hash))
      throw new Error(`line ${index + 1} is not NAME:HASH with a bcrypt hash`);
    hashes.set(line.slice(0, colon), hash);
  }
  return hashes;
}
