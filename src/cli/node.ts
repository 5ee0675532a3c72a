/** Puts the parts of one node together: its store, the registry client, the engine and, where containers run, the agent. */
import { createHash, randomUUID } from 'node:crypto';
import { existsSync, realpathSync } from 'node:fs';
import { cp, mkdir, rm } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import {
  Agent,
  type AgentListeners,
  type AgentOptions,
  type CredentialPlugins,
  type EventText,
  ImageGcSchedule,
  NodeKeyring,
  podCredentials,
} from '../agent/index.ts';
import { makeSocketFolder, socketFolder } from '../api/index.ts';
import { EngineImageService, EngineRuntimeService, writeOwner } from '../engine/index.ts';
import { systemClock } from '../lib/clock.ts';
import { debugLog } from '../lib/debug.ts';
import { errorCode, errorMessage } from '../lib/errors.ts';
import { parseGoDuration } from '../lib/go-duration.ts';
import { homeFolder } from '../lib/home-folder.ts';
import { packageVersion } from '../lib/package-version.ts';
import { formatReference } from '../oci/index.ts';
import { defaultKubeletConfig, imageGcPolicyOf, type KubeletConfig, type WhenUnreachable } from '../policy/index.ts';
import { RegistryClient, type RegistryClientOptions } from '../registry/index.ts';
import { type ContainerRuntime, type RuntimeChoice, selectRuntime } from '../runtime/index.ts';
import { type NodeEvent, openStore, type Store, type StoreOptions } from '../store/index.ts';
import { type UnpackLimits, UnpackPool } from '../unpack/index.ts';
import type { Settings } from './configuration/configuration.ts';
import { imageCollectorOf } from './image-collection.ts';
import { PullEvents } from './pull-events.ts';
import { makeV8Lean } from './v8-flags.ts';

const log = debugLog('cli');

export interface NodeOptions {
  /** The folder that is the node. */
  readonly root: string;
  /** `unpacks`: false where containers cannot run; images are kept as they come. */
  readonly store?: Pick<StoreOptions, 'unpacks' | 'keepCompressedLayers' | 'readOnly' | 'stateFolder'>;
  readonly registry?: RegistryClientOptions;
  /** Of layers. */
  readonly limits?: Partial<UnpackLimits> | undefined;
}

export interface Node {
  readonly store: Store;
  readonly registry: RegistryClient;
  readonly unpack: UnpackPool;
  readonly images: EngineImageService;
  close(): Promise<void>;
}

/** A node that can pull, list and remove images. */
export async function openNode(options: NodeOptions): Promise<Node> {
  makeV8Lean();
  const store = await openStore(options.root, options.store);
  const registry = new RegistryClient(options.registry);
  const unpack = new UnpackPool({ limits: options.limits });
  const deps = { store, registry, unpack };
  return {
    ...deps,
    images: new EngineImageService(deps),
    async close() {
      await unpack.close();
      await registry.close();
      store.close();
    },
  };
}

/**
 * A node that containers can run on also where its root is on a read-only disk: what they write, and what else belongs
 * to them, is then kept where run-time state is.
 */
export async function openNodeToRun(options: NodeOptions, warn: (text: string) => void): Promise<Node> {
  try {
    return await openNode(options);
  } catch (error) {
    if (errorCode(error) !== 'ERR_LADING_DISK_READ_ONLY') throw error;
    const stateFolder = await runTimeFolder(options.root);
    warn(
      `${options.root} is on a read-only disk: what containers write goes to ${stateFolder}, and nothing can be pulled`,
    );
    return await openNode({ ...options, store: { ...options.store, readOnly: true, stateFolder } });
  }
}

/** The same one each time, so that what a killed process left is found; with what is known of pulls in it. */
async function runTimeFolder(root: string): Promise<string> {
  const own = socketFolder(process.env, process.geteuid!());
  await makeSocketFolder(own);
  const name = createHash('sha256').update(realpathSync(root)).digest('hex').slice(0, 16);
  const folder = join(own, 'nodes', name);
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const records = join(root, 'image_manager');
  if (existsSync(records)) await cp(records, join(folder, 'image_manager'), { recursive: true, force: false });
  return folder;
}

export interface PodNode {
  readonly agent: Agent;
  readonly runtime: EngineRuntimeService;
  /** Stops the pods with their grace period, then removes every sandbox and the logs. */
  close(): Promise<void>;
}

export interface PodNodeOptions extends AgentListeners, Pick<AgentOptions, 'config' | 'whenUnreachable'> {
  readonly plugins?: CredentialPlugins | undefined;
  /** About the node itself. */
  readonly onNodeEvent?: (event: EventText) => void;
}

/**
 * Lets pods run on a node; recovers first what a killed process left on it. Records of pulls are on the node, so that an
 * image that one pod has fetched with its credentials is not given to another one without.
 */
export async function startAgent(
  node: Node,
  runtime: ContainerRuntime,
  { plugins, onNodeEvent, config = defaultKubeletConfig(), ...options }: PodNodeOptions,
): Promise<PodNode> {
  const { store, registry, unpack } = node;
  const service = new EngineRuntimeService({ store, registry, unpack, runtime, version: packageVersion() });
  await service.recover();
  const logRoot = join(store.stateFolder, 'logs', randomUUID());
  await mkdir(logRoot, { recursive: true });
  await writeOwner(logRoot);
  const pullEvents = new PullEvents(store);
  const stopProgress = node.images.onPullProgress((reference, progress, pod) =>
    pullEvents.moved(formatReference(reference), progress, pod?.uid),
  );
  const agent = new Agent({
    images: node.images,
    runtime: service,
    logRoot,
    recordsDirectory: store.stateFolder,
    credentials: podCredentials({ node: nodeKeyring(store.root), plugins }),
    currentDigest: (image, call) => node.images.currentDigest(image, call),
    config,
    ...options,
    onEvent(event) {
      keepEvent(store, event);
      pullEvents.happened(event);
      options.onEvent?.(event);
    },
  });
  // What is on a read-only disk stays there.
  const imageGc = store.readOnly ? undefined : startImageGc(node, { runtime: service, config, agent, onNodeEvent });
  return {
    agent,
    runtime: service,
    async close() {
      await imageGc?.stop();
      await agent.stop();
      stopProgress();
      pullEvents.close();
      await service.close();
      await rm(logRoot, { recursive: true, force: true });
    },
  };
}

/** What the kubelet does beside its pods: it looks which images are used, and removes unused ones when the disk is full. */
function startImageGc(
  node: Node,
  {
    runtime,
    config,
    agent,
    onNodeEvent,
  }: Pick<PodNodeOptions, 'onNodeEvent'> & { runtime: EngineRuntimeService; config: KubeletConfig; agent: Agent },
): ImageGcSchedule {
  const { store } = node;
  const policy = imageGcPolicyOf(config);
  const onEvent = (event: EventText) => {
    const name = hostname();
    keepEvent(store, { ...event, object: { kind: 'Node', namespace: '', name, uid: name } });
    onNodeEvent?.(event);
  };
  const collector = imageCollectorOf(node, {
    policy,
    runtime,
    onEvent,
    metrics: agent.metrics,
    onCollected: (collected) => agent.imagesCollected(collected),
  });
  const schedule = new ImageGcSchedule({ collector, policy, clock: systemClock, onEvent });
  schedule.start();
  return schedule;
}

/** For `lading events`; nothing depends on it. */
export function keepEvent(store: Store, { type, reason, message, hint, object }: NodeEvent): void {
  try {
    store.events.record({ type, reason, message, hint, object });
  } catch (error) {
    log('cannot keep the event %s: %s', reason, errorMessage(error));
  }
}

/** What `Always` does on this node while a registry cannot be asked, for pods that say nothing about it. */
export function whenUnreachableSetting(settings: Settings): WhenUnreachable {
  const maxAge = settings['images.useCachedMaxAge'];
  return {
    useCached: settings['images.whenRegistryUnreachable'] === 'use-cached',
    maxAgeMs: maxAge === undefined ? undefined : parseGoDuration(maxAge),
  };
}

/** The credentials of the node itself. */
export function nodeKeyring(root: string): NodeKeyring {
  return new NodeKeyring(
    { root, home: homeFolder(), dockerConfig: process.env.DOCKER_CONFIG || undefined },
    systemClock,
  );
}

/** The runtime of this machine for a node. @throws LadingError when containers cannot run here, with the reason */
export function chooseRuntime(root: string, prefer?: RuntimeChoice) {
  return selectRuntime({ stateDir: join(root, 'runtime'), ...(prefer ? { prefer } : {}) });
}
