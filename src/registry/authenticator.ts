import { unlessAborted } from '../lib/abort.ts';
import { type Challenge, parseChallenges, selectChallenge } from './challenge.ts';
import { type CredentialStore, type CredentialSubject, originsOf } from './credential-store.ts';
import { basicAuthorization, type Credential, fingerprint } from './credentials.ts';
import { credentialRegistry, type Endpoint, endpointKey, endpointName } from './endpoint.ts';
import { realmProblem } from './realm-check.ts';
import type { FollowedResponse } from './redirect.ts';
import { RegistryError } from './registry-error.ts';
import { scopesToRequest } from './scope.ts';
import { saysExpired } from './status-error.ts';
import type { TokenRequest } from './token.ts';
import type { TokenCache } from './token-cache.ts';
import { headerLines } from './transport.ts';

export interface AuthorizedCall {
  readonly endpoint: Endpoint;
  readonly repository: string;
  /** What the operation needs. */
  readonly scopes: readonly string[];
  /** `as-demanded`: `scopes` hold only if the registry names none, for operations that registries name differently. */
  readonly scopeRule: 'union' | 'as-demanded';
  /** `when-offered`: also where an anonymous request succeeds, and its answer says how to log in. */
  readonly loginRule: 'when-demanded' | 'when-offered';
  /** For this call, in order, instead of what the credential source knows. */
  readonly credentials: readonly Credential[] | undefined;
  readonly signal: AbortSignal | undefined;
}

export interface Outcome {
  readonly reply: FollowedResponse;
  /** Those that were offered, in order. */
  readonly offered: readonly Credential[];
  /** The `Authorization` of the last request. */
  readonly authorization: string | undefined;
}

export interface AuthenticatorOptions {
  readonly tokens: TokenCache;
  readonly credentials: CredentialStore;
  /** Asks the root of the API, anonymously. */
  readonly ping: (endpoint: Endpoint) => Promise<FollowedResponse>;
}

type Send = (authorization: string | undefined) => Promise<FollowedResponse>;

/** How a registry is shown a credential. `registry-token`: as it is, without a token server. */
type Plan =
  | { readonly scheme: 'basic' }
  | { readonly scheme: 'registry-token' }
  | { readonly scheme: 'bearer'; readonly token: TokenRequest };

const schemes = ['bearer', 'registry-token', 'basic'] as const;

/** One credential, or none, was tried: with an answer, or the token server refused it. */
type Trial = {
  readonly rejected: boolean;
  readonly authorization: string | undefined;
  /** Undefined for an anonymous request without a token. */
  readonly plan?: Plan;
} & ({ readonly reply: FollowedResponse } | { readonly refusal: RegistryError; readonly reply?: undefined });

/** What an endpoint demanded, and the URL that said so. */
interface Announcement {
  readonly challenges: readonly Challenge[];
  readonly by: URL;
}

interface Trials {
  readonly tried: readonly Credential[];
  /** What the source said before this call; undefined when it was not asked. */
  readonly known: readonly Credential[] | undefined;
  /** The last one, which failed. */
  readonly trial: Trial;
  readonly announced: Announcement | undefined;
  readonly anonymousTried: boolean;
}

/**
 * Answers challenges, and remembers per endpoint, scope and credential what worked, so that the next request needs no
 * challenge. Anonymous first; a credential only when asked for one.
 * @see registry.md 3
 */
export class Authenticator {
  readonly #tokens: TokenCache;
  readonly #credentials: CredentialStore;
  readonly #ping: AuthenticatorOptions['ping'];
  readonly #plans = new Map<string, Plan>();
  readonly #pings = new Map<string, Promise<readonly Challenge[]>>();

  constructor({ tokens, credentials, ping }: AuthenticatorOptions) {
    this.#tokens = tokens;
    this.#credentials = credentials;
    this.#ping = ping;
  }

  /**
   * Sends with the authorization that the endpoint wants, until it accepts or everything is used up. The reply may be
   * any status.
   * @throws RegistryError when a token server refuses or cannot be asked
   */
  async run(given: AuthorizedCall, send: Send): Promise<Outcome> {
    const call = { ...given, credentials: ownCredentials(given) };
    const known = call.credentials ?? this.#credentials.known(subjectOf(call));
    const first = known && this.#credentials.inOrder(known, placeOf(call))[0];
    const plan = known && this.#planFor(call, first);
    if (plan) {
      const tried = first ? [first] : [];
      const trial = await this.#try(call, first, plan, send);
      if (!trial.rejected) return outcomeOf(trial, tried);
      return this.#tryOthers(call, send, { tried, known, trial, announced: undefined, anonymousTried: !first });
    }
    const reply = await send(undefined);
    const challenges = await this.#challengesOf(call, reply);
    if (!challenges) return { reply, offered: [], authorization: undefined };
    const trial: Trial = { rejected: true, reply, authorization: undefined };
    const announced = { challenges, by: reply.home };
    return this.#tryOthers(call, send, { tried: [], known, trial, announced, anonymousTried: false });
  }

  /** Offers what has not been tried yet, in order; at last what the source knows now, since it may have changed. */
  async #tryOthers(call: AuthorizedCall, send: Send, state: Trials): Promise<Outcome> {
    const subject = subjectOf(call);
    const tried = [...state.tried];
    let { trial, announced } = state;
    const offer = async (credential: Credential | undefined): Promise<boolean> => {
      if (trial.reply?.status === 401) announced = { challenges: challengesIn(trial.reply), by: trial.reply.home };
      const plan =
        this.#planFor(call, credential) ??
        this.#planFrom(announced, call, credential) ??
        samePlanFor(credential, trial.plan);
      if (!plan) return false;
      if (credential) tried.push(credential);
      trial = await this.#try(call, credential, plan, send);
      return !trial.rejected;
    };
    const offerUntried = async (credentials: readonly Credential[]): Promise<boolean> => {
      const fingerprints = new Set(tried.map(fingerprint));
      for (const credential of this.#credentials.inOrder(credentials, placeOf(call))) {
        if (!fingerprints.has(fingerprint(credential)) && (await offer(credential))) return true;
      }
      return false;
    };
    const fromSource = async () => this.#credentials.lookUp(subject, call.signal);
    let candidates = state.known ?? this.#credentials.known(subject) ?? (await fromSource());
    if (await offerUntried(candidates)) return outcomeOf(trial, tried);
    if (!call.credentials && state.known) {
      candidates = await fromSource();
      if (await offerUntried(candidates)) return outcomeOf(trial, tried);
    }
    if (candidates.length === 0 && tried.length === 0 && !state.anonymousTried) await offer(undefined);
    return outcomeOf(trial, tried);
  }

  /** One credential, with at most one renewal of its token. */
  async #try(call: AuthorizedCall, credential: Credential | undefined, first: Plan, send: Send): Promise<Trial> {
    let plan: Plan | undefined = first;
    for (let renewed = false; ; renewed = true) {
      let authorization: string | undefined;
      try {
        authorization = await this.#authorizationFor(plan, credential, call.signal);
      } catch (error) {
        if (!(error instanceof RegistryError) || !refusesCredential(error)) throw error;
        return { rejected: true, refusal: error, authorization: undefined, plan };
      }
      const reply = await send(authorization);
      const trial: Trial = { rejected: isRejection(reply), reply, authorization, plan };
      if (!trial.rejected) {
        this.#plans.set(planKey(call, credential, plan), plan);
        if (credential) this.#credentials.worked(credential, placeOf(call));
        return trial;
      }
      this.#plans.delete(planKey(call, credential, plan));
      if (plan.scheme !== 'bearer' || reply.status !== 401 || reply.foreign) return trial;
      this.#tokens.drop(plan.token, authorization.slice('Bearer '.length));
      if (renewed) return trial;
      const announced = { challenges: challengesIn(reply), by: reply.home };
      plan = this.#planFrom(announced, call, credential, plan.token.scopes);
      if (!plan) return trial;
    }
  }

  async #authorizationFor(plan: Plan, credential: Credential | undefined, signal: AbortSignal | undefined) {
    if (plan.scheme === 'basic') return basicAuthorization(credential?.username ?? '', credential?.password ?? '');
    if (plan.scheme === 'registry-token') return `Bearer ${credential?.registryToken}`;
    return `Bearer ${await this.#tokens.get(plan.token, signal)}`;
  }

  #planFor(call: AuthorizedCall, credential: Credential | undefined): Plan | undefined {
    for (const scheme of schemes) {
      const plan = this.#plans.get(planKey(call, credential, { scheme }));
      if (plan) return plan;
    }
    return undefined;
  }

  /** Undefined when there is no challenge that this credential can answer. */
  #planFrom(
    announced: Announcement | undefined,
    call: AuthorizedCall,
    credential: Credential | undefined,
    heldScopes: readonly string[] = [],
  ): Plan | undefined {
    if (!announced) return undefined;
    const chosen = selectChallenge(announced.challenges);
    if (chosen?.scheme === 'basic' && hasPassword(credential)) return chosen;
    if (credential?.registryToken !== undefined) return { scheme: 'registry-token' };
    if (chosen?.scheme !== 'bearer') return undefined;
    const { endpoint } = call;
    const problem = realmProblem(chosen.realm, announced.by);
    if (problem !== undefined) {
      throw new RegistryError(
        'protocol',
        `The ${endpointName(endpoint)} wants a token from ${chosen.realm.origin}; Lading does not ask there: ${problem}`,
        { registry: endpoint.registry },
        { hint: 'The operator of the registry must correct the realm that it announces.' },
      );
    }
    const { realm, service, scopes: demanded } = chosen;
    const needed = call.scopeRule === 'as-demanded' && demanded.length > 0 ? [] : call.scopes;
    const scopes = scopesToRequest(demanded, [...needed, ...heldScopes]);
    return { scheme: 'bearer', token: { endpoint, realm, service, scopes, demanded, credential } };
  }

  /** What the endpoint wants or offers after an anonymous request; undefined when its answer is not about rights. */
  async #challengesOf(call: AuthorizedCall, reply: FollowedResponse): Promise<readonly Challenge[] | undefined> {
    if (reply.foreign) return undefined;
    const challenges = challengesIn(reply);
    if (reply.status === 401) return challenges;
    if (reply.status === 200 && call.loginRule === 'when-offered' && challenges.length > 0) {
      await reply.body.discard();
      return challenges;
    }
    if (reply.status !== 403 && reply.status !== 404) return undefined;
    if (challenges.length > 0) return challenges;
    const { endpoint, credentials, signal } = call;
    const offers = credentials ?? (await this.#credentials.lookUpIfPossible(subjectOf(call), signal));
    if (offers.length === 0) return undefined;
    const announced = await this.#announced(endpoint, signal);
    return announced.length > 0 ? announced : undefined;
  }

  /** Some registries hide what needs a login behind 404 and challenge at their root only. @see registry.md 3.1 */
  #announced(endpoint: Endpoint, signal: AbortSignal | undefined): Promise<readonly Challenge[]> {
    const key = endpointKey(endpoint);
    const known = this.#pings.get(key);
    if (known) return unlessAborted(known, signal);
    const asked = this.#ping(endpoint).then((reply) => {
      if (reply.status !== 200 && reply.status !== 401) this.#pings.delete(key); // that says nothing about logins
      return reply.status === 401 ? challengesIn(reply) : [];
    });
    this.#pings.set(key, asked);
    asked.catch(() => this.#pings.delete(key));
    return unlessAborted(asked, signal);
  }
}

/** Expired credentials are often refused without a challenge: another one is shown as the last one was. */
function samePlanFor(credential: Credential | undefined, plan: Plan | undefined): Plan | undefined {
  if (plan?.scheme === 'basic' && hasPassword(credential)) return plan;
  if (credential?.registryToken !== undefined) return { scheme: 'registry-token' };
  return credential && plan?.scheme === 'bearer' ? { ...plan, token: { ...plan.token, credential } } : undefined;
}

function hasPassword(credential: Credential | undefined): boolean {
  return credential?.username !== undefined || credential?.password !== undefined;
}

function challengesIn(reply: FollowedResponse): Challenge[] {
  return reply.foreign ? [] : parseChallenges(headerLines(reply, 'www-authenticate'));
}

function isRejection(reply: FollowedResponse): boolean {
  return !reply.foreign && (reply.status === 401 || reply.status === 403 || saysExpired(reply));
}

/** The token server knows the credential and refuses it, rather than being broken. */
function refusesCredential({ data: { kind, status } }: RegistryError): boolean {
  return kind === 'unauthorized' || kind === 'denied' || status === 400;
}

function outcomeOf(trial: Trial, offered: readonly Credential[]): Outcome {
  if (trial.reply) return { reply: trial.reply, offered, authorization: trial.authorization };
  const { refusal } = trial;
  if (offered.length <= 1) throw refusal;
  const { kind, unreachable: _, ...data } = refusal.data;
  const message = `${refusal.message} (offered: ${originsOf(offered).join(', then ')})`;
  const credentials = originsOf(offered);
  throw new RegistryError(kind, message, { ...data, credentials }, { hint: refusal.hint, cause: refusal.cause });
}

/**
 * Those of the call that are for this endpoint. Undefined when the source is to be asked: also where the call's
 * credentials are for the registry, and this is a mirror of it.
 * @see registry.md 4.7
 */
function ownCredentials({ credentials, endpoint }: AuthorizedCall): readonly Credential[] | undefined {
  const registry = credentialRegistry(endpoint);
  const own = credentials?.filter(({ host }) => {
    return host === undefined ? registry === endpoint.registry : host === registry || host === endpoint.host;
  });
  return own?.length === 0 && registry !== endpoint.registry ? undefined : own;
}

function subjectOf({ endpoint, repository }: AuthorizedCall): CredentialSubject {
  return { registry: credentialRegistry(endpoint), repository };
}

function placeOf({ endpoint, scopes }: AuthorizedCall): string {
  return `${endpointKey(endpoint)} ${scopes.join(' ')}`;
}

/** Basic holds for the whole endpoint, a token for its scopes. */
function planKey(call: AuthorizedCall, credential: Credential | undefined, { scheme }: Pick<Plan, 'scheme'>): string {
  const place = scheme === 'basic' ? endpointKey(call.endpoint) : placeOf(call);
  return `${scheme} ${place} ${fingerprint(credential)}`;
}
