import type { MustPullAnswer } from '../policy/index.ts';

/** Seconds; the kubelet's. */
const durationBuckets = [1, 5, 10, 20, 30, 60, 120, 180, 240, 300, 360, 480, 600, 900, 1200, 1800, 2700, 3600];
const mebibyte = 1024 ** 2;
const gibibyte = 1024 ** 3;
/** Lower bounds of sizes, which only what is larger belongs to. */
const sizes: readonly [above: number, label: string][] = [
  [0, '0-10MB'],
  [10 * mebibyte, '10MB-100MB'],
  [100 * mebibyte, '100MB-500MB'],
  [500 * mebibyte, '500MB-1GB'],
  [gibibyte, '1GB-5GB'],
  [5 * gibibyte, '5GB-10GB'],
  [10 * gibibyte, '10GB-20GB'],
  [20 * gibibyte, '20GB-30GB'],
  [30 * gibibyte, '30GB-40GB'],
  [40 * gibibyte, '40GB-60GB'],
  [60 * gibibyte, '60GB-100GB'],
  [100 * gibibyte, 'GT100GB'],
];

interface Durations {
  readonly buckets: number[];
  seconds: number;
  count: number;
}

/**
 * The kubelet's counts about images, as text for Prometheus.
 * @see pull-policy.md 14
 * @see https://prometheus.io/docs/instrumenting/exposition_formats/
 */
export class ImageMetrics {
  readonly #ensured = new Map<string, number>();
  readonly #checked = new Map<string, number>();
  readonly #collected = new Map<string, number>();
  readonly #pulls = new Map<string, Durations>();

  /** One evaluation of a pull policy. */
  ensured(
    policy: string,
    { present, pullRequired }: { readonly present: boolean | 'unknown'; readonly pullRequired: boolean | 'unknown' },
  ): void {
    const labels = { pull_policy: policy.toLowerCase(), present_locally: present, pull_required: pullRequired };
    count(this.#ensured, labels);
  }

  /** One answer to the question whether an image of the node must be pulled all the same. */
  checked(result: MustPullAnswer['result']): void {
    if (result !== undefined) count(this.#checked, { result });
  }

  /** A pull that has succeeded, with the time that it waited. */
  pulled(sizeBytes: number, durationMs: number): void {
    const label = sizes.findLast(([above]) => sizeBytes > above)?.[1] ?? 'N/A';
    const durations = this.#pulls.get(label) ?? { buckets: durationBuckets.map(() => 0), seconds: 0, count: 0 };
    this.#pulls.set(label, durations);
    durations.seconds += durationMs / 1000;
    durations.count += 1;
    for (const [index, limit] of durationBuckets.entries()) {
      if (durationMs / 1000 <= limit) durations.buckets[index]! += 1;
    }
  }

  collected(reason: 'age' | 'space'): void {
    count(this.#collected, { reason });
  }

  /** @param onDisk how many files of each kind there are; undefined where none are kept */
  text(onDisk?: { readonly intents: number; readonly records: number }): string {
    const pulls = 'kubelet_image_pull_duration_seconds';
    const lines = [
      ...counter('kubelet_image_manager_ensure_image_requests_total', this.#ensured),
      ...counter('kubelet_imagemanager_image_mustpull_checks_total', this.#checked),
      ...counter('kubelet_image_garbage_collected_total', this.#collected),
      `# TYPE ${pulls} histogram`,
      ...[...this.#pulls].flatMap(([label, { buckets, seconds, count: total }]) => {
        const size = `image_size_in_bytes="${label}"`;
        return [
          ...buckets.map((value, index) => `${pulls}_bucket{${size},le="${durationBuckets[index]}"} ${value}`),
          `${pulls}_bucket{${size},le="+Inf"} ${total}`,
          `${pulls}_sum{${size}} ${seconds}`,
          `${pulls}_count{${size}} ${total}`,
        ];
      }),
      ...(onDisk
        ? [
            ...gauge('kubelet_imagemanager_ondisk_pullintents', onDisk.intents),
            ...gauge('kubelet_imagemanager_ondisk_pulledrecords', onDisk.records),
          ]
        : []),
    ];
    return `${lines.join('\n')}\n`;
  }
}

function count(counts: Map<string, number>, labels: Readonly<Record<string, unknown>>): void {
  const text = Object.entries(labels).map(([name, value]) => `${name}=${JSON.stringify(String(value))}`);
  const key = text.join(',');
  counts.set(key, (counts.get(key) ?? 0) + 1);
}

function counter(name: string, counts: ReadonlyMap<string, number>): string[] {
  return [`# TYPE ${name} counter`, ...[...counts].map(([labels, value]) => `${name}{${labels}} ${value}`)];
}

function gauge(name: string, value: number): string[] {
  return [`# TYPE ${name} gauge`, `${name} ${value}`];
}
