import { unlessAborted } from '../lib/abort.ts';
import type { Clock } from '../lib/clock.ts';
import { fingerprint } from './credentials.ts';
import { endpointKey } from './endpoint.ts';
import type { Token, TokenRequest } from './token.ts';

/**
 * Tokens by endpoint, service, scopes and credential. Concurrent requests for one share one token request and its
 * outcome; a caller that gives up does not fail the others. A token is never used for another credential's request.
 */
export class TokenCache {
  readonly #fetch: (request: TokenRequest) => Promise<Token>;
  readonly #clock: Clock;
  readonly #tokens = new Map<string, Token>();
  readonly #underWay = new Map<string, Promise<Token>>();

  constructor(fetch: (request: TokenRequest) => Promise<Token>, clock: Clock) {
    this.#fetch = fetch;
    this.#clock = clock;
  }

  /** @throws RegistryError; the signal's reason when it is aborted */
  async get(request: TokenRequest, signal: AbortSignal | undefined): Promise<string> {
    const key = keyOf(request);
    const token = this.#tokens.get(key);
    if (token && token.renewAt > this.#clock.now()) return token.value;
    let underWay = this.#underWay.get(key);
    if (!underWay) {
      underWay = this.#fetchInto(key, request);
      this.#underWay.set(key, underWay);
    }
    return (await unlessAborted(underWay, signal)).value;
  }

  /** Forgets a token that was refused; a newer one stays. */
  drop(request: TokenRequest, value: string): void {
    const key = keyOf(request);
    if (this.#tokens.get(key)?.value === value) this.#tokens.delete(key);
  }

  async #fetchInto(key: string, request: TokenRequest): Promise<Token> {
    try {
      const token = await this.#fetch(request);
      this.#forgetOld();
      this.#tokens.set(key, token);
      return token;
    } finally {
      this.#underWay.delete(key);
    }
  }

  #forgetOld(): void {
    for (const [key, { renewAt }] of this.#tokens) if (renewAt <= this.#clock.now()) this.#tokens.delete(key);
  }
}

function keyOf({ endpoint, realm, service, scopes, credential }: TokenRequest): string {
  return JSON.stringify([endpointKey(endpoint), realm.href, service ?? '', scopes, fingerprint(credential)]);
}
