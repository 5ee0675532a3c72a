import { readlinkSync } from 'node:fs';
import { mkdir, readdir, rm } from 'node:fs/promises';
import { release } from 'node:os';
import { join } from 'node:path';
import { LadingError } from '../lib/errors.ts';
import { type OverlaySupport, probeOverlay, unmount } from '../lib/overlay.ts';
import { diskError } from './disk.ts';
import { lockFolder } from './folder-lock.ts';
import type { StoreParts } from './store-parts.ts';

/** Who probed, as far as it matters for the answer. */
interface Prober {
  readonly kernel: string;
  readonly uid: number;
  readonly userNamespace: string;
}

type OpenStore = StoreParts & { readonly readOnly: boolean; readonly stateFolder: string };

/**
 * How layers can be stacked here, found out by doing it once and then remembered in the store, for as long as kernel,
 * user and user namespace stay the same.
 * @see layers.md 8 ("chosen once per store by probe") and 21
 */
export class OverlayMemory {
  readonly #store: OpenStore;
  readonly #given: OverlaySupport | undefined;
  #known: Promise<OverlaySupport> | undefined;

  /** @param given instead of what a probe would find */
  constructor(store: OpenStore, given?: OverlaySupport) {
    this.#store = store;
    this.#given = given;
  }

  support(): Promise<OverlaySupport> {
    this.#known ??= this.#find();
    return this.#known;
  }

  async #find(): Promise<OverlaySupport> {
    if (this.#store.stateFolder !== this.#store.root) return this.#findElsewhere();
    const { by, support } = this.#remembered();
    if (support && by === thisProber() && !this.#given) return support;
    if (this.#store.readOnly) return support ?? { mode: 'copy', reason: 'the store is open for reading only' };
    return this.#given ? this.#remember(this.#given) : await this.#probe();
  }

  /** Where upper directories are is what matters then; layers can be copied from there whatever their form. */
  async #findElsewhere(): Promise<OverlaySupport> {
    const support = this.#given ?? (await this.#inProbeFolder(probeOverlay));
    if (support.mode === 'overlay') this.#refuseOtherForm(support);
    return support;
  }

  #remembered(): { by?: string; support?: OverlaySupport } {
    const { database } = this.#store;
    const remembered = database.setting('overlay');
    if (!remembered) return {};
    const [by, support] = database.document<[string, OverlaySupport]>(remembered);
    return { by, support };
  }

  #remember(support: OverlaySupport): OverlaySupport {
    const { database } = this.#store;
    this.#refuseOtherForm(support);
    database.transaction(() => {
      database.setSetting('overlay', JSON.stringify([thisProber(), support]));
      database.setSetting('form', formOf(support));
    });
    return support;
  }

  #probe(): Promise<OverlaySupport> {
    return this.#inProbeFolder(async (folder) => {
      // Nobody probes a second time: if that was killed, nobody would clean up behind it.
      const { by, support } = this.#remembered();
      return support && by === thisProber() ? support : this.#remember(await probeOverlay(folder));
    });
  }

  async #inProbeFolder<T>(work: (folder: string) => Promise<T>): Promise<T> {
    const folder = join(this.#store.stateFolder, 'probe');
    const lock = await lockFolder(folder);
    try {
      await removeLeftovers(folder);
      return await work(folder);
    } catch (error) {
      throw diskError(error, 'find out how layers can be stacked', folder);
    } finally {
      await rm(folder, { recursive: true, force: true });
      await lock?.release();
    }
  }

  #refuseOtherForm(support: OverlaySupport): void {
    const form = this.#store.database.setting('form');
    if (form === undefined || form === formOf(support) || this.#store.layers.list().length === 0) return;
    throw new LadingError(
      'ERR_LADING_STORE_FORM',
      `the layers in ${this.#store.root} are unpacked for ${form}, and this process can only use ${formOf(support)}`,
      { hint: 'Run as the user who made the store, or choose another folder with --root.', data: { form, support } },
    );
  }
}

/** A killed probe leaves its scratch folder, maybe with a mount in it. */
async function removeLeftovers(folder: string): Promise<void> {
  await mkdir(folder, { recursive: true });
  for (const name of await readdir(folder)) {
    try {
      unmount(join(folder, name, 'merged'));
    } finally {
      await rm(join(folder, name), { recursive: true, force: true });
    }
  }
}

/** The form in which whiteouts and opaque directories are written. */
function formOf(support: OverlaySupport): string {
  if (support.mode === 'copy') return 'copying';
  return support.userxattr ? 'overlayfs in a user namespace' : 'overlayfs';
}

function thisProber(): string {
  const prober: Prober = { kernel: release(), uid: process.getuid?.() ?? -1, userNamespace: userNamespace() };
  return JSON.stringify(prober);
}

function userNamespace(): string {
  try {
    return readlinkSync('/proc/self/ns/user');
  } catch {
    return '';
  }
}
