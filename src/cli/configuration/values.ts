import * as v from 'valibot';
import { errorMessage } from '../../lib/errors.ts';
import { parseGoDuration } from '../../lib/go-duration.ts';
import type { MirrorTable } from '../../registry/index.ts';
import type { KeyName } from './keys.ts';

const text = v.pipe(v.string('expected a text'), v.nonEmpty('expected a text'));
const number = v.pipe(v.number('expected a whole number'), v.integer('expected a whole number'));
const duration = v.pipe(
  v.string('expected a duration such as 24h or 1h30m'),
  v.check((written) => (parseGoDuration(written) ?? -1) >= 0, 'expected a duration such as 24h or 1h30m'),
);
const mirrors = v.pipeAsync(
  v.unknown(),
  v.rawTransformAsync(async ({ dataset: { value }, addIssue, NEVER }): Promise<MirrorTable> => {
    const { parseMirrors } = await import('../../registry/index.ts');
    try {
      parseMirrors(value);
      return value as MirrorTable;
    } catch (error) {
      addIssue({ message: errorMessage(error) });
      return NEVER;
    }
  }),
);

const limit = v.exactOptional(v.pipe(number, v.minValue(1, 'expected a whole number above 0')));

/** What each key may hold. */
const schemas = {
  root: text,
  'store.keepCompressedLayers': choice('always', 'untilUnpacked', 'never'),
  'unpack.limits': v.strictObject(
    {
      maxLayerSize: limit,
      maxEntrySize: limit,
      maxEntries: limit,
      maxExtensionHeaderSize: limit,
      maxZstdWindowSize: limit,
    },
    'expected {maxLayerSize, maxEntrySize, maxEntries, maxExtensionHeaderSize, maxZstdWindowSize}, each a whole number above 0',
  ),
  'registry.mirrors': mirrors,
  'images.whenRegistryUnreachable': choice('fail', 'use-cached'),
  'images.useCachedMaxAge': duration,
  kubeletConfig: text,
  'kubelet.serializeImagePulls': v.boolean('expected true or false'),
  'kubelet.maxParallelImagePulls': number,
  'kubelet.registryPullQPS': number,
  'kubelet.registryBurst': number,
  'kubelet.imagePullCredentialsVerificationPolicy': text,
  'kubelet.preloadedImagesVerificationAllowlist': v.array(text, 'expected a list of names'),
  'kubelet.imageGCHighThresholdPercent': number,
  'kubelet.imageGCLowThresholdPercent': number,
  'kubelet.imageMinimumGCAge': duration,
  'kubelet.imageMaximumGCAge': duration,
  'kubelet.nodeStatusMaxImages': number,
  'kubelet.crashLoopBackOff.maxContainerRestartPeriod': duration,
} as const satisfies Record<KeyName, v.GenericSchema | v.GenericSchemaAsync>;

export type ValueOf<Name extends KeyName> = v.InferOutput<(typeof schemas)[Name]>;

/** The value of a key, or what is wrong with it. */
export async function checkValue(
  name: KeyName,
  input: unknown,
): Promise<{ readonly value: unknown } | { readonly problem: string }> {
  const { success, output, issues } = await v.safeParseAsync(schemas[name], input, { abortEarly: true });
  if (success) return { value: output };
  // Mirrors may have secrets in their headers.
  const found = name === 'registry.mirrors' ? '' : `, found ${JSON.stringify(input)}`;
  return { problem: issues[0].message + found };
}

function choice<const Choices extends readonly string[]>(...choices: Choices) {
  return v.picklist(choices, `expected ${choices.slice(0, -1).join(', ')} or ${choices.at(-1)}`);
}
