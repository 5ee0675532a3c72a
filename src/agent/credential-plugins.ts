import { createHash } from 'node:crypto';
import path from 'node:path';
import { type Clock, systemClock } from '../lib/clock.ts';
import { debugLog } from '../lib/debug.ts';
import { errorMessage } from '../lib/errors.ts';
import { runProgram } from '../lib/run-program.ts';
import {
  type DockerConfigEntries,
  decodePluginAnswer,
  encodePluginRequest,
  type ImagePullServiceAccount,
  Keyring,
  PluginCache,
  pluginMatches,
} from '../policy/index.ts';
import type { CredentialProvider, TokenAttributes } from './credential-provider-config.ts';

/** For whom credentials are wanted. */
export interface PluginPod {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  /** Empty when the pod has none. */
  readonly serviceAccountName: string;
}

/** Where a node learns about service accounts: the API of a cluster. What its methods throw is logged. */
export interface ServiceAccounts {
  get(namespace: string, name: string): Promise<{ uid: string; annotations: Readonly<Record<string, string>> }>;
  /** A token for the audience that is bound to the pod. */
  token(pod: PluginPod, account: { uid: string; audience: string }): Promise<string>;
}

/** Runs a plugin; gives what it wrote. @throws Error that quotes nothing of it */
export type RunPlugin = (provider: CredentialProvider, request: string) => Promise<string>;

export interface CredentialPluginsOptions {
  readonly providers: readonly CredentialProvider[];
  readonly run: RunPlugin;
  readonly clock?: Clock;
  /** Without it, plugins that ask on behalf of service accounts are passed over. */
  readonly serviceAccounts?: ServiceAccounts;
}

/** What one plugin gives for an image. */
export interface ProvidedCredentials {
  readonly entries: DockerConfigEntries;
  /** On whose behalf, if on anybody's. */
  readonly serviceAccount: ImagePullServiceAccount | undefined;
}

const nothing: ProvidedCredentials = { entries: {}, serviceAccount: undefined };
const pluginTimeoutMs = 60_000;
const maxPluginOutputBytes = 1024 * 1024;
const log = debugLog('agent');

/** Asks credential plugins as the kubelet does; a plugin that fails gives nothing and stops nobody. @see pull-policy.md 8.4 */
export class CredentialPlugins {
  readonly #plugins: readonly CredentialPlugin[];

  constructor(options: CredentialPluginsOptions) {
    this.#plugins = options.providers.map((provider) => new CredentialPlugin(provider, options));
  }

  /** One keyring of what all plugins give for the image, in the order of the configuration. */
  async keyring(repository: string, pod: PluginPod): Promise<Keyring> {
    const keyring = new Keyring();
    for (const plugin of this.#plugins) {
      const { entries, serviceAccount } = await plugin.provide(repository, pod);
      keyring.add(entries, serviceAccount && { serviceAccount });
    }
    return keyring;
  }
}

export class CredentialPlugin {
  readonly #provider: CredentialProvider;
  readonly #run: RunPlugin;
  readonly #clock: Clock;
  readonly #serviceAccounts: ServiceAccounts | undefined;
  readonly #cache: PluginCache;
  /** Questions for the same image share one run. */
  readonly #running = new Map<string, Promise<string>>();

  constructor(provider: CredentialProvider, { run, clock = systemClock, serviceAccounts }: CredentialPluginsOptions) {
    this.#provider = provider;
    this.#run = run;
    this.#clock = clock;
    this.#serviceAccounts = serviceAccounts;
    this.#cache = new PluginCache({ defaultDurationMs: provider.defaultCacheDurationMs });
  }

  async provide(repository: string, pod: PluginPod): Promise<ProvidedCredentials> {
    const { name, matchImages, tokenAttributes } = this.#provider;
    if (!pluginMatches(matchImages, repository)) return nothing;
    try {
      const account = tokenAttributes && (await this.#accountFor(pod, tokenAttributes));
      if (account === 'not-for-this-pod') return nothing;
      const entries = await this.#entriesFor(repository, account);
      return { entries, serviceAccount: account?.coordinates };
    } catch (error) {
      log('credential plugin %s: %s', name, errorMessage(error));
      return nothing;
    }
  }

  async #entriesFor(image: string, account: Account | undefined): Promise<DockerConfigEntries> {
    const { apiVersion } = this.#provider;
    const key = account?.cacheKey ?? '';
    const cached = this.#cache.get(image, key, this.#clock.now());
    if (cached) return cached;
    const request = encodePluginRequest({
      apiVersion,
      image,
      serviceAccountToken: account?.token,
      serviceAccountAnnotations: account?.annotations,
    });
    const answer = decodePluginAnswer(await this.#runOnce(JSON.stringify([image, key]), request), apiVersion);
    const passwords = Object.values(answer.entries).map(({ password }) => password);
    if (account?.answerOutlivesToken && passwords.includes(account.token)) {
      throw new Error('it gave back the token as a password, which would be kept longer than the token holds');
    }
    this.#cache.set(image, key, answer, this.#clock.now());
    return answer.entries;
  }

  #runOnce(key: string, request: string): Promise<string> {
    let running = this.#running.get(key);
    if (!running) {
      running = this.#run(this.#provider, request).finally(() => this.#running.delete(key));
      this.#running.set(key, running);
    }
    return running;
  }

  /** Undefined: asked on nobody's behalf. @throws Error when the account or its token cannot be had */
  async #accountFor(pod: PluginPod, attributes: TokenAttributes): Promise<Account | undefined | 'not-for-this-pod'> {
    const { namespace, serviceAccountName: name } = pod;
    if (name === '') return attributes.requireServiceAccount ? 'not-for-this-pod' : undefined;
    if (!this.#serviceAccounts) throw new Error('service accounts are known in a cluster only');
    const { uid, annotations: all } = await this.#serviceAccounts.get(namespace, name);
    const required = attributes.requiredServiceAccountAnnotationKeys;
    if (!required.every((key) => Object.hasOwn(all, key))) return 'not-for-this-pod';
    const wanted = [...required, ...attributes.optionalServiceAccountAnnotationKeys];
    const annotations = Object.fromEntries(
      wanted.flatMap((key) => (Object.hasOwn(all, key) ? [[key, all[key]!]] : [])),
    );
    const token = await this.#serviceAccounts.token(pod, { uid, audience: attributes.serviceAccountTokenAudience });
    const perToken = attributes.cacheType === 'Token';
    const sorted = Object.entries(annotations).sort(([a], [b]) => (a < b ? -1 : 1));
    const hash = perToken ? createHash('sha256').update(token).digest('hex') : '';
    return {
      coordinates: { namespace, name, uid },
      annotations,
      token,
      cacheKey: JSON.stringify([namespace, name, uid, sorted, hash]),
      answerOutlivesToken: !perToken,
    };
  }
}

interface Account {
  readonly coordinates: ImagePullServiceAccount;
  readonly annotations: Readonly<Record<string, string>>;
  readonly token: string;
  readonly cacheKey: string;
  readonly answerOutlivesToken: boolean;
}

/**
 * Runs the program of a plugin's name from a folder, with this process's environment and the plugin's own.
 * @param signal ends it
 */
export function runPluginFrom(folder: string, signal?: AbortSignal): RunPlugin {
  return async ({ name, args, env }, request) => {
    const ran = await runProgram(path.join(folder, name), args, {
      input: request,
      timeoutMs: pluginTimeoutMs,
      maxOutputBytes: maxPluginOutputBytes,
      environment: { ...process.env, ...env },
      signal,
    });
    if (ran.outcome === 'not-found') throw new Error(`there is no program ${name} in ${folder}`);
    if (ran.outcome === 'not-started') throw new Error(`it could not be started (${ran.code})`);
    if (ran.outcome === 'timed-out') throw new Error(`it did not answer within ${pluginTimeoutMs / 1000} s`);
    if (ran.outcome === 'aborted') throw new Error('nobody waits for it any more');
    if (ran.outcome !== 'ended') throw new Error('it printed too much');
    if (ran.exitCode !== 0) throw new Error(`it ended with status ${ran.exitCode ?? 'unknown'}`);
    return ran.stdout;
  };
}
