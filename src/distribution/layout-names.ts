import type { Descriptor } from '../oci/descriptor.ts';
import { parseReference, trimReference } from '../oci/reference.ts';
import { isTag } from './routes.ts';

/** What an entry of an OCI layout is called. */
export interface LayoutName {
  /** Undefined unless the layout says it. */
  readonly registry?: string;
  readonly repository: string;
  /** Undefined for what is named by its digest only. */
  readonly tag?: string;
}

/** What containerd and docker write in full, when their `ref.name` is the tag alone. */
const fullNameAnnotation = 'io.containerd.image.name';
export const nameAnnotation = 'org.opencontainers.image.ref.name';

/**
 * Reads the name of an entry: a tag alone, or a reference with or without its registry.
 * @param fallback the repository of a tag alone and of what has no name
 * @see https://github.com/opencontainers/image-spec/blob/main/annotations.md
 */
export function layoutName({ annotations = {} }: Descriptor, fallback: string): LayoutName {
  const text = annotations[fullNameAnnotation] ?? annotations[nameAnnotation] ?? '';
  if (isTag(text)) return { repository: fallback, tag: text };
  try {
    const { registry, repository, tag } = parseReference(text);
    const named = text.startsWith(`${registry}/`) ? { registry, repository } : { repository: trimReference(text) };
    return { ...named, ...(tag !== undefined && { tag }) };
  } catch {
    return { repository: fallback };
  }
}
