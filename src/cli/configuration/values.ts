import * as v from 'valibot';
import { parseGoDuration } from '../../lib/go-duration.ts';
import type { KeyName } from './keys.ts';

const text = v.pipe(v.string('expected a text'), v.nonEmpty('expected a text'));
const number = v.pipe(v.number('expected a whole number'), v.integer('expected a whole number'));
const duration = v.pipe(
  v.string('expected a duration such as 24h or 1h30m'),
  v.check((written) => (parseGoDuration(written) ?? -1) >= 0, 'expected a duration such as 24h or 1h30m'),
);
const url = v.pipe(v.string(), v.check(isHttpUrl));
const oneOrMoreUrls = v.union(
  [
    v.pipe(v.array(url), v.minLength(1)),
    v.pipe(
      url,
      v.transform((one) => [one]),
    ),
  ],
  'expected for each host a URL with http:// or https://, or a list of them',
);

/** What each key may hold. */
const schemas = {
  root: text,
  'store.keepCompressedLayers': choice('always', 'untilUnpacked', 'never'),
  'registry.mirrors': v.record(v.string(), oneOrMoreUrls, 'expected {HOST: [URL, …]}'),
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
} as const satisfies Record<KeyName, v.GenericSchema>;

export type ValueOf<Name extends KeyName> = v.InferOutput<(typeof schemas)[Name]>;

/** The value of a key, or what is wrong with it. */
export function checkValue(name: KeyName, input: unknown): { readonly value: unknown } | { readonly problem: string } {
  const { success, output, issues } = v.safeParse(schemas[name], input, { abortEarly: true });
  return success ? { value: output } : { problem: `${issues[0].message}, found ${JSON.stringify(input)}` };
}

function choice<const Choices extends readonly string[]>(...choices: Choices) {
  return v.picklist(choices, `expected ${choices.slice(0, -1).join(', ')} or ${choices.at(-1)}`);
}

function isHttpUrl(written: string): boolean {
  return URL.canParse(written) && ['http:', 'https:'].includes(new URL(written).protocol);
}
