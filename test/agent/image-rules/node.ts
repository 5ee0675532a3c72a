import path from 'node:path';
import {
  EventRecorder,
  ImageCollector,
  ImageManager,
  type Pod,
  PullRecords,
  PullTracker,
} from '../../../src/agent/index.ts';
import type { Container, ContainerStatus } from '../../../src/cri/index.ts';
import { EngineImageService } from '../../../src/engine/index.ts';
import {
  defaultImageGcPolicy,
  type PullSecret,
  type VerificationPolicyName,
  verificationPolicy,
} from '../../../src/policy/index.ts';
import { RegistryClient } from '../../../src/registry/index.ts';
import { openStore, type Store } from '../../../src/store/index.ts';
import type { UnpackPool } from '../../../src/unpack/index.ts';
import { rootMissing } from '../../support/root.ts';
import type { VirtualClock } from '../../support/virtual-clock.ts';
import { podOf } from '../support.ts';
import { type Asked, type ModelSecret, nameOf } from './model.ts';
import { password } from './registry.ts';

const pod = podOf([{ name: 'main', image: 'any' }]);

/** The agent's image side over a real engine and a real store, as a node has them. */
export class TestNode {
  readonly images: EngineImageService;
  readonly #clock: VirtualClock;
  readonly #store: Store;
  readonly #registry: RegistryClient;
  readonly #records: PullRecords;
  readonly #policy: VerificationPolicyName;
  readonly #events: string[] = [];
  #tracker!: PullTracker;
  #manager!: ImageManager;

  private constructor(
    deps: { store: Store; registry: RegistryClient; unpack: UnpackPool },
    options: { clock: VirtualClock; policy: VerificationPolicyName },
  ) {
    this.images = new EngineImageService(deps);
    this.#store = deps.store;
    this.#registry = deps.registry;
    this.#clock = options.clock;
    this.#policy = options.policy;
    this.#records = new PullRecords(deps.store.root);
  }

  static async open(
    folder: string,
    options: { clock: VirtualClock; policy: VerificationPolicyName; unpack: UnpackPool },
  ): Promise<TestNode> {
    // Without root the rules are the same for images that are kept as they come.
    const unpacks = rootMissing === undefined;
    const store = await openStore(path.join(folder, 'node'), { unpacks, now: () => options.clock.now() });
    // Twice, since a connection may have been cut with the registry that was stopped.
    const retry = { attempts: 2, initialMs: 1, maxMs: 1 };
    const registry = new RegistryClient({ credentials: async () => [], retry });
    const node = new TestNode({ store, registry, unpack: options.unpack }, options);
    await node.restart();
    return node;
  }

  /** The kubelet starts; what it had in memory is gone. */
  async restart(): Promise<void> {
    const policy = verificationPolicy(this.#policy);
    this.#tracker = new PullTracker({ records: this.#records, policy, clock: this.#clock });
    await this.#tracker.start(await this.images.listImages());
    const events = new EventRecorder(
      () => this.#clock.now(),
      ({ reason }) => this.#events.push(reason),
    );
    const deps = { images: this.images, clock: this.#clock, events };
    this.#manager = new ImageManager(deps, { pullsPerSecond: 0, tracking: this.#tracker });
  }

  async evaluate(asked: Asked) {
    this.#events.length = 0;
    const metadata = { ...pod.metadata, uid: asked.pod, name: asked.pod };
    const asking: Pod = { ...pod, metadata, pullSecrets: asked.secrets.map((secret) => pullSecret(secret, asked)) };
    const request = { image: nameOf(asked), policy: asked.policy, fieldPath: undefined };
    const { error, imageRef, message } = await this.#manager.ensureImageExists(asking, request);
    return { events: [...this.#events], error, imageRef, message };
  }

  async preload(image: string, user?: string): Promise<boolean> {
    const auth = user === undefined ? {} : { auth: { username: user, password } };
    return this.images.pullImage({ image: { image }, ...auth }).then(
      () => true,
      () => false,
    );
  }

  async crashAfterPull(image: string, user?: string): Promise<boolean> {
    await this.#records.writeIntent(image);
    const pulled = await this.preload(image, user);
    await this.restart();
    await this.#tracker.endLeftPulls(async (left) => (await this.images.imageStatus({ image: left }))?.id);
    return pulled;
  }

  async collect(running: readonly string[]): Promise<string[]> {
    const collector = new ImageCollector({
      images: this.images,
      runtime: {
        listContainers: async () => running.map((imageId) => ({ id: imageId, imageId, imageRef: '' }) as Container),
        containerStatus: async () => ({ mounts: [] }) as unknown as ContainerStatus,
      },
      clock: this.#clock,
      policy: defaultImageGcPolicy,
      onCollected: ({ left, startedAtMs }) => this.#tracker.prune(left, startedAtMs),
    });
    await collector.deleteUnused();
    return (await this.images.listImages()).map(({ id }) => id).sort();
  }

  async close(): Promise<void> {
    await this.#registry.close();
    this.#store.close();
  }
}

function pullSecret({ uid, user }: ModelSecret, { repository }: Asked): PullSecret {
  const registry = repository.name.slice(0, repository.name.indexOf('/'));
  const auths = repository.isPrivate ? { [registry]: { username: user, password } } : {};
  const data = { '.dockerconfigjson': JSON.stringify({ auths }) };
  return { namespace: 'default', name: uid, uid, type: 'kubernetes.io/dockerconfigjson', data };
}
