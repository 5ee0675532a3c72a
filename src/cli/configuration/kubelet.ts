import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import {
  type KubeletConfigurationFields,
  kubeletConfigOf,
  readKubeletConfiguration,
} from '../../agent/kubelet-config-file.ts';
import { LadingError } from '../../lib/errors.ts';
import { fileProblem } from '../../lib/file-problem.ts';
import { goDuration, type KubeletConfig } from '../../policy/index.ts';
import type { Configuration } from './configuration.ts';
import { type KeyName, keyNames } from './keys.ts';

export interface KubeletSettings {
  readonly config: KubeletConfig;
  /** The fields that were given, of the configuration and of the kubelet's own file, as they were written. */
  readonly given: ReadonlyMap<KeyName, { readonly value: unknown; readonly origin: string }>;
}

/**
 * What holds for the kubelet's side: the keys `kubelet.*`, then the file that `kubeletConfig` names, then the defaults of
 * the kubelet.
 * @throws LadingError `ERR_LADING_KUBELET_CONFIG`
 */
export async function kubeletSettings({ settings, origins }: Configuration): Promise<KubeletSettings> {
  const file = settings.kubeletConfig;
  const fields = file === undefined ? {} : await readFields(resolve(file));
  const given = new Map<KeyName, { value: unknown; origin: string }>();
  for (const name of keyNames.filter((known) => known.startsWith('kubelet.'))) {
    const own = settings[name];
    const value = own ?? valueAt(fields, name.split('.').slice(1));
    if (value !== undefined) given.set(name, { value, origin: own === undefined ? file! : origins[name] });
  }
  const source = file === undefined ? 'the configuration' : `the configuration with ${file}`;
  return { config: kubeletConfigOf(nested(given), { source }), given };
}

/** What holds for a key `kubelet.*`, and where that comes from. */
export function kubeletValue(
  { config, given }: KubeletSettings,
  name: KeyName,
): { readonly value: unknown; readonly origin: string } {
  const inForce: Readonly<Record<string, unknown>> = {
    ...config,
    imageMinimumGCAge: goDuration(config.imageMinimumGCAgeMs),
    imageMaximumGCAge: goDuration(config.imageMaximumGCAgeMs),
    'crashLoopBackOff.maxContainerRestartPeriod': goDuration(config.crashLoopBackOffMaxMs),
  };
  return { value: inForce[name.slice('kubelet.'.length)], origin: given.get(name)?.origin ?? 'default' };
}

async function readFields(file: string): Promise<KubeletConfigurationFields> {
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (error) {
    const message = `cannot read the kubelet's configuration ${file}: ${fileProblem(error)}`;
    throw new LadingError('ERR_LADING_KUBELET_CONFIG', message, { cause: error });
  }
  return readKubeletConfiguration(text, { file });
}

function valueAt(fields: KubeletConfigurationFields, path: readonly string[]): unknown {
  let value: unknown = fields;
  for (const part of path) value = (value as KubeletConfigurationFields | null | undefined)?.[part];
  return value ?? undefined;
}

/** `kubelet.a.b` is the field `b` of the field `a`; there are no deeper ones. */
function nested(given: KubeletSettings['given']): KubeletConfigurationFields {
  const fields: Record<string, unknown> = {};
  for (const [name, { value }] of given) {
    const [, field = '', inner] = name.split('.');
    fields[field] = inner === undefined ? value : { ...(fields[field] as object | undefined), [inner]: value };
  }
  return fields;
}
