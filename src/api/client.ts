import { rm } from 'node:fs/promises';
import { request } from 'node:http';
import { text } from 'node:stream/consumers';
import { errorCode, LadingError } from '../lib/errors.ts';
import type { ApiError, ApiPod, RetriedPod } from './messages.ts';
import { socketsOf } from './socket.ts';
import { sumMetrics } from './sum-metrics.ts';

export type { ApiPod, ApiPodContainer, RetriedPod } from './messages.ts';

/** It is on this machine and only looks at what it has in memory. */
const timeoutMs = 2000;

/** The pods that processes run on one node now, and what can be asked of them. */
export class RunningPods {
  readonly #root: string;
  readonly #folder: string;

  /** @param folder where the sockets are */
  constructor(options: { root: string; folder: string }) {
    this.#root = options.root;
    this.#folder = options.folder;
  }

  /** Of all processes, by name. */
  async list(): Promise<ApiPod[]> {
    return (await this.#processes()).flatMap(({ pods }) => pods).sort(byName);
  }

  /**
   * Lets a pod forget its delays and try again at once.
   * @param name `POD` or `NAMESPACE/POD`
   * @throws LadingError `ERR_LADING_NOTHING_RUNS`, `ERR_LADING_POD_UNKNOWN`, `ERR_LADING_POD_AMBIGUOUS`,
   *   `ERR_LADING_POD_NOT_WAITING`
   */
  async retry(name: string): Promise<RetriedPod> {
    const processes = await this.#processes();
    const all = processes.flatMap(({ socket, pods }) => pods.map((pod) => ({ socket, pod })));
    if (processes.length === 0) throw this.#nothingRuns('can be told to try again');
    const found = all.filter(({ pod }) => [pod.name, `${pod.namespace}/${pod.name}`].includes(name));
    if (found.length === 0) {
      const names = all.map(({ pod }) => pod.name).join(', ');
      throw new LadingError('ERR_LADING_POD_UNKNOWN', `no pod ${name} runs on this node (${this.#root})`, {
        hint: `These run: ${names}.`,
      });
    }
    const full = new Set(found.map(({ pod }) => `${pod.namespace}/${pod.name}`));
    if (full.size > 1) {
      throw new LadingError('ERR_LADING_POD_AMBIGUOUS', `several pods are called ${name}: ${[...full].join(', ')}`, {
        hint: 'Name the namespace too: NAMESPACE/POD.',
      });
    }
    // Several processes may run a pod of the same name; those that wait are meant.
    const waiting = found.filter(({ pod }) => pod.backOffs.length > 0);
    return retryAt((waiting[0] ?? found[0]!).socket, [...full][0]!);
  }

  /**
   * What has happened to images in all processes together, as text for Prometheus.
   * @throws LadingError `ERR_LADING_NOTHING_RUNS`
   */
  async metrics(): Promise<string> {
    const sockets = await socketsOf(this.#folder, this.#root);
    const answers = await Promise.all(sockets.map((socket) => unlessGone(socket, call(socket, 'GET', '/metrics'))));
    const texts = answers.filter((text) => typeof text === 'string');
    if (texts.length === 0) throw this.#nothingRuns('count what happens to images');
    return sumMetrics(texts);
  }

  #nothingRuns(what: string): LadingError {
    return new LadingError('ERR_LADING_NOTHING_RUNS', `nothing runs on this node (${this.#root})`, {
      hint: `Only pods of a \`lading run\` that is still running ${what}; --root selects another node.`,
    });
  }

  async #processes(): Promise<{ socket: string; pods: readonly ApiPod[] }[]> {
    const sockets = await socketsOf(this.#folder, this.#root);
    const answers = await Promise.all(sockets.map(async (socket) => ({ socket, pods: await podsAt(socket) })));
    return answers.flatMap(({ socket, pods }) => (pods ? [{ socket, pods }] : []));
  }
}

async function retryAt(socket: string, pod: string): Promise<RetriedPod> {
  return (await call(socket, 'POST', `/v1/pods/${pod}/retry`)) as RetriedPod;
}

async function podsAt(socket: string): Promise<readonly ApiPod[] | undefined> {
  const answer = await unlessGone(socket, call(socket, 'GET', '/v1/pods'));
  return (answer as { pods: readonly ApiPod[] } | undefined)?.pods;
}

/** Undefined when the process is gone. What a killed one left is removed. */
async function unlessGone(socket: string, answer: Promise<unknown>): Promise<unknown> {
  try {
    return await answer;
  } catch (error) {
    const code = errorCode(error);
    if (code === 'ECONNREFUSED') await rm(socket, { force: true });
    if (code === 'ECONNREFUSED' || code === 'ENOENT' || code === 'ECONNRESET') return undefined;
    throw error;
  }
}

async function call(socketPath: string, method: string, path: string): Promise<unknown> {
  const answer = await new Promise<{ status: number; type: string | undefined; body: string }>((resolve, reject) => {
    const signal = AbortSignal.timeout(timeoutMs);
    const failed = (error: unknown) => reject(signal.aborted ? noAnswer(socketPath, error) : error);
    const asked = request({ socketPath, method, path, signal, agent: false }, (response) => {
      text(response).then(
        (body) => resolve({ status: response.statusCode!, type: response.headers['content-type'], body }),
        failed,
      );
    });
    asked.on('error', failed).end();
  });
  const document: unknown = answer.type === 'application/json' ? JSON.parse(answer.body) : answer.body;
  if (answer.status === 200) return document;
  const { code, message, hint } = document as ApiError;
  throw new LadingError(code as LadingError['code'], message, { hint });
}

function noAnswer(socketPath: string, cause: unknown): LadingError {
  return new LadingError('ERR_LADING_SOCKET', `the process behind ${socketPath} does not answer`, {
    hint: 'It may be stopped: the number at the end of the name is its process id.',
    cause,
  });
}

function byName(a: ApiPod, b: ApiPod): number {
  return a.namespace.localeCompare(b.namespace) || a.name.localeCompare(b.name) || a.pid - b.pid;
}
