import { errorCode, errorMessage } from '../../src/lib/errors.ts';

/** The result, or the text of the `InvalidImageName` that was thrown instead. */
export function orError<T extends object>(run: () => T): T | { error: string } {
  try {
    return run();
  } catch (error) {
    if (errorCode(error) !== 'InvalidImageName') throw error;
    return { error: errorMessage(error) };
  }
}
