import type { AccessRecord } from './access-record.ts';

/** Seconds; from a HEAD on the same machine to a large layer over a slow line. */
const durationBuckets = [0.001, 0.005, 0.025, 0.1, 0.5, 2.5, 10, 60, 300];

/** What is known at the moment it is asked for. */
export interface Gauges {
  readonly requestsInFlight: number;
  /** Undefined where nothing can be uploaded. */
  readonly openUploads: number | undefined;
}

/**
 * Counts for monitoring, as text for Prometheus. No label has a value that clients choose.
 * @see https://prometheus.io/docs/instrumenting/exposition_formats/
 */
export class Metrics {
  readonly #requests = new Map<string, number>();
  readonly #durations = new Map<string, { buckets: number[]; sum: number; count: number }>();
  readonly #bytes = { sent: 0, received: 0 };
  readonly #garbage = { runs: 0, failures: 0, freedBytes: 0 };

  request(record: AccessRecord): void {
    const { method, status, bytes, receivedBytes, durationMs } = record;
    const endpoint = record.endpoint ?? 'none';
    const labels = `method="${knownMethods.has(method) ? method : 'other'}",endpoint="${endpoint}",code="${status}"`;
    this.#requests.set(labels, (this.#requests.get(labels) ?? 0) + 1);
    this.#bytes.sent += bytes;
    this.#bytes.received += receivedBytes;
    const times = this.#durations.get(endpoint) ?? { buckets: durationBuckets.map(() => 0), sum: 0, count: 0 };
    this.#durations.set(endpoint, times);
    const seconds = durationMs / 1000;
    times.sum += seconds;
    times.count += 1;
    for (const [index, limit] of durationBuckets.entries()) if (seconds <= limit) times.buckets[index]! += 1;
  }

  garbage(outcome: { freedBytes: number } | 'failed'): void {
    this.#garbage.runs += 1;
    if (outcome === 'failed') this.#garbage.failures += 1;
    else this.#garbage.freedBytes += outcome.freedBytes;
  }

  text({ requestsInFlight, openUploads }: Gauges): string {
    const { sent, received } = this.#bytes;
    const { runs, failures, freedBytes } = this.#garbage;
    const duration = 'lading_registry_request_duration_seconds';
    const memory = process.memoryUsage.rss();
    const { user, system } = process.cpuUsage();
    return [
      ...family('lading_registry_requests_total', 'counter', 'Requests that have ended.'),
      ...[...this.#requests].map(([labels, count]) => `lading_registry_requests_total{${labels}} ${count}`),
      ...family(duration, 'histogram', 'Time from a request to the end of its answer.'),
      ...[...this.#durations].flatMap(([endpoint, { buckets, sum, count }]) => [
        ...buckets.map((n, index) => `${duration}_bucket{endpoint="${endpoint}",le="${durationBuckets[index]}"} ${n}`),
        `${duration}_bucket{endpoint="${endpoint}",le="+Inf"} ${count}`,
        `${duration}_sum{endpoint="${endpoint}"} ${sum}`,
        `${duration}_count{endpoint="${endpoint}"} ${count}`,
      ]),
      ...single('lading_registry_sent_bytes_total', 'counter', 'Bytes of bodies that were sent.', sent),
      ...single('lading_registry_received_bytes_total', 'counter', 'Bytes of bodies that were received.', received),
      ...single('lading_registry_requests_in_flight', 'gauge', 'Requests that have not ended.', requestsInFlight),
      ...(openUploads === undefined
        ? []
        : single('lading_registry_open_uploads', 'gauge', 'Uploads that have not ended.', openUploads)),
      ...single('lading_registry_garbage_runs_total', 'counter', 'Scheduled garbage collections.', runs),
      ...single('lading_registry_garbage_failures_total', 'counter', 'Of these, those that failed.', failures),
      ...single('lading_registry_garbage_freed_bytes_total', 'counter', 'Bytes that they gave back.', freedBytes),
      ...single('process_resident_memory_bytes', 'gauge', 'Resident memory.', memory),
      ...single('process_cpu_seconds_total', 'counter', 'CPU time.', (user + system) / 1e6),
      '',
    ].join('\n');
  }
}

const knownMethods = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE']);

type Kind = 'counter' | 'gauge' | 'histogram';

function family(name: string, kind: Kind, help: string): string[] {
  return [`# HELP ${name} ${help}`, `# TYPE ${name} ${kind}`];
}

function single(name: string, kind: Kind, help: string, value: number): string[] {
  return [...family(name, kind, help), `${name} ${value}`];
}
