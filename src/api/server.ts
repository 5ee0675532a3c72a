import { once } from 'node:events';
import { chmod, rm } from 'node:fs/promises';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { Pod, PodContainerStatus, PodWorker } from '../agent/index.ts';
import { errorMessage, LadingError } from '../lib/errors.ts';
import type { ApiError, ApiPod, ApiPodContainer, RetriedPod } from './messages.ts';
import { makeSocketFolder, removeDeadSockets, socketPath } from './socket.ts';

export interface NodeApi {
  readonly path: string;
  /** Ends it and removes its socket. */
  close(): Promise<void>;
}

/** What it answers from. */
interface Sources {
  readonly pods: () => readonly PodWorker[];
  /** As text for Prometheus. */
  readonly metrics: () => Promise<string>;
}

/**
 * Answers on a socket until it is closed:
 * - `GET /v1/pods`: the pods of this process
 * - `POST /v1/pods/NAMESPACE/NAME/retry`: the pod forgets its delays and tries again
 * - `GET /metrics`: what has happened to images, under the kubelet's names
 * @throws LadingError `ERR_LADING_SOCKET`; what the file system throws
 */
export async function serveNodeApi(
  options: Sources & { readonly folder: string; readonly root: string },
): Promise<NodeApi> {
  const { folder, root } = options;
  await makeSocketFolder(folder);
  await removeDeadSockets(folder);
  const path = socketPath(folder, root);
  // Of a killed process that had the same id.
  await rm(path, { force: true });
  const server = createServer((request, response) => {
    request.resume();
    void answer(request, response, options);
  });
  server.listen(path);
  await once(server, 'listening');
  await chmod(path, 0o600);
  // It serves as long as pods run, and keeps nothing alive itself.
  server.unref();
  return {
    path,
    async close() {
      server.closeAllConnections();
      await new Promise<void>((resolve) => server.close(() => resolve()));
      await rm(path, { force: true });
    },
  };
}

async function answer(request: IncomingMessage, response: ServerResponse, sources: Sources): Promise<void> {
  let status = 200;
  let body: unknown;
  try {
    body = await answerTo(request, sources);
  } catch (error) {
    const [code, hint] =
      error instanceof LadingError ? [error.code, error.hint] : ['ERR_LADING_API_REQUEST', undefined];
    status = statuses[code] ?? 400;
    body = { code, message: errorMessage(error), hint } satisfies ApiError;
  }
  const isText = typeof body === 'string';
  const type = isText ? 'text/plain; version=0.0.4' : 'application/json';
  response.writeHead(status, { 'content-type': type }).end(isText ? body : JSON.stringify(body));
}

const statuses: Readonly<Record<string, number>> = { ERR_LADING_POD_UNKNOWN: 404, ERR_LADING_POD_NOT_WAITING: 409 };

function answerTo({ method, url = '' }: IncomingMessage, { pods, metrics }: Sources): unknown {
  const workers = pods();
  if (url === '/metrics' && method === 'GET') return metrics();
  if (url === '/v1/pods' && method === 'GET') return { pods: workers.map(apiPod) };
  const retry = /^\/v1\/pods\/([^/]+)\/([^/]+)\/retry$/.exec(url);
  if (!retry || method !== 'POST') throw new LadingError('ERR_LADING_API_REQUEST', `there is no ${method} ${url}`);
  const [, namespace, name] = retry;
  const worker = workers.find(({ pod: { metadata } }) => metadata.namespace === namespace && metadata.name === name);
  if (!worker) throw new LadingError('ERR_LADING_POD_UNKNOWN', `there is no pod ${namespace}/${name}`);
  return retryPod(worker);
}

function retryPod(worker: PodWorker): RetriedPod {
  const { namespace, name } = worker.pod.metadata;
  const { containerStatuses, initContainerStatuses, ephemeralContainerStatuses } = worker.status();
  const statuses = [...initContainerStatuses, ...containerStatuses, ...ephemeralContainerStatuses];
  const containers = statuses.flatMap(({ name: container, state }) =>
    state.waiting && !beginning.has(state.waiting.reason) ? [{ name: container, ...state.waiting }] : [],
  );
  const backOffs = worker.backOffs();
  if (containers.length === 0 && backOffs.length === 0) {
    const states = containerStatuses.map((status) => `${status.name} ${activity(status)}`);
    throw new LadingError(
      'ERR_LADING_POD_NOT_WAITING',
      `the pod ${namespace}/${name} is not in back-off: ${states.join(', ')}`,
      { hint: 'There is nothing to retry; `lading ps` shows what the pods of this node do.' },
    );
  }
  worker.retryNow();
  return { namespace, name, containers, backOffs };
}

/** Waiting reasons of containers that nothing has happened to yet. */
const beginning = new Set(['ContainerCreating', 'PodInitializing']);

function activity({ state }: PodContainerStatus): string {
  if (state.terminated) return `has ended (${state.terminated.reason})`;
  return state.running ? 'is running' : 'is being started';
}

function apiPod(worker: PodWorker): ApiPod {
  const { pod } = worker;
  const { namespace, name, uid } = pod.metadata;
  const { phase, initContainerStatuses, containerStatuses, ephemeralContainerStatuses } = worker.status();
  const containers = [
    ...initContainerStatuses.map((status) => apiContainer(pod, 'initContainers', status)),
    ...containerStatuses.map((status) => apiContainer(pod, 'containers', status)),
    ...ephemeralContainerStatuses.map((status) => apiContainer(pod, 'ephemeralContainers', status)),
  ];
  return { namespace, name, uid, phase, pid: process.pid, containers, backOffs: worker.backOffs() };
}

function apiContainer(pod: Pod, kind: ApiPodContainer['kind'], status: PodContainerStatus): ApiPodContainer {
  const { name, state, imageID, gcImageID: imageId, restartCount, containerID } = status;
  const { image, imagePullPolicy } = pod.spec[kind].find((container) => container.name === name)!;
  const startedAtMs = state.running?.startedAtMs ?? state.terminated?.startedAtMs;
  return {
    name,
    kind,
    image,
    imageID,
    imageId,
    imagePullPolicy,
    status: statusText(status),
    message: state.waiting?.message ?? state.terminated?.message ?? '',
    ...(startedAtMs ? { startedAt: new Date(startedAtMs).toISOString() } : {}),
    restartCount,
    containerID,
  };
}

function statusText({ state }: PodContainerStatus): string {
  return state.waiting?.reason ?? state.terminated?.reason ?? 'Running';
}
