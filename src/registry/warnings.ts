import { channel } from 'node:diagnostics_channel';
import type { Clock } from '../lib/clock.ts';
import { printable } from './redact.ts';
import { type HttpResponse, headerLines } from './transport.ts';

/** Something that a user should know although all goes well. */
export interface RegistryWarning {
  /** The registry of the reference. */
  readonly registry: string;
  /** One sentence, printable. */
  readonly text: string;
}

const warnings = channel('lading:registry:warning');

/** The same text is said again after this long. */
const repeatAfterMs = 10 * 60_000;
const maxWarningBytes = 4096;

/** Passes warnings on, each distinct text once in a while. */
export class Warnings {
  readonly #listener: (warning: RegistryWarning) => void;
  readonly #clock: Clock;
  readonly #said = new Map<string, number>();

  /** @param listener process warnings by default */
  constructor(listener: ((warning: RegistryWarning) => void) | undefined, clock: Clock) {
    this.#listener = listener ?? (({ text }) => process.emitWarning(text, { code: 'LADING_REGISTRY' }));
    this.#clock = clock;
  }

  say(registry: string, text: string): void {
    const key = `${registry} ${text}`;
    const now = this.#clock.now();
    for (const [old, at] of this.#said) if (now - at >= repeatAfterMs) this.#said.delete(old);
    if (this.#said.has(key)) return;
    this.#said.set(key, now);
    const warning = { registry, text };
    warnings.publish(warning);
    this.#listener(warning);
  }

  /** Passes on what a registry says in its answer. Nothing ever follows from it. @see registry.md 9.3 */
  sayThoseOf(registry: string, response: Pick<HttpResponse, 'headers'>): void {
    for (const text of warningTexts(headerLines(response, 'warning'))) this.say(registry, `${registry} says: ${text}`);
  }
}

/** Of `Warning: 299 - "text"`; other codes are not meant for users. */
export function warningTexts(lines: readonly string[]): string[] {
  return lines
    .filter((line) => line.length <= maxWarningBytes)
    .flatMap((line) => [...line.matchAll(/(?:^|,)\s*299\s+\S+\s+"((?:[^"\\]|\\.)*)"/g)])
    .map(([, text = '']) => printable(text.replace(/\\(.)/g, '$1')))
    .filter((text) => text !== '');
}
