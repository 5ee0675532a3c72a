import { readdir } from 'node:fs/promises';
import { errorCode } from '../lib/errors.ts';
import { type FolderLock, lockFolder } from '../store/index.ts';
import { blobDeletion } from './blobs.ts';
import { inUse, unusable } from './database.ts';
import type { Handler } from './exchange.ts';
import { importLayout } from './layout-import.ts';
import { LayoutIndex } from './layout-index.ts';
import { LayoutStorage } from './layout-storage.ts';
import { type GarbageSchedule, Maintenance, type MaintenanceOptions } from './maintenance.ts';
import { type ManifestRules, manifestWriting } from './manifests.ts';
import { OwnStorage } from './own-storage.ts';
import type { Storage } from './storage.ts';
import { UploadSessions } from './upload-sessions.ts';
import { uploadHandlers, uploadsHandlers } from './uploads.ts';

/** A folder of the registry's own. */
export interface OwnContent {
  /** Made if it is missing. */
  readonly root: string;
  /** `read-write` unless given. */
  readonly access?: 'read-write' | 'read-only' | undefined;
  /** An index whose manifests are not all in the repository is refused unless this allows it. */
  readonly sparseIndexes?: ManifestRules['sparseIndexes'] | undefined;
  /** Larger blobs are refused; any size is taken unless given. */
  readonly maxBlobBytes?: number | undefined;
  /** Uploads that one user, or one address without a login, may have open; 1000 unless given. */
  readonly maxUploadsPerClient?: number | undefined;
  /** When to remove what nothing refers to; never unless given. */
  readonly garbage?: GarbageSchedule | undefined;
}

/** An OCI image layout, which is made if it is missing. While it is served for writing, no other program may write to it. */
export interface LayoutContent extends Omit<OwnContent, 'root'> {
  readonly layout: string;
}

/** An OCI image layout that is only read, and that others may change at any time. */
export interface ReadOnlyLayoutContent {
  readonly layout: string;
  readonly access: 'read-only';
  /** Of all images, instead of what each of them is called. */
  readonly repository?: string | undefined;
}

/** What a Lading node has, read only. */
export interface StoreContent {
  /** The node's root. */
  readonly store: string;
}

export type AnyContent = OwnContent | LayoutContent | ReadOnlyLayoutContent | StoreContent;

export interface Content {
  readonly storage: Storage;
  readonly writing: WritingHandlers;
  /** Undefined where nothing can be uploaded. */
  openUploads(): number | undefined;
  /** Call when no request is running. */
  close(): Promise<void>;
}

export type WritingHandlers = Readonly<
  Record<'manifest' | 'blob' | 'uploads' | 'upload', Readonly<Partial<Record<string, Handler>>>>
>;

const usualUploadsPerClient = 1000;
const noWriting: WritingHandlers = { manifest: {}, blob: {}, uploads: {}, upload: {} };

/** @throws LadingError `ERR_LADING_DISTRIBUTION_…` for what cannot be served */
export async function openContent(content: AnyContent, onGarbage: MaintenanceOptions['onGarbage']): Promise<Content> {
  if ('root' in content) return openOwnContent(content, onGarbage);
  if ('layout' in content && content.access !== 'read-only') {
    const { layout: root, ...options } = content;
    await openLayoutForWriting(root);
    return openOwnContent({ ...options, root }, onGarbage);
  }
  const storage =
    'layout' in content
      ? await LayoutStorage.open(content.layout, 'repository' in content ? { repository: content.repository } : {})
      : await LayoutStorage.open(content.store, { whenMissing: 'wait' });
  return { storage, writing: noWriting, openUploads: () => undefined, close: async () => storage.close() };
}

/** @throws LadingError `ERR_LADING_DISTRIBUTION_LAYOUT` for a folder with other things in it */
async function openLayoutForWriting(folder: string): Promise<void> {
  const there = await readdir(folder).catch((error: unknown): string[] => {
    if (errorCode(error) === 'ENOENT') return [];
    throw unusable(folder, error);
  });
  if (there.length > 0) await LayoutStorage.open(folder);
  else LayoutIndex.create(folder);
}

async function openOwnContent(options: OwnContent, onGarbage: MaintenanceOptions['onGarbage']): Promise<Content> {
  const { root } = options;
  const lock = await lockFolder(root, { whenBusy: 'give-up' }).catch((error: unknown) => {
    throw unusable(root, error);
  });
  if (!lock) throw inUse(root);
  let storage: OwnStorage | undefined;
  try {
    storage = new OwnStorage(root);
    const { layout } = storage.metadata;
    if (layout) await importLayout(storage, layout);
    return await ownContent(storage, lock, { options, onGarbage });
  } catch (error) {
    storage?.close();
    await lock.release();
    throw error;
  }
}

async function ownContent(
  storage: OwnStorage,
  lock: FolderLock,
  { options, onGarbage }: { options: OwnContent; onGarbage: MaintenanceOptions['onGarbage'] },
): Promise<Content> {
  const { access, sparseIndexes = 'refused', garbage, maxBlobBytes = Number.POSITIVE_INFINITY } = options;
  const maxPerClient = options.maxUploadsPerClient ?? usualUploadsPerClient;
  const sessions = new UploadSessions(storage, { maxPerClient });
  await sessions.recover();
  const maintenance = new Maintenance(storage, sessions, { garbage, onGarbage });
  const uploads = { sessions, storage, maxBlobBytes };
  const writing = {
    manifest: manifestWriting(storage.metadata, { sparseIndexes }),
    blob: blobDeletion(storage.metadata),
    uploads: uploadsHandlers(uploads),
    upload: uploadHandlers(uploads),
  };
  return {
    storage,
    writing: access === 'read-only' ? noWriting : writing,
    openUploads: () => storage.metadata.openUploads(),
    close: async () => {
      await maintenance.close();
      await sessions.close();
      storage.close();
      await lock.release();
    },
  };
}
