import { LadingError } from '../lib/errors.ts';
import type { Digest } from './digest.ts';
import { type JsonValue, parseJsonDocument } from './json-document.ts';
import type { Platform } from './platform.ts';

/** What an image says about how to run it. @see https://github.com/opencontainers/image-spec/blob/main/config.md */
export interface ImageConfig {
  /** Empty when the image does not say. */
  readonly architecture: string;
  readonly os: string;
  readonly 'os.version'?: string;
  readonly 'os.features'?: readonly string[];
  readonly variant?: string;
  /** RFC 3339. */
  readonly created?: string;
  readonly author?: string;
  readonly config: ContainerDefaults;
  readonly rootfs: {
    readonly type: 'layers';
    /** Lowest layer first; as many as the manifest has layers. */
    readonly diffIds: readonly Digest[];
  };
  readonly history?: readonly HistoryEntry[];
}

/** Defaults for containers of the image, under their names in the specification. */
export interface ContainerDefaults {
  readonly User?: string;
  readonly Env?: readonly string[];
  readonly Entrypoint?: readonly string[];
  readonly Cmd?: readonly string[];
  readonly WorkingDir?: string;
  readonly StopSignal?: string;
  readonly ExposedPorts?: Readonly<Record<string, unknown>>;
  readonly Labels?: Readonly<Record<string, string>>;
  readonly Volumes?: Readonly<Record<string, unknown>>;
}

export interface HistoryEntry {
  readonly created?: string;
  readonly createdBy?: string;
  readonly author?: string;
  readonly comment?: string;
  /** This step added no layer. */
  readonly emptyLayer?: boolean;
}

/** What the image runs on, as far as its configuration says: parts of it may be empty. */
export function configPlatform({ os, architecture, variant }: ImageConfig): Platform {
  return { os, architecture, ...(variant ? { variant } : {}) };
}

/** @throws LadingError `ERR_LADING_IMAGE_CONFIG_INVALID` */
export function parseImageConfig(bytes: Uint8Array): ImageConfig {
  const document = parseJsonDocument(bytes, fail);
  const rootfs = document.member('rootfs');
  const type = rootfs.member('type');
  if (type.present && type.value !== 'layers') type.wrong('"layers"');
  if (!rootfs.has('diff_ids')) rootfs.member('diff_ids').wrong('a list of digests');
  return {
    architecture: document.has('architecture') ? text(document.member('architecture')) : '',
    os: document.has('os') ? text(document.member('os')) : '',
    ...document.member('os.version').optional('os.version', text),
    ...document.member('os.features').optional('os.features', texts),
    ...document.member('variant').optional('variant', text),
    ...document.member('created').optional('created', text),
    ...document.member('author').optional('author', text),
    config: document.has('config') ? parseDefaults(document.member('config')) : {},
    rootfs: { type: 'layers', diffIds: rootfs.member('diff_ids').list((diffId) => diffId.digest()) },
    ...document.member('history').optional('history', (history) => history.list(parseHistoryEntry)),
  };
}

function parseDefaults(config: JsonValue): ContainerDefaults {
  return {
    ...config.member('User').optional('User', text),
    ...config.member('Env').optional('Env', texts),
    ...config.member('Entrypoint').optional('Entrypoint', texts),
    ...config.member('Cmd').optional('Cmd', texts),
    ...config.member('WorkingDir').optional('WorkingDir', text),
    ...config.member('StopSignal').optional('StopSignal', text),
    ...config.member('ExposedPorts').optional('ExposedPorts', (ports) => ports.map((port) => port.value)),
    ...config.member('Labels').optional('Labels', (labels) => labels.map(text)),
    ...config.member('Volumes').optional('Volumes', (volumes) => volumes.map((volume) => volume.value)),
  };
}

function parseHistoryEntry(entry: JsonValue): HistoryEntry {
  return {
    ...entry.member('created').optional('created', text),
    ...entry.member('created_by').optional('createdBy', text),
    ...entry.member('author').optional('author', text),
    ...entry.member('comment').optional('comment', text),
    ...entry.member('empty_layer').optional('emptyLayer', (flag) => flag.flag()),
  };
}

function text(value: JsonValue): string {
  return value.text();
}

function texts(value: JsonValue): readonly string[] {
  return value.list(text);
}

function fail(problem: string): never {
  throw new LadingError('ERR_LADING_IMAGE_CONFIG_INVALID', `the image config cannot be used: ${problem}`, {
    hint: 'It may be no container image but another kind of artifact; otherwise rebuild it.',
  });
}
