import { addAbortSignal } from 'node:stream';
import { text } from 'node:stream/consumers';

/** All of standard input; a terminal may take its time. @throws the signal's reason when aborted */
export async function readStandardInput(signal: AbortSignal): Promise<string> {
  try {
    return await text(addAbortSignal(signal, process.stdin));
  } catch (error) {
    signal.throwIfAborted();
    throw error;
  }
}
