import type { Image } from '../cri/messages.ts';
import type { Clock } from '../lib/clock.ts';
import { crashPoint } from '../lib/crash-point.ts';
import { debugLog } from '../lib/debug.ts';
import { errorMessage } from '../lib/errors.ts';
import { KeyedLock } from '../lib/keyed-lock.ts';
import {
  type ImagePullCredentials,
  type MustPullAnswer,
  mergeCredentials,
  mustAttemptPull,
  type PulledRecord,
  recordKey,
  type TrackedPodCredentials,
  type VerificationPolicy,
} from '../policy/index.ts';
import type { ImageMetrics } from './image-metrics.ts';
import type { PullRecords } from './pull-records.ts';

const log = debugLog('agent');

/**
 * Knows which images the node's kubelet has pulled and whose credentials gave access to them, across restarts and kills:
 * before a pull its intent is on disk, after it the record. An image that one pod pulled with a secret is not given to
 * another pod without one.
 * @see pull-policy.md 9
 */
export class PullTracker {
  readonly #records: PullRecords;
  readonly #policy: VerificationPolicy;
  readonly #clock: Clock;
  readonly #metrics: ImageMetrics | undefined;
  readonly #inFlight = new Map<string, number>();
  readonly #locks = new KeyedLock();

  constructor({
    records,
    policy,
    clock,
    metrics,
  }: {
    records: PullRecords;
    policy: VerificationPolicy;
    clock: Clock;
    metrics?: ImageMetrics;
  }) {
    this.#records = records;
    this.#policy = policy;
    this.#clock = clock;
    this.#metrics = metrics;
  }

  /** How many files of each kind there are. */
  async onDisk(): Promise<{ intents: number; records: number }> {
    const [intents, records] = await Promise.all([this.#records.intents(), this.#records.records()]);
    return { intents: intents.length, records: records.length };
  }

  /** How many pulls of each requested image are running. */
  get pullsInFlight(): ReadonlyMap<string, number> {
    return this.#inFlight;
  }

  /**
   * Opens the records, and turns intents of pulls that had ended when the process was killed into records without
   * credentials, so that everybody has to show theirs.
   * @param images what the runtime has
   */
  async start(images: readonly Pick<Image, 'id' | 'repoTags' | 'repoDigests'>[]): Promise<void> {
    await this.#records.open();
    const intents = new Set(await this.#records.intents());
    for (const { id, repoTags, repoDigests } of images) {
      for (const name of [...repoDigests, ...repoTags].filter((name) => intents.has(name))) {
        await this.#addCredentials(name, id, undefined);
        await this.#records.deleteIntent(name);
      }
    }
  }

  /**
   * Ends intents that `start` has found no image for, although the runtime may have it under a longer text (`nginx` is
   * `docker.io/library/nginx:latest` there). Without an image the pull has not ended, and nothing is left of it.
   * @param find the id of the image that a text of a pod means on the node
   */
  async endLeftPulls(find: (image: string) => Promise<string | undefined>): Promise<void> {
    for (const image of await this.#records.intents()) {
      const imageRef = await find(image);
      if (imageRef !== undefined) await this.#addCredentials(image, imageRef, undefined);
      await this.#records.deleteIntent(image);
    }
  }

  /** @throws what the file system throws; the pull must not be started then */
  async recordIntent(image: string): Promise<void> {
    await this.#locks.run(intentLock(image), async () => {
      await this.#records.writeIntent(image);
      this.#inFlight.set(image, (this.#inFlight.get(image) ?? 0) + 1);
    });
  }

  /** If the record cannot be written the intent stays: the image still counts as pulled by the kubelet. */
  async recordPulled(image: string, imageRef: string, credentials: ImagePullCredentials): Promise<void> {
    crashPoint('image-pulled');
    try {
      await this.#addCredentials(image, imageRef, credentials);
    } catch (error) {
      log('cannot write the record of the pull of %s: %s', image, errorMessage(error));
      return;
    }
    await this.#endPull(image);
  }

  async recordFailed(image: string): Promise<void> {
    await this.#endPull(image);
  }

  /**
   * Whether an image that the node has must be pulled all the same for this pod.
   * @param imageRef id of the image that the node has; empty when it has none
   * @param podCredentials asked at most once, and only when the answer depends on them; what it throws is in the answer
   */
  async mustAttemptPull(
    image: string,
    imageRef: string,
    podCredentials: () => TrackedPodCredentials | Promise<TrackedPodCredentials>,
  ): Promise<MustPullAnswer> {
    if (imageRef === '') return { mustPull: true };
    const { record, hasIntent } = await this.#recordAndIntent(image, imageRef);
    const answer = await mustAttemptPull({ image, record, hasIntent, policy: this.#policy, podCredentials });
    this.#metrics?.checked(answer.result);
    if (answer.learn) {
      await this.#addCredentials(image, imageRef, { kubernetesSecrets: [answer.learn] }).catch((error) =>
        log('cannot write the record of %s: %s', image, errorMessage(error)),
      );
    }
    return answer;
  }

  /**
   * Forgets records of images that are gone.
   * @param keep ids of images that are there
   * @param beforeMs records that were written since then stay
   */
  async prune(keep: Iterable<string>, beforeMs: number): Promise<void> {
    const kept = new Set(keep);
    for (const { imageRef } of await this.#records.records()) {
      if (kept.has(imageRef)) continue;
      await this.#locks.run(recordLock(imageRef), async () => {
        const record = await this.#records.record(imageRef);
        if (typeof record === 'object' && record.lastUpdatedMs < beforeMs) await this.#records.deleteRecord(imageRef);
      });
    }
  }

  async #recordAndIntent(
    image: string,
    imageRef: string,
  ): Promise<{ record: PulledRecord | 'unreadable' | undefined; hasIntent: boolean }> {
    try {
      const record = await this.#locks.run(recordLock(imageRef), () => this.#records.record(imageRef));
      const hasIntent = this.#inFlight.has(image) || (record === undefined && (await this.#records.hasIntent(image)));
      return { record, hasIntent };
    } catch (error) {
      log('cannot read the records of %s: %s', image, errorMessage(error));
      return { record: 'unreadable', hasIntent: false };
    }
  }

  /** @param credentials undefined when nobody knows them: then the record only says that the image was pulled */
  async #addCredentials(image: string, imageRef: string, credentials: ImagePullCredentials | undefined): Promise<void> {
    await this.#locks.run(recordLock(imageRef), async () => {
      const known = await this.#records.record(imageRef);
      const atMs = this.#clock.now();
      const isKnown = typeof known === 'object';
      const record = isKnown ? known : { imageRef, lastUpdatedMs: atMs, credentialMapping: {} };
      const merged = mergeCredentials(record, recordKey(image), credentials, atMs);
      if (merged) await this.#records.writeRecord(merged);
      else if (!isKnown) await this.#records.writeRecord(record);
    });
  }

  async #endPull(image: string): Promise<void> {
    await this.#locks.run(intentLock(image), async () => {
      const pulls = this.#inFlight.get(image) ?? 0;
      if (pulls > 1) {
        this.#inFlight.set(image, pulls - 1);
        return;
      }
      try {
        await this.#records.deleteIntent(image);
        this.#inFlight.delete(image);
      } catch (error) {
        // The pull counts as running for as long as there is its file.
        log('cannot remove the intent to pull %s: %s', image, errorMessage(error));
      }
    });
  }
}

const intentLock = (image: string) => `intent ${image}`;
const recordLock = (imageRef: string) => `record ${imageRef}`;
