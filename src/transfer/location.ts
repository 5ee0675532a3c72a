import { LadingError } from '../lib/errors.ts';
import { formatReference, parseReference, pullReference, type Reference } from '../oci/index.ts';

/** Where an image is or shall be, as a command line says it. */
export type Location =
  | { readonly kind: 'registry'; readonly reference: Reference }
  | { readonly kind: 'oci' | 'oci-archive' | 'docker-archive'; readonly path: string; readonly label?: string };

/**
 * Reads `oci:DIR[:LABEL]`, `oci-archive:FILE[:LABEL]`, `docker-archive:FILE[:NAME]`, `docker://IMAGE`, or the name of an
 * image on its registry. As in skopeo, the path ends at the first colon.
 * @throws LadingError `ERR_LADING_LOCATION_INVALID`, `ERR_LADING_REFERENCE_…`
 */
export function parseLocation(text: string): Location {
  const [, kind, rest = ''] = /^(oci|oci-archive|docker-archive|docker):(.*)$/s.exec(text) ?? [];
  if (kind === undefined) return registryLocation(text);
  if (kind === 'docker') {
    if (rest.startsWith('//')) return registryLocation(rest.slice(2));
    // An image that is called `docker`.
    return registryLocation(text);
  }
  const [path = '', ...label] = rest.split(':');
  if (path === '') {
    throw new LadingError('ERR_LADING_LOCATION_INVALID', `${JSON.stringify(text)} has no path behind ${kind}:`, {
      hint: `Write ${kind}:${kind === 'oci' ? 'FOLDER' : 'FILE'}, or ${kind}:${kind === 'oci' ? 'FOLDER' : 'FILE'}:NAME.`,
    });
  }
  if (kind === 'oci' && path === '-') {
    throw new LadingError('ERR_LADING_LOCATION_INVALID', `${JSON.stringify(text)}: a pipe cannot be a folder`, {
      hint: 'Write oci-archive:- for an OCI layout on standard input or output, oci:./- for a folder of that name.',
    });
  }
  const place = { kind: kind as 'oci' | 'oci-archive' | 'docker-archive', path };
  if (label.length === 0) return place;
  const written = label.join(':');
  // Where a layout takes any text, a docker archive has names.
  const isName = kind === 'docker-archive';
  return { ...place, label: isName ? formatReference(pullReference(parseReference(written))) : written };
}

function registryLocation(text: string): Location {
  return { kind: 'registry', reference: pullReference(parseReference(text)) };
}
