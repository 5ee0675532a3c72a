import {
  credentialsOfPullSecrets,
  EventRecorder,
  ImageManager,
  type PodCredential,
  type PullRecords,
  PullTracker,
} from '../../../src/agent/index.ts';
import { CriError, type ImageService } from '../../../src/cri/index.ts';
import { type CredentialOwner, Keyring, verificationPolicy } from '../../../src/policy/index.ts';
import { podNamed, pullSecret, unusedImageCalls } from '../agent-parts.ts';
import { mappings, withRecords } from '../pull-record-parts.ts';
import { type Check, type Outcome, unknownKind, type VectorCase } from '../vector-table.ts';

export const check: Check = (vector) =>
  withRecords(async (records) => {
    const node = new Node(vector, records);
    await node.restart();
    const outcomes: Outcome[] = [];
    for (const step of vector.steps) {
      const result = await node.run(step);
      const actual = { ...result, records: await mappings(records), intents: await records.intents() };
      outcomes.push({ expected: step.expect, actual });
    }
    return outcomes;
  });

/** A node, its registry and its kubelet, which a restart replaces. */
class Node implements ImageService {
  readonly #vector: VectorCase;
  readonly #records: PullRecords;
  /** Image ids by text. */
  readonly #present: Map<string, string>;
  #pullAttempts: string[] = [];
  #eventReasons: string[] = [];
  #accountCredential: VectorCase['credential'] | null = null;
  #nowMs = 0;
  #manager!: ImageManager;

  constructor(vector: VectorCase, records: PullRecords) {
    this.#vector = vector;
    this.#records = records;
    this.#present = new Map(Object.entries(vector.preloaded));
  }

  async run(step: VectorCase['step']): Promise<object> {
    switch (step.op) {
      case 'ensure':
        return this.#ensure(step);
      case 'restart':
        await this.restart();
        return {};
      case 'removeImage':
        this.#present.delete(step.image);
        return {};
      case 'crashAfterPull':
        await this.#records.writeIntent(step.image);
        this.#present.set(step.image, this.#vector.registry[step.image].imageId);
        return {};
      default:
        return unknownKind(step.op);
    }
  }

  async restart(): Promise<void> {
    const { config } = this.#vector;
    const clock = { now: () => this.#nowMs, sleep: async () => {} };
    const events = new EventRecorder(clock.now, ({ reason }) => this.#eventReasons.push(reason));
    const policy = verificationPolicy(config.verificationPolicy, config.allowlist);
    const tracking = new PullTracker({ records: this.#records, policy, clock });
    await tracking.start(await this.listImages());
    this.#manager = new ImageManager(
      { images: this, clock, events },
      {
        pullsPerSecond: 0,
        backOff: config.imageBackOff,
        credentials: async (pod, repository) => [
          ...(await credentialsOfPullSecrets(pod, repository)),
          ...this.#othersFor(repository),
        ],
        ...(config.ensureSecretPulledImages ? { tracking } : {}),
      },
    );
  }

  async #ensure({ advanceMs, pod, image, policy, secrets, serviceAccountCredential }: VectorCase['step']) {
    this.#nowMs += advanceMs;
    this.#pullAttempts = [];
    this.#eventReasons = [];
    this.#accountCredential = serviceAccountCredential;
    const asked = podNamed(pod, secrets.map(pullSecret));
    const { error } = await this.#manager.ensureImageExists(asked, { image, policy, fieldPath: undefined });
    return { error, pullAttempts: this.#pullAttempts, eventReasons: this.#eventReasons };
  }

  /** Credentials of the node, then those of the pod's service account. */
  #othersFor(repository: string): PodCredential[] {
    const account = this.#accountCredential;
    return [
      ...this.#vector.config.nodeCredentials.flatMap((entry: VectorCase['credential']) => offers(entry, repository)),
      ...(account ? offers(account, repository, { serviceAccount: account.serviceAccount }) : []),
    ];
  }

  async listImages() {
    return [...this.#present].map(([text, id]) => ({ ...described, id, repoTags: [text] }));
  }

  async imageStatus({ image }: { image: string }) {
    const id = this.#present.get(image);
    return id === undefined ? undefined : { ...described, id };
  }

  async pullImage({ image: { image }, auth = {} }: Parameters<ImageService['pullImage']>[0]) {
    const { username = '', password = '' } = auth;
    this.#pullAttempts.push(username);
    const { imageId, access } = this.#vector.registry[image] ?? {};
    const accepts = (user: VectorCase['credential']) => user.username === username && user.password === password;
    if (imageId === undefined || (access !== 'public' && !access.some(accepts))) {
      throw new CriError('UNKNOWN', 'access denied');
    }
    this.#present.set(image, imageId);
    return { imageRef: imageId };
  }

  removeImage = unusedImageCalls.removeImage;
  imageFsInfo = unusedImageCalls.imageFsInfo;
}

const described = { size: 1, repoTags: [], repoDigests: [], username: '', pinned: false };

function offers(credential: VectorCase['credential'], repository: string, owner?: CredentialOwner): PodCredential[] {
  const { registry, username, password } = credential;
  const keyring = new Keyring();
  keyring.add({ [registry]: { username, password, email: '' } }, owner);
  return keyring.lookUp(repository).map((offered) => ({
    auth: { username: offered.username, password: offered.password },
    ...(owner && 'serviceAccount' in owner ? { source: owner } : {}),
  }));
}
