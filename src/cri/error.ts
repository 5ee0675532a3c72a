import { type ErrorDetails, LadingError } from '../lib/errors.ts';

/** Status codes of gRPC that clients of the CRI tell apart. */
export type CriStatus =
  | 'CANCELLED'
  | 'UNKNOWN'
  | 'INVALID_ARGUMENT'
  | 'DEADLINE_EXCEEDED'
  | 'NOT_FOUND'
  | 'UNIMPLEMENTED'
  | 'UNAVAILABLE';

/** A failed call on a CRI port. The kubelet shows the message alone when the status is `UNKNOWN`. */
export class CriError extends LadingError {
  readonly status: CriStatus;

  constructor(status: CriStatus, message: string, details: ErrorDetails = {}) {
    super('ERR_LADING_CRI', message, details);
    this.status = status;
  }

  /** As the kubelet's client prints it: `rpc error: code = NotFound desc = …`, the bare message for `UNKNOWN`. */
  override toString(): string {
    if (this.status === 'UNKNOWN') return this.message;
    const goName = this.status.toLowerCase().replace(/(?:^|_)(.)/g, (_, letter: string) => letter.toUpperCase());
    return `rpc error: code = ${goName === 'Cancelled' ? 'Canceled' : goName} desc = ${this.message}`;
  }
}
