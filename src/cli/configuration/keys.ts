/**
 * The configuration of a node: each key can stand in the configuration file, in an environment variable and in a flag,
 * and a flag goes before a variable, that before the file, that before the default. What is given is checked, all of it
 * at once, before a command begins. Here nothing is decided: a setting's meaning is told where it is used.
 */

export interface ConfigurationKey {
  readonly summary: string;
  /** How the value of its flag is shown. */
  readonly placeholder: string;
  /** How the text of a flag or a variable is read. */
  readonly kind: 'text' | 'number' | 'boolean' | 'list' | 'yaml';
  /** Undefined: nothing, or what the summary says. */
  readonly default?: string;
}

/** All keys, in the order in which they are listed. */
export const configurationKeys = {
  root: text('the folder that is the node', '<dir>'),
  'store.keepCompressedLayers': {
    ...text('whether the blobs of layers are kept: always, untilUnpacked, never', '<when>'),
    default: 'always',
  },
  'unpack.limits': {
    summary: 'what a layer may cost: {maxLayerSize, maxEntrySize, maxEntries, …}',
    placeholder: '<yaml>',
    kind: 'yaml',
  },
  'registry.mirrors': {
    summary: 'mirrors that are asked before a registry: {HOST: [URL, …]}',
    placeholder: '<yaml>',
    kind: 'yaml',
  },
  'images.whenRegistryUnreachable': {
    ...text('what Always does while a registry cannot be asked: fail, use-cached', '<what>'),
    default: 'fail',
  },
  'images.useCachedMaxAge': text('how long after its last check an image may be used then', '<duration>'),
  kubeletConfig: text('a KubeletConfiguration, for the keys kubelet.* that are not given here', '<file>'),
  'kubelet.serializeImagePulls': { summary: 'one pull at a time', placeholder: '<true|false>', kind: 'boolean' },
  'kubelet.maxParallelImagePulls': number('pulls at the same time, when they are not serialized'),
  'kubelet.registryPullQPS': number('pulls per second in the long run; 0: any number'),
  'kubelet.registryBurst': number('pulls at once'),
  'kubelet.imagePullCredentialsVerificationPolicy': text('which images of the node need credentials', '<policy>'),
  'kubelet.preloadedImagesVerificationAllowlist': {
    summary: 'images that need none, with NeverVerifyAllowlistedImages',
    placeholder: '<name,…>',
    kind: 'list',
  },
  'kubelet.imageGCHighThresholdPercent': number('disk usage from which unused images are removed'),
  'kubelet.imageGCLowThresholdPercent': number('disk usage down to which they are removed'),
  'kubelet.imageMinimumGCAge': text('age before which images are not removed for their space', '<duration>'),
  'kubelet.imageMaximumGCAge': text('time without use after which images are removed; 0s: never', '<duration>'),
  'kubelet.nodeStatusMaxImages': number('images in the status of the node; -1: all'),
  'kubelet.crashLoopBackOff.maxContainerRestartPeriod': text('longest delay between restarts', '<duration>'),
} as const satisfies Readonly<Record<string, ConfigurationKey>>;

export type KeyName = keyof typeof configurationKeys;
export const keyNames = Object.keys(configurationKeys) as KeyName[];

export function keyOf(name: KeyName): ConfigurationKey {
  return configurationKeys[name];
}

/** `--store-keep-compressed-layers`. */
export function flagOf(name: KeyName): string {
  return `--${words(name).join('-')}`;
}

/** `LADING_STORE_KEEP_COMPRESSED_LAYERS`. */
export function variableOf(name: KeyName): string {
  return `LADING_${words(name).join('_').toUpperCase()}`;
}

/** `kubelet.imageGCHighThresholdPercent`: kubelet, image, gc, high, threshold, percent. */
function words(name: KeyName): string[] {
  return [...name.matchAll(/[A-Z]{2,}(?![a-z])|[A-Z]?[a-z]+/g)].map(([word]) => word.toLowerCase());
}

function text(summary: string, placeholder: string) {
  return { summary, placeholder, kind: 'text' } as const;
}

function number(summary: string) {
  return { summary, placeholder: '<number>', kind: 'number' } as const;
}
