import { CriError } from '../cri/error.ts';
import { errorMessage } from '../lib/errors.ts';

/** As the kubelet sees a failed call: with the gRPC code in front unless that is `UNKNOWN`. */
export function criErrorText(error: unknown): string {
  return error instanceof CriError ? error.toString() : errorMessage(error);
}
