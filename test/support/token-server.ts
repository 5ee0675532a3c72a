import type { IncomingHttpHeaders } from 'node:http';
import { type HostileServer, type ReceivedRequest, sendJson, startHostileServer } from './hostile-server.ts';

export interface TokenServerOptions {
  /** Users and their passwords; anybody else is refused, nobody is anonymous. */
  readonly users?: Readonly<Record<string, string>>;
  /** Identity tokens that a POST may exchange. */
  readonly identityTokens?: readonly string[];
  /** Which of the two ways to ask exist; the other one is answered 404. */
  readonly forms?: readonly ('GET' | 'POST')[];
  readonly expiresInS?: number;
}

/** A token server of the tests' own, and the check that a registry makes of its tokens. */
export class TokenServer {
  /** Whether requests without credentials get a token. */
  anonymous = true;
  readonly #options: TokenServerOptions;
  readonly #issued = new Map<string, readonly string[]>();
  #server!: HostileServer;

  constructor(options: TokenServerOptions) {
    this.#options = options;
  }

  async start(): Promise<this> {
    this.#server = await startHostileServer((request, response) => {
      const scopes = this.#scopesFor(request);
      if (scopes === 'no-such-form') return sendJson(response, 404, { message: 'page not found' });
      if (scopes === 'refused') return sendJson(response, 401, { details: 'incorrect username or password' });
      const token = `token-${this.#issued.size + 1}`;
      this.#issued.set(token, scopes);
      const { expiresInS } = this.#options;
      return sendJson(response, 200, { token, ...(expiresInS !== undefined && { expires_in: expiresInS }) });
    });
    return this;
  }

  get realm(): string {
    return `${this.#server.url}/token`;
  }

  get requests(): readonly ReceivedRequest[] {
    return this.#server.requests;
  }

  /** Makes all tokens that were issued so far invalid. */
  revoke(): void {
    for (const token of this.#issued.keys()) this.#issued.set(token, []);
  }

  /** The 401 that a registry sends when the request does not carry a token for the scope; undefined when it does. */
  challengeFor(headers: IncomingHttpHeaders, scope: string): string | undefined {
    const token = /^Bearer (.*)$/.exec(headers.authorization ?? '')?.[1];
    const granted = this.#issued.get(token ?? '');
    if (granted?.some((held) => includesScope(held, scope))) return undefined;
    const error = token === undefined ? '' : `,error="${granted ? 'insufficient_scope' : 'invalid_token'}"`;
    return `Bearer realm="${this.realm}",service="tests",scope="${scope}"${error}`;
  }

  close(): Promise<void> {
    return this.#server.close();
  }

  #scopesFor({ method, path, headers, body }: ReceivedRequest): readonly string[] | 'refused' | 'no-such-form' {
    const { forms = ['GET', 'POST'], users = {}, identityTokens = [] } = this.#options;
    if (!forms.some((form) => form === method)) return 'no-such-form';
    if (method === 'GET') {
      const scopes = new URL(path, this.#server.url).searchParams.getAll('scope');
      if (headers.authorization === undefined) return this.anonymous ? scopes : 'refused';
      const pair = Buffer.from(headers.authorization.slice('Basic '.length), 'base64').toString('utf8');
      const colon = pair.indexOf(':');
      return users[pair.slice(0, colon)] === pair.slice(colon + 1) ? scopes : 'refused';
    }
    const fields = new URLSearchParams(body.toString('utf8'));
    const scopes = (fields.get('scope') ?? '').split(' ');
    const { username, password, refresh_token: identityToken } = Object.fromEntries(fields);
    if (identityToken !== undefined) return identityTokens.includes(identityToken) ? scopes : 'refused';
    return username !== undefined && users[username] === password ? scopes : 'refused';
  }
}

export function startTokenServer(options: TokenServerOptions = {}): Promise<TokenServer> {
  return new TokenServer(options).start();
}

function includesScope(held: string, wanted: string): boolean {
  const [heldName, heldActions] = splitScope(held);
  const [wantedName, wantedActions] = splitScope(wanted);
  return heldName === wantedName && wantedActions.every((action) => heldActions.includes(action));
}

function splitScope(scope: string): [name: string, actions: readonly string[]] {
  const colon = scope.lastIndexOf(':');
  return [scope.slice(0, colon), scope.slice(colon + 1).split(',')];
}
