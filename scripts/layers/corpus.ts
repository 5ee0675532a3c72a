import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { UnpackLimits } from '../../src/unpack/index.ts';

/** The layer corpus: `cases.json` and the blobs that it names, relative to the same folder. */

export interface CorpusLayer {
  readonly blob: string;
  readonly mediaType: string;
  /** As the manifest states them, which some cases get wrong on purpose. */
  readonly digest: string;
  readonly size: number;
  /** As the image config states it. */
  readonly diffID: string;
}

export interface ExpectedEntry {
  readonly pathB64: string;
  readonly type: string;
  /** null means: do not compare; the same for the other fields. */
  readonly mode: string | null;
  readonly uid: number | null;
  readonly gid: number | null;
  readonly mtime: { readonly sec: number; readonly nsec: number } | null;
  readonly size?: number | null;
  readonly sha256?: string | null;
  readonly linknameB64?: string | null;
  readonly rdev?: readonly [number, number] | null;
  readonly xattrs: Readonly<Record<string, string>> | null;
  readonly hardlinkGroup?: string;
  readonly optional?: boolean;
  readonly xattrsMaybe?: readonly string[];
  readonly xattrsNot?: Readonly<Record<string, string>>;
}

export interface CorpusCase {
  readonly name: string;
  readonly about: string;
  readonly rule?: string;
  readonly needs?: readonly string[];
  readonly limits?: Partial<UnpackLimits>;
  /** Bottom first. */
  readonly layers: readonly CorpusLayer[];
  readonly configDiffIDs: readonly string[];
  readonly chainIDs: readonly string[];
  readonly expect: {
    readonly error?: string;
    readonly tree?: readonly ExpectedEntry[];
    readonly root?: ExpectedEntry | null;
  };
}

export interface Corpus {
  readonly dir: string;
  readonly cases: readonly CorpusCase[];
}

/** @throws Error if there is no corpus of a known form */
export function readCorpus(dir: string): Corpus {
  const document = JSON.parse(readFileSync(join(dir, 'cases.json'), 'utf8')) as { schema: number; cases: CorpusCase[] };
  if (document.schema !== 1) throw new Error(`${dir}/cases.json has schema ${document.schema}; this reads schema 1`);
  return { dir, cases: document.cases };
}
