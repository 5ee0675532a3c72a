import { debugLog } from '../lib/debug.ts';
import type { Descriptor } from '../oci/descriptor.ts';
import { bareMediaType } from '../oci/media-types.ts';
import { isInternalHost } from './realm-check.ts';

const log = debugLog('registry');

const foreignLayerType =
  /^application\/vnd\.(?:oci\.image\.layer\.nondistributable\.v1\.tar(?:\+(?:gzip|zstd))?|docker\.image\.rootfs\.foreign\.diff\.tar(?:\.gzip)?)$/;

/** Whether it is a layer that registries may not keep; its descriptor says where else it is. @see registry.md 8.6 */
export function isForeignLayer({ mediaType }: Pick<Descriptor, 'mediaType'>): boolean {
  return foreignLayerType.test(bareMediaType(mediaType));
}

/**
 * Where to look for a foreign layer before its registry, in order; empty for all other content. An image must not make
 * Lading send requests into internal networks.
 * @see registry.md 8.6
 */
export function foreignUrls(descriptor: Descriptor, internalUrls: 'refused' | 'allowed'): readonly URL[] {
  if (!isForeignLayer(descriptor)) return [];
  return (descriptor.urls ?? []).flatMap((text) => {
    const url = URL.canParse(text) ? new URL(text) : undefined;
    const usable =
      url !== undefined &&
      ['http:', 'https:'].includes(url.protocol) &&
      url.username === '' &&
      url.password === '' &&
      (internalUrls === 'allowed' || !isInternalHost(url));
    if (!usable) log('%s: its URL at %s is not used', descriptor.digest, url?.host ?? 'an unreadable place');
    return usable ? [url] : [];
  });
}
