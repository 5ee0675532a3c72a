import { LadingError } from '../lib/errors.ts';

/** One thing that is wrong with a manifest file, and where. */
export interface ManifestProblem {
  readonly line: number;
  readonly column: number;
  /** `spec.containers[0].image`, as Kubernetes writes field paths; empty for the document as a whole. */
  readonly path: string;
  readonly text: string;
  /** `unsupported`: Kubernetes takes it, Lading cannot run it. */
  readonly kind: 'invalid' | 'unsupported';
}

/** Everything that is wrong with one manifest file; `message` has one line per problem, in the order of the file. */
export class PodManifestError extends LadingError {
  readonly problems: readonly ManifestProblem[];

  constructor(file: string, problems: readonly ManifestProblem[]) {
    const sorted = problems.toSorted((a, b) => a.line - b.line || a.column - b.column);
    const unsupportedOnly = sorted.every((problem) => problem.kind === 'unsupported');
    super(
      unsupportedOnly ? 'ERR_LADING_POD_MANIFEST_UNSUPPORTED' : 'ERR_LADING_POD_MANIFEST_INVALID',
      sorted.map((problem) => describe(file, problem)).join('\n'),
      { hint: unsupportedOnly ? unsupportedHint : invalidHint, data: { file, problems: sorted } },
    );
    this.problems = sorted;
  }
}

const invalidHint = 'Correct the file; Kubernetes would refuse it too.';
const unsupportedHint = 'Leave it out if the containers can do without it, or run the file in a cluster.';

function describe(file: string, { line, column, path, text }: ManifestProblem): string {
  return `${file}:${line}:${column}: ${path === '' ? '' : `${path}: `}${text}`;
}
