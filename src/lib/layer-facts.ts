/**
 * What a layer does that its unpacked directory alone does not show. Written by the unpacker, stored beside the layer,
 * read when a chain is stacked. Paths are relative to the layer's root, without leading slash, and are bytes: one
 * character per byte (latin1), so that JSON keeps them exactly.
 */
export interface LayerFacts {
  readonly version: 1;
  /** Digest of the uncompressed stream, verified. */
  readonly diffId: string;
  /** Bytes of the uncompressed stream, those after the end marker included. */
  readonly size: number;
  /** Entries that made something, whiteouts included. */
  readonly entries: number;
  /** Bytes of all regular files, each inode once. */
  readonly contentBytes: number;
  /**
   * Where whiteouts and opaque marks stand on disk: as devices 0:0 and in `trusted.overlay.*` or `user.overlay.*`, or
   * only here (`none`, a store whose layers are copied).
   */
  readonly marks: 'trusted' | 'user' | 'none';
  /** Directories that no entry lists and that exist because a child does: they take their attributes from below. */
  readonly implied: readonly string[];
  /** Names that hide something of the layers below, those in opaque directories left out. */
  readonly whiteouts: readonly string[];
  /** Directories that hide all children from below. */
  readonly opaques: readonly string[];
  /** Directories that inherit nothing: born after a whiteout or a change of type in this layer. */
  readonly fresh: readonly string[];
  /** An opaque marker at the top of the archive: no layer below is listed. */
  readonly rootOpaque: boolean;
  /** Entries that the host did not allow to make (devices in a user namespace). */
  readonly skipped: readonly string[];
  /** One sentence each, for logs. */
  readonly warnings: readonly string[];
}

/** Types of entries in the record. */
export type EntryType = 'file' | 'dir' | 'symlink' | 'char' | 'block' | 'fifo' | 'whiteout';

/**
 * What one path of an unpacked layer has to be. The record of a layer is a file of lines, one JSON array each, in
 * the order of `entryColumns`: compact, and readable line by line. It is written while the layer is made: a later line
 * for a path counts instead of an earlier one, and a line with the path alone says that nothing is there any more.
 */
export interface EntryRecord {
  /** latin1, as in `LayerFacts`. */
  readonly path: string;
  readonly type: EntryType;
  /** Permission bits, 12 of them. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Bytes; 0 for everything but files. */
  readonly size: number;
  /** Nanoseconds since 1970 as decimal text, exact. */
  readonly mtime: string;
  /**
   * CRC-32 of a file's content in hex (against damage, not malice; empty for sparse files); target of a symlink
   * (latin1); `major:minor` of a device; the
   * extended attribute that marks an opaque directory; else empty.
   */
  readonly content: string;
  /** Undefined in records of versions that did not note them. */
  readonly xattrs?: XattrRecord;
}

/**
 * Extended attributes of the image that an entry has, marks of overlayfs apart: by name (latin1) a CRC-32 of the value
 * in hex.
 */
export type XattrRecord = Readonly<Record<string, string>>;

export const entryColumns = ['path', 'type', 'mode', 'uid', 'gid', 'size', 'mtime', 'content', 'xattrs'] as const;
