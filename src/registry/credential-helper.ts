import { LadingError } from '../lib/errors.ts';
import { type RanProgram, runProgram } from '../lib/run-program.ts';
import type { Credential } from './credentials.ts';

/** What `docker-credential-NAME` answered. */
export interface HelperAnswer {
  /** Undefined when a signal ended it. */
  readonly exitCode: number | undefined;
  readonly stdout: string;
  /** Why it could not be started. */
  readonly problem?: string;
}

/** Runs the helper `name` with `input` on its standard input; undefined when no such program is installed. */
export type RunHelper = (name: string, action: HelperAction, input: string) => Promise<HelperAnswer | undefined>;

export type HelperAction = 'get' | 'store' | 'erase';

const helperTimeoutMs = 60_000;
const maxHelperOutputBytes = 1024 * 1024;
const namePattern = /^[A-Za-z0-9._-]+$/;
const notFoundText = 'credentials not found in native keychain';

/**
 * The credential that a helper has for a key, undefined when it has none, as some say with an empty one.
 * @throws LadingError `ERR_LADING_CREDENTIALS_HELPER_NOT_FOUND`, `ERR_LADING_CREDENTIALS_HELPER_FAILED`; a configured
 *   helper that does not work is never taken for "anonymous"
 * @see registry.md 4.2
 */
export async function credentialFromHelper(
  name: string,
  serverKey: string,
  run: RunHelper = helperRunner(),
): Promise<Credential | undefined> {
  const stdout = await ask({ name, action: 'get', serverKey, input: serverKey, run });
  if (stdout === undefined) return undefined;
  const parsed = parseAnswer(stdout);
  if (!parsed) throw helperFailed(name, serverKey, 'did not answer with a JSON object of Username and Secret');
  const origin = `credential helper ${programOf(name)}`;
  if (parsed.Username === '' && parsed.Secret === '') return undefined;
  if (parsed.Username === '<token>') return { identityToken: parsed.Secret, origin };
  return { ...(parsed.Username !== '' && { username: parsed.Username }), password: parsed.Secret, origin };
}

/** Gives a helper a user and password to keep. @throws as `credentialFromHelper` */
export async function storeWithHelper(
  name: string,
  serverKey: string,
  { username, password }: { readonly username: string; readonly password: string },
  run: RunHelper = helperRunner(),
): Promise<void> {
  const input = JSON.stringify({ ServerURL: serverKey, Username: username, Secret: password });
  await ask({ name, action: 'store', serverKey, input, run });
}

/** @returns false when the helper had nothing for the key @throws as `credentialFromHelper` */
export async function eraseWithHelper(
  name: string,
  serverKey: string,
  run: RunHelper = helperRunner(),
): Promise<boolean> {
  return (await ask({ name, action: 'erase', serverKey, input: serverKey, run })) !== undefined;
}

interface Question {
  readonly name: string;
  readonly action: HelperAction;
  readonly serverKey: string;
  readonly input: string;
  readonly run: RunHelper;
}

/** What the helper printed; undefined when it knows nothing of the key. */
async function ask({ name, action, serverKey, input, run }: Question): Promise<string | undefined> {
  const answer = namePattern.test(name) ? await run(name, action, input) : undefined;
  if (!answer) {
    throw new LadingError(
      'ERR_LADING_CREDENTIALS_HELPER_NOT_FOUND',
      `The credential helper ${JSON.stringify(programOf(name))}, configured for ${serverKey}, is not installed.`,
      { hint: 'Put it on the PATH, or remove it from credHelpers or credsStore of docker config.json.' },
    );
  }
  const stdout = answer.stdout.trim();
  if (answer.exitCode === 0) return stdout;
  if (stdout === notFoundText) return undefined;
  throw helperFailed(name, serverKey, answer.problem ?? `ended with status ${answer.exitCode ?? 'unknown'}`);
}

function programOf(name: string): string {
  return `docker-credential-${name}`;
}

function parseAnswer(stdout: string): { Username: string; Secret: string } | undefined {
  try {
    const answer = JSON.parse(stdout) as Record<string, unknown>;
    const { Username = '', Secret = '' } = answer;
    if (Array.isArray(answer)) return undefined;
    return typeof Username === 'string' && typeof Secret === 'string' ? { Username, Secret } : undefined;
  } catch {
    return undefined;
  }
}

/** Its output is not quoted: it may hold a secret. */
function helperFailed(name: string, serverKey: string, reason: string): LadingError {
  const program = programOf(name);
  return new LadingError(
    'ERR_LADING_CREDENTIALS_HELPER_FAILED',
    `The credential helper ${program}, asked for ${serverKey}, ${reason}.`,
    { hint: `Try it: echo ${serverKey} | ${program} get` },
  );
}

/** @param signal ends the program */
export function helperRunner(signal?: AbortSignal): RunHelper {
  return async (name, action, input) => {
    const ran = await runProgram(programOf(name), [action], {
      input,
      timeoutMs: helperTimeoutMs,
      maxOutputBytes: maxHelperOutputBytes,
      signal,
    });
    if (ran.outcome === 'not-found') return undefined;
    if (ran.outcome === 'ended') return ran;
    return { exitCode: undefined, stdout: '', problem: problemOf(ran) };
  };
}

function problemOf(ran: Exclude<RanProgram, { outcome: 'ended' | 'not-found' }>): string {
  if (ran.outcome === 'not-started') return `could not be started (${ran.code})`;
  return ran.outcome === 'timed-out' ? `did not answer within ${helperTimeoutMs / 1000} s` : 'printed too much';
}
