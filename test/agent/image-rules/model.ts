/** The kubelet's rules about images in their smallest form, written from pull-policy.md and from nothing else. */
import type { VerificationPolicyName } from '../../../src/policy/index.ts';

export interface ModelImage {
  /** Its id. */
  readonly config: string;
  readonly manifest: string;
  /** Everything but the manifest. */
  readonly blobs: readonly string[];
}

export interface ModelRepository {
  /** `host/path`, as in references. */
  readonly name: string;
  readonly isPrivate: boolean;
  readonly tags: Map<string, ModelImage>;
}

/** A pull secret: its identity, and whose login it has. */
export interface ModelSecret {
  readonly uid: string;
  readonly user: string;
}

export interface Asked {
  readonly pod: string;
  readonly repository: ModelRepository;
  readonly tag: string;
  readonly policy: string;
  readonly secrets: readonly ModelSecret[];
}

export interface Expected {
  readonly events: readonly string[];
  readonly error: string | undefined;
  readonly imageRef: string | undefined;
  /** Of the answers that gave something, in the order of their texts. */
  readonly requests: readonly string[];
  readonly messageStart: string;
}

interface Access {
  readonly all: boolean;
  /** Users by uid. */
  readonly secrets: ReadonlyMap<string, string>;
}

interface PulledRecord {
  updatedMs: number;
  readonly access: Map<string, Access>;
}

const longestMs = 300_000;
const expiryMs = 600_000;

export class Model {
  nowMs: number;
  registryUp = true;
  readonly goodUsers: ReadonlySet<string>;
  readonly #policy: VerificationPolicyName;
  /** Image by name, of the images on the node. */
  readonly #names = new Map<string, ModelImage>();
  readonly #images = new Map<string, { readonly image: ModelImage; readonly pulledMs: number }>();
  readonly #records = new Map<string, PulledRecord>();
  readonly #backOff = new Map<string, { readonly delayMs: number; readonly atMs: number; readonly failure: string }>();
  /** Images by pod. */
  readonly #running = new Map<string, string>();

  constructor(options: { nowMs: number; goodUsers: readonly string[]; policy: VerificationPolicyName }) {
    this.nowMs = options.nowMs;
    this.goodUsers = new Set(options.goodUsers);
    this.#policy = options.policy;
  }

  evaluate(asked: Asked): Expected {
    const { pod, policy, secrets } = asked;
    const name = nameOf(asked);
    const local = this.#names.get(name);
    if (policy !== 'Always' && local && !this.#mustPull(asked, local)) {
      this.#running.set(pod, local.config);
      const messageStart = `Container image "${name}" already present on machine and can be accessed by the pod`;
      return { events: ['Pulled'], error: undefined, imageRef: local.config, requests: [], messageStart };
    }
    if (policy === 'Never') {
      const messageStart = `Container image "${name}" is not present with pull policy of Never`;
      return refused('ErrImageNeverPull', ['ErrImageNeverPull'], messageStart);
    }
    const key = `${pod} ${name}`;
    const waiting = this.#backOff.get(key);
    const sinceMs = this.nowMs - (waiting?.atMs ?? 0);
    if (waiting && sinceMs <= expiryMs && sinceMs < waiting.delayMs) {
      return refused('ImagePullBackOff', ['BackOff'], `Back-off pulling image "${name}": ${waiting.failure}: `);
    }
    const outcome = this.#pull(asked);
    if ('failure' in outcome) {
      const doubles = waiting && sinceMs <= expiryMs;
      const delayMs = doubles ? Math.min(waiting.delayMs * 2, longestMs) : 10_000;
      this.#backOff.set(key, { delayMs, atMs: this.nowMs, failure: outcome.failure });
      return refused(outcome.failure, ['Pulling', 'Failed'], '');
    }
    const { image, user, requests } = outcome;
    const secret = user === undefined ? undefined : secrets.find((candidate) => candidate.user === user);
    this.#grant(asked.repository.name, image.config, secret);
    this.#running.set(pod, image.config);
    return { events: ['Pulling', 'Pulled'], error: undefined, imageRef: image.config, requests, messageStart: '' };
  }

  /** Somebody else brings an image to the node. @returns whether there is one to bring */
  preload(repository: ModelRepository, tag: string): boolean {
    const image = repository.tags.get(tag);
    if (!image || !this.registryUp) return false;
    this.#arrived(`${repository.name}:${tag}`, image, repository);
    return true;
  }

  /** A pull by the kubelet, which is killed before it has written down whose it was. */
  crashAfterPull(repository: ModelRepository, tag: string): boolean {
    const pulled = this.preload(repository, tag);
    if (pulled) this.#recordOf(repository.tags.get(tag)!.config);
    this.restart();
    return pulled;
  }

  restart(): void {
    this.#backOff.clear();
  }

  stop(pod: string): void {
    this.#running.delete(pod);
  }

  running(): string[] {
    return [...this.#running.values()];
  }

  /** Deletes what no container has and is two minutes old. @returns ids of what is left */
  collect(): string[] {
    const used = new Set(this.running());
    for (const [id, { pulledMs }] of this.#images) {
      if (used.has(id) || this.nowMs - pulledMs < 120_000) continue;
      this.#images.delete(id);
      for (const [name, image] of this.#names) if (image.config === id) this.#names.delete(name);
    }
    for (const [id, { updatedMs }] of this.#records) {
      // On disk there are whole seconds.
      if (!this.#images.has(id) && Math.floor(updatedMs / 1000) * 1000 < this.nowMs) this.#records.delete(id);
    }
    return [...this.#images.keys()].sort();
  }

  #pull(
    asked: Asked,
  ): { failure: string } | { image: ModelImage; user: string | undefined; requests: readonly string[] } {
    const { repository, tag, secrets } = asked;
    if (!this.registryUp) return { failure: 'RegistryUnavailable' };
    // Without a credential that fits the pull is anonymous.
    const offered = repository.isPrivate ? secrets.map(({ user }) => user) : [];
    const user = offered.find((candidate) => this.goodUsers.has(candidate));
    const image = repository.tags.get(tag);
    if (!image || (repository.isPrivate && user === undefined)) return { failure: 'ErrImagePull' };
    return { image, user, requests: this.#arrived(nameOf(asked), image, repository) };
  }

  /** @returns what was asked for */
  #arrived(name: string, image: ModelImage, repository: ModelRepository): readonly string[] {
    const path = `/v2/${repository.name.slice(repository.name.indexOf('/') + 1)}`;
    const here = new Set([...this.#images.values()].flatMap((known) => [known.image.manifest, ...known.image.blobs]));
    const requests = [`HEAD ${path}/manifests/${name.slice(name.lastIndexOf(':') + 1)}`];
    if (!here.has(image.manifest)) requests.push(`GET ${path}/manifests/${image.manifest}`);
    for (const blob of image.blobs) if (!here.has(blob)) requests.push(`GET ${path}/blobs/${blob}`);
    if (!this.#images.has(image.config)) this.#images.set(image.config, { image, pulledMs: this.nowMs });
    this.#names.set(name, image);
    return requests.sort();
  }

  /** @see pull-policy.md 9.2 */
  #mustPull({ repository, secrets }: Asked, { config }: ModelImage): boolean {
    const record = this.#records.get(config);
    if (this.#policy === 'NeverVerify' || (this.#policy === 'NeverVerifyPreloadedImages' && !record)) return false;
    const access = record?.access.get(repository.name);
    if (!record || !access) return true;
    if (access.all) return false;
    const known = [...access.secrets].sort();
    for (const { uid, user } of repository.isPrivate ? secrets : []) {
      for (const [knownUid, knownUser] of known) {
        if (knownUid !== uid && knownUser !== user) continue;
        if (knownUid !== uid || knownUser !== user) this.#grant(repository.name, config, { uid, user });
        return false;
      }
    }
    return true;
  }

  /** @see pull-policy.md 9.3 */
  #grant(repository: string, imageId: string, secret: ModelSecret | undefined): void {
    const record = this.#recordOf(imageId);
    const before = record.access.get(repository);
    if (before?.all || (secret && before?.secrets.get(secret.uid) === secret.user)) return;
    const secrets = new Map(before?.secrets);
    if (secret) secrets.set(secret.uid, secret.user);
    record.access.set(repository, { all: !secret, secrets });
    record.updatedMs = this.nowMs;
  }

  #recordOf(imageId: string): PulledRecord {
    let record = this.#records.get(imageId);
    if (!record) {
      record = { updatedMs: this.nowMs, access: new Map() };
      this.#records.set(imageId, record);
    }
    return record;
  }
}

export function nameOf({ repository, tag }: Pick<Asked, 'repository' | 'tag'>): string {
  return `${repository.name}:${tag}`;
}

function refused(error: string, events: readonly string[], messageStart: string): Expected {
  return { events, error, imageRef: undefined, requests: [], messageStart };
}
