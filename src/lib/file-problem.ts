import { errorCode, errorMessage } from './errors.ts';

const sentences: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such file',
  ENOTDIR: 'there is no such file',
  EISDIR: 'it is a folder',
  EACCES: 'permission denied',
};

/** Why a file that the user named cannot be read, for behind `cannot read FILE: `. */
export function fileProblem(error: unknown): string {
  return sentences[errorCode(error) ?? ''] ?? errorMessage(error);
}
