import { createHmac, randomBytes } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { debugLog } from '../lib/debug.ts';
import { Refusal } from './errors.ts';
import { HtpasswdFile } from './htpasswd.ts';
import { Passwords } from './passwords.ts';

const debug = debugLog('distribution');
const challenge = 'Basic realm="Lading registry"';
/** Of a password that nobody has: a user who is not there takes as long as a wrong password. */
const nobodysHash = '$2b$10$OW2ugDvNypFiilxq2dl1I.wMN9qHKndDg/RvooSymmzJOKP1I3Ciu';
const maxRemembered = 1000;

export interface UserOptions {
  /** File with the users and the bcrypt hashes of their passwords. */
  readonly htpasswdFile: string;
  /** What a client may do that does not log in; nothing unless given. */
  readonly anonymous?: 'nothing' | 'pull' | undefined;
}

/** Lets in who has logged in, by HTTP Basic authentication. */
export class Authentication {
  readonly #users: HtpasswdFile;
  readonly #anonymousPull: boolean;
  readonly #passwords = new Passwords();
  /** Logins that were right, by a keyed hash: no password stays in memory. */
  readonly #remembered = new Map<string, Promise<boolean>>();
  readonly #key = randomBytes(32);

  private constructor(users: HtpasswdFile, anonymousPull: boolean) {
    this.#users = users;
    this.#anonymousPull = anonymousPull;
  }

  /** @throws LadingError `ERR_LADING_DISTRIBUTION_USERS` */
  static async open({ htpasswdFile, anonymous }: UserOptions): Promise<Authentication> {
    return new Authentication(await HtpasswdFile.open(htpasswdFile), anonymous === 'pull');
  }

  /** Sent with what is answered without a login too: clients that ask once, at first, learn that they can log in. */
  get headers(): Record<string, string> {
    return { 'WWW-Authenticate': challenge };
  }

  /**
   * @returns the user who asks; undefined for somebody who may do this without a login
   * @throws Refusal `UNAUTHORIZED`
   */
  async admit(request: IncomingMessage): Promise<string | undefined> {
    const login = basicCredentials(request.headers.authorization);
    const isPull = request.method === 'GET' || request.method === 'HEAD';
    if (!login && this.#anonymousPull && isPull) return undefined;
    if (login && (await this.#isRight(login))) return login.user;
    const message = login ? 'user or password is wrong' : 'a login is needed';
    throw new Refusal(401, { code: 'UNAUTHORIZED', message }, this.headers);
  }

  async close(): Promise<void> {
    await this.#passwords.close();
  }

  async #isRight({ user, password }: Login): Promise<boolean> {
    await this.#users.refresh().catch((error: unknown) => debug('%s', error));
    const hash = this.#users.hash(user) ?? nobodysHash;
    const key = createHmac('sha256', this.#key)
      .update(JSON.stringify([user, password, hash]))
      .digest('base64');
    const known = this.#remembered.get(key);
    if (known) return known;
    const checked = this.#passwords.matches(password, hash).then((matches) => matches && hash !== nobodysHash);
    this.#remember(key, checked);
    checked.then(
      (isRight) => isRight || this.#remembered.delete(key),
      () => this.#remembered.delete(key),
    );
    return checked;
  }

  #remember(key: string, checked: Promise<boolean>): void {
    const oldest = this.#remembered.keys().next();
    if (this.#remembered.size >= maxRemembered && !oldest.done) this.#remembered.delete(oldest.value);
    this.#remembered.set(key, checked);
  }
}

interface Login {
  readonly user: string;
  readonly password: string;
}

/** @returns undefined without a login; containers/image sends an empty name and password for that */
function basicCredentials(header: string | undefined): Login | undefined {
  const encoded = /^basic\s+([A-Za-z0-9+/=_-]+)\s*$/i.exec(header ?? '')?.[1];
  if (encoded === undefined) return undefined;
  const text = Buffer.from(encoded, 'base64').toString();
  const colon = text.indexOf(':');
  if (colon < 0 || text === ':') return undefined;
  return { user: text.slice(0, colon), password: text.slice(colon + 1) };
}
