/** What somebody may have meant who typed a command that there is none of. */
import { closest } from '../lib/did-you-mean.ts';
import { UsageError } from './error-report.ts';

/** What kubectl, crictl and docker call what has another name here. */
const elsewhere: Readonly<Record<string, string>> = {
  apply: 'run',
  create: 'run',
  start: 'run',
  get: 'ps',
  pods: 'ps',
  top: 'ps',
  describe: 'explain',
  image: 'images',
  ls: 'images',
  du: 'df',
  imagefsinfo: 'df',
  prune: 'gc',
  tags: 'ls-tags',
  serve: 'registry serve',
};

/** What they do to containers one by one. */
const ofContainers = new Set(['logs', 'stop', 'rm', 'kill', 'delete']);

/** @param known the commands that may stand there */
export function unknownCommand(name: string, known: readonly string[]): UsageError {
  return new UsageError(`unknown command '${name}'`, { hint: hintFor(name, known) });
}

function hintFor(name: string, known: readonly string[]): string | undefined {
  if (ofContainers.has(name))
    return 'Containers belong to the `lading run` that started them: it prints their output, and Ctrl-C there ends them.';
  const near = (Object.hasOwn(elsewhere, name) ? elsewhere[name] : undefined) ?? closest(name, known);
  return near === undefined ? undefined : `did you mean ${near}?`;
}
