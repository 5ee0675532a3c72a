import { createHmac, randomBytes } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { debugLog } from '../lib/debug.ts';
import { Refusal } from './errors.ts';
import { Passwords } from './passwords.ts';
import { htpasswdFile, tokenFile, tokenKey, UserFile } from './user-files.ts';

const debug = debugLog('distribution');
const challenge = 'Basic realm="Lading registry"';
/** Of a password that nobody has: a user who is not there takes as long as a wrong password. */
const nobodysHash = '$2b$10$OW2ugDvNypFiilxq2dl1I.wMN9qHKndDg/RvooSymmzJOKP1I3Ciu';
const maxRemembered = 1000;

/** Who may log in, by one of the files or both. */
export interface UserOptions {
  /** File with the users and the bcrypt hashes of their passwords. */
  readonly htpasswdFile?: string | undefined;
  /** File with tokens of programs, `NAME:TOKEN` a line: sent as a bearer token, or as the password of that name. */
  readonly tokenFile?: string | undefined;
  /** What a client may do that does not log in; nothing unless given. */
  readonly anonymous?: 'nothing' | 'pull' | undefined;
}

type Users = UserFile<ReadonlyMap<string, string>>;

/** Lets in who has logged in, by HTTP Basic authentication or with a token. */
export class Authentication {
  readonly #passwordFile: Users | undefined;
  readonly #tokenFile: Users | undefined;
  readonly #anonymousPull: boolean;
  readonly #passwords = new Passwords();
  /** Logins that were right, by a keyed hash: no password stays in memory. */
  readonly #remembered = new Map<string, Promise<boolean>>();
  readonly #key = randomBytes(32);

  private constructor(files: { passwords: Users | undefined; tokens: Users | undefined }, anonymousPull: boolean) {
    this.#passwordFile = files.passwords;
    this.#tokenFile = files.tokens;
    this.#anonymousPull = anonymousPull;
  }

  /** @throws LadingError `ERR_LADING_DISTRIBUTION_USERS` */
  static async open({
    htpasswdFile: passwordPath,
    tokenFile: tokenPath,
    anonymous,
  }: UserOptions): Promise<Authentication> {
    const passwords = passwordPath === undefined ? undefined : await UserFile.open(passwordPath, htpasswdFile);
    const tokens = tokenPath === undefined ? undefined : await UserFile.open(tokenPath, tokenFile);
    return new Authentication({ passwords, tokens }, anonymous === 'pull');
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
    const { authorization } = request.headers;
    const login = basicCredentials(authorization);
    const token = bearerToken(authorization) ?? login?.password;
    const isPull = request.method === 'GET' || request.method === 'HEAD';
    if (token === undefined && this.#anonymousPull && isPull) return undefined;
    const program = token === undefined ? undefined : await this.#userOf(token);
    if (program !== undefined && (!login || login.user === program)) return program;
    if (login && (await this.#isRight(login))) return login.user;
    const message = token === undefined ? 'a login is needed' : 'user, password or token is wrong';
    throw new Refusal(401, { code: 'UNAUTHORIZED', message }, this.headers);
  }

  async close(): Promise<void> {
    await this.#passwords.close();
  }

  async #userOf(token: string): Promise<string | undefined> {
    return (await refreshed(this.#tokenFile))?.get(tokenKey(token));
  }

  async #isRight({ user, password }: Login): Promise<boolean> {
    const hashes = await refreshed(this.#passwordFile);
    if (!hashes) return false;
    const hash = hashes.get(user) ?? nobodysHash;
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

/** A file that cannot be read any more changes nothing. */
async function refreshed(file: Users | undefined): Promise<ReadonlyMap<string, string> | undefined> {
  await file?.refresh().catch((error: unknown) => debug('%s', error));
  return file?.content;
}

interface Login {
  readonly user: string;
  readonly password: string;
}

function bearerToken(header: string | undefined): string | undefined {
  return /^bearer\s+(\S+)\s*$/i.exec(header ?? '')?.[1];
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
