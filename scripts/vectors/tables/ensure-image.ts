import {
  credentialsOfPullSecrets,
  EventRecorder,
  type EventText,
  ImageManager,
  ImageMetrics,
  type PodCredential,
  type PullTracking,
} from '../../../src/agent/index.ts';
import type { ImageService } from '../../../src/cri/index.ts';
import { CriError } from '../../../src/cri/index.ts';
import { type ImagePullServiceAccount, sameCoordinates } from '../../../src/policy/index.ts';
import { podNamed, pullSecret, unusedImageCalls } from '../agent-parts.ts';
import type { Check, Outcome, VectorCase } from '../vector-table.ts';

export const check: Check = async (vector) => {
  const outcomes: Outcome[] = [];
  for (const mode of vector.pullerModes) outcomes.push(...(await runCalls(vector, mode)));
  return outcomes;
};

async function runCalls(
  { config, node, access, pod, pullSecrets, calls }: VectorCase,
  mode: string,
): Promise<Outcome[]> {
  let nowMs = 0;
  const clock = { now: () => nowMs, sleep: async () => {} };
  const events: EventText[] = [];
  const metrics = new ImageMetrics();
  const runtime = new ScriptedImages(node.images);
  const recorder = new EventRecorder(clock.now, ({ type, reason, message }) => events.push({ type, reason, message }));
  const manager = new ImageManager(
    { images: runtime, clock, events: recorder },
    {
      maxParallelPulls: mode === 'serial' ? 1 : 0,
      pullsPerSecond: config.qps,
      pullBurst: config.burst,
      backOff: config.imageBackOff,
      metrics,
      credentials: async (asked, repository) => [
        ...(await credentialsOfPullSecrets(asked, repository)),
        ...(node.nodeCredentials[repository] ?? []).map(nodeCredential),
      ],
      ...(config.ensureSecretPulledImages ? { tracking: new ScriptedAccess(access) } : {}),
    },
  );
  const outcomes: Outcome[] = [];
  for (const call of calls) {
    nowMs += call.advanceMs;
    events.length = 0;
    runtime.prepare(call);
    const before = metrics.text();
    const { image, policy } = call;
    const asked = podNamed({ ...pod, uid: call.podUid ?? pod.uid }, pullSecrets.map(pullSecret));
    const result = await manager.ensureImageExists(asked, { image, policy, fieldPath: undefined });
    const pulls = result.decision.action === 'pull';
    outcomes.push({
      expected: call.expect,
      actual: {
        runtimeCalls: [...runtime.calls],
        error: result.error,
        message: result.message,
        imageRef: result.imageRef,
        events: [...events],
        pullTimerStarted: pulls,
        pullTimerFinished: pulls && result.error === undefined,
        requestCounter: increment(before, metrics.text()),
      },
    });
  }
  return outcomes;
}

const requestCount = /^kubelet_image_manager_ensure_image_requests_total\{(.*)\} (\d+)$/gm;

/** The labels whose count has grown by one; an error when others have. */
function increment(before: string, after: string): Record<string, string> {
  const counts = (text: string) =>
    new Map([...text.matchAll(requestCount)].map(([, labels, n]) => [labels!, Number(n)]));
  const old = counts(before);
  const grown = [...counts(after)].filter(([labels, n]) => n !== (old.get(labels) ?? 0));
  const [[labels, n] = ['', 0]] = grown;
  if (grown.length !== 1 || n !== (old.get(labels) ?? 0) + 1) throw new Error(`requests were counted so: ${after}`);
  return Object.fromEntries([...labels.matchAll(/(\w+)="(\w*)"/g)].map(([, name, value]) => [name, value]));
}

function nodeCredential({ username, password, source }: VectorCase['credential']): PodCredential {
  return { auth: { username, password }, ...(source ? { source } : {}) };
}

/** Stands in for the pull records: it demands a pull unless the table lists the pod's credentials. */
class ScriptedAccess implements PullTracking {
  readonly #access: VectorCase['access'];

  constructor(access: VectorCase['access']) {
    this.#access = access;
  }

  async mustAttemptPull(...[image, , podCredentials]: Parameters<PullTracking['mustAttemptPull']>) {
    if (this.#access.mode === 'allowAll') return { mustPull: false, result: 'credentialPolicyAllowed' as const };
    let credentials: Awaited<ReturnType<typeof podCredentials>>;
    try {
      credentials = await podCredentials();
    } catch (error) {
      return { mustPull: true, result: 'error' as const, error };
    }
    const { secrets, serviceAccount } = credentials;
    const isListed = (credential: ImagePullServiceAccount, listed: readonly VectorCase['listed'][]) =>
      listed.some((entry) => entry.image === image && sameCoordinates(entry, credential));
    const found =
      secrets.some((secret) => isListed(secret, this.#access.secrets)) ||
      (serviceAccount !== undefined && isListed(serviceAccount, this.#access.serviceAccounts));
    return { mustPull: !found, result: found ? ('credentialRecordFound' as const) : ('mustAuthenticate' as const) };
  }

  async recordIntent() {}
  async recordPulled() {}
  async recordFailed() {}
}

/** The fake runtime of the table: an image is present under the text that the runtime is asked for. */
class ScriptedImages implements ImageService {
  readonly calls: string[] = [];
  readonly #sizes: Map<string, number>;
  #script: VectorCase['call'];

  constructor(images: { id: string; sizeBytes: number }[]) {
    this.#sizes = new Map(images.map(({ id, sizeBytes }) => [id, sizeBytes]));
  }

  prepare(call: VectorCase['call']): void {
    this.#script = call;
    this.calls.length = 0;
    if (call.removeImagesBefore) this.#sizes.clear();
  }

  async imageStatus({ image }: { image: string }) {
    const isSizeQuery = this.calls.includes('PullImage');
    this.calls.push(isSizeQuery ? 'GetImageSize' : 'GetImageRef');
    const error = isSizeQuery ? this.#script.sizeError : this.#script.inspectError;
    if (error) throw new CriError('UNKNOWN', error);
    const size = this.#sizes.get(image);
    if (size === undefined) return undefined;
    return { id: image, size, repoTags: [], repoDigests: [], username: '', pinned: false };
  }

  async pullImage({ image: { image } }: { image: { image: string } }) {
    this.calls.push('PullImage');
    if (this.#script.pullError) throw new CriError('UNKNOWN', this.#script.pullError);
    this.#sizes.set(image, this.#script.pulledSizeBytes ?? 0);
    return { imageRef: this.#script.pulledRef ?? image };
  }

  listImages = unusedImageCalls.listImages;
  removeImage = unusedImageCalls.removeImage;
  imageFsInfo = unusedImageCalls.imageFsInfo;
}
