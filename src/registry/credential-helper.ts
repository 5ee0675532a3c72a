import { spawn } from 'node:child_process';
import { errorCode, LadingError } from '../lib/errors.ts';
import type { Credential } from './credentials.ts';

/** What `docker-credential-NAME get` answered. */
export interface HelperAnswer {
  /** Undefined when a signal ended it. */
  readonly exitCode: number | undefined;
  readonly stdout: string;
}

/** Runs the helper `name` for one key; undefined when no such program is installed. */
export type AskHelper = (name: string, serverKey: string) => Promise<HelperAnswer | undefined>;

const helperTimeoutMs = 60_000;
const maxHelperOutputBytes = 1024 * 1024;
const namePattern = /^[A-Za-z0-9._-]+$/;
const notFoundText = 'credentials not found in native keychain';

/**
 * The credential that a helper has for a key, undefined when it has none.
 * @throws LadingError `ERR_LADING_CREDENTIALS_HELPER_NOT_FOUND`, `ERR_LADING_CREDENTIALS_HELPER_FAILED`; a configured
 *   helper that does not work is never taken for "anonymous"
 * @see registry.md 4.2
 */
export async function credentialFromHelper(
  name: string,
  serverKey: string,
  ask: AskHelper = runHelper,
): Promise<Credential | undefined> {
  const program = `docker-credential-${name}`;
  const answer = namePattern.test(name) ? await ask(name, serverKey) : undefined;
  if (!answer) {
    throw new LadingError(
      'ERR_LADING_CREDENTIALS_HELPER_NOT_FOUND',
      `The credential helper ${JSON.stringify(program)}, configured for ${serverKey}, is not installed.`,
      { hint: 'Put it on the PATH, or remove it from credHelpers or credsStore of docker config.json.' },
    );
  }
  const stdout = answer.stdout.trim();
  if (answer.exitCode !== 0) {
    if (stdout === notFoundText) return undefined;
    throw helperFailed(program, serverKey, `ended with status ${answer.exitCode ?? 'unknown'}`);
  }
  const parsed = parseAnswer(stdout);
  if (!parsed) throw helperFailed(program, serverKey, 'did not answer with a JSON object of Username and Secret');
  const origin = `credential helper ${program}`;
  if (parsed.Username === '<token>') return { identityToken: parsed.Secret, origin };
  return { ...(parsed.Username !== '' && { username: parsed.Username }), password: parsed.Secret, origin };
}

function parseAnswer(stdout: string): { Username: string; Secret: string } | undefined {
  try {
    const { Username = '', Secret = '' } = JSON.parse(stdout) as Record<string, unknown>;
    return typeof Username === 'string' && typeof Secret === 'string' ? { Username, Secret } : undefined;
  } catch {
    return undefined;
  }
}

/** Its output is not quoted: it may hold a secret. */
function helperFailed(program: string, serverKey: string, reason: string): LadingError {
  return new LadingError(
    'ERR_LADING_CREDENTIALS_HELPER_FAILED',
    `The credential helper ${program}, asked for ${serverKey}, ${reason}.`,
    { hint: `Try it: echo ${serverKey} | ${program} get` },
  );
}

async function runHelper(name: string, serverKey: string): Promise<HelperAnswer | undefined> {
  const program = `docker-credential-${name}`;
  const child = spawn(program, ['get'], { stdio: ['pipe', 'pipe', 'ignore'] });
  const { promise, resolve, reject } = Promise.withResolvers<HelperAnswer | undefined>();
  const chunks: Buffer[] = [];
  let size = 0;
  const giveUp = () => {
    child.kill('SIGKILL');
    child.stdout.destroy(); // children of a script may hold the other end
  };
  const timer = setTimeout(giveUp, helperTimeoutMs);
  child.stdout.on('data', (chunk: Buffer) => {
    size += chunk.length;
    if (size > maxHelperOutputBytes) giveUp();
    else chunks.push(chunk);
  });
  child.once('error', (error) => {
    if (errorCode(error) === 'ENOENT') resolve(undefined);
    else reject(helperFailed(program, serverKey, `could not be started (${errorCode(error)})`));
  });
  child.once('close', (code) => {
    resolve({ exitCode: code ?? undefined, stdout: Buffer.concat(chunks).toString('utf8') });
  });
  child.stdin.on('error', () => {}); // a helper may end without reading its input
  child.stdin.end(serverKey);
  try {
    return await promise;
  } finally {
    clearTimeout(timer);
  }
}
