/**
 * The agent: the kubelet's side of a node. It reads pod manifests, and for each start of each container decides by the
 * pull policy which image runs, starts it, watches it and restarts it, with the kubelet's order, delays, events and
 * texts. It reaches images and containers only through the two services of the CRI, never through a store or registry.
 */
export type { Clock } from '../lib/clock.ts';
export { Agent, type AgentListeners, type AgentOptions } from './agent.ts';
export type { CurrentDigest } from './cached-images.ts';
export { gcImageId, statusImage } from './container-image.ts';
export type { WaitingState } from './container-record.ts';
export type { ImageDecision } from './container-starter.ts';
export {
  CredentialPlugins,
  type CredentialPluginsOptions,
  type PluginPod,
  type RunPlugin,
  runPluginFrom,
  type ServiceAccounts,
} from './credential-plugins.ts';
export {
  type CredentialProvider,
  readCredentialProviders,
  type TokenAttributes,
} from './credential-provider-config.ts';
export type { LogStream } from './cri-log.ts';
export { EventRecorder, type EventText, type KubeEvent } from './events.ts';
export type { ImageEvaluation, ImageRequest } from './image-evaluation.ts';
export { type Collected, type DiskStats, ImageCollector, type ImageCollectorOptions } from './image-gc.ts';
export type { CollectedImage, CollectionResult } from './image-gc-run.ts';
export { ImageGcSchedule } from './image-gc-schedule.ts';
export {
  type ImageBackOff,
  ImageManager,
  type ImageManagerOptions,
  type PullTracking,
} from './image-manager.ts';
export { ImageMetrics } from './image-metrics.ts';
export {
  type ContainerImageVolumes,
  containerImageVolumes,
  type ImageVolumePull,
  pullImageVolumes,
} from './image-volumes.ts';
export { type KubeletConfigurationFields, kubeletConfigOf, readKubeletConfiguration } from './kubelet-config-file.ts';
export { type ManifestProblem, PodManifestError } from './manifest-error.ts';
export { NodeKeyring, type NodeKeyringFolders } from './node-keyring.ts';
export { type NodeStatusImage, nodeStatusImages } from './node-status.ts';
export type { ContainerSecurity, ImageMount, ImageVolume, Pod, PodContainer, PodSpec } from './pod.ts';
export {
  credentialsOfPullSecrets,
  type PodCredential,
  type PodCredentialSource,
  podCredentials,
  trackedCredentials,
} from './pod-credentials.ts';
export type { ContainerOutput } from './pod-logs.ts';
export { type ManifestOptions, parsePodManifests } from './pod-manifest.ts';
export type { PodContainerStatus, PodStatus, TerminatedState } from './pod-status.ts';
export type { PodWorker, StopOptions } from './pod-worker.ts';
export { PullRecords } from './pull-records.ts';
export { PullTracker } from './pull-tracker.ts';
export type { PullerOptions } from './puller.ts';
export { withCredentials } from './with-credentials.ts';
