import { parseReference, repositoryName } from '../oci/index.ts';
import type { NameRecord } from '../store/index.ts';

/**
 * Names as people think of them. A pull by tag also leaves a name by digest, under which the image is found when the
 * tag has moved on; as long as the tag means the same, that one is not worth a line.
 */
export function namesWorthALine(names: readonly NameRecord[]): NameRecord[] {
  const tagged = new Set(names.filter(({ name }) => !name.includes('@')).map(byDigest));
  return names.filter((record) => !record.name.includes('@') || !tagged.has(byDigest(record)));
}

/** The names that go with `name` when it is removed: itself, and names by digest that nobody but it stands for. */
export function namesThatGoWith(name: NameRecord, all: readonly NameRecord[]): NameRecord[] {
  const twins = all.filter((record) => byDigest(record) === byDigest(name));
  const otherTags = twins.filter((record) => !record.name.includes('@') && record.name !== name.name);
  return otherTags.length > 0 ? [name] : twins;
}

/** `REPOSITORY@DIGEST` of what a name means. */
function byDigest({ name, target }: NameRecord): string {
  return `${repositoryName(parseReference(name))}@${target.digest}`;
}
