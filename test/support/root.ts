/** What tests of layers lack, undefined for root: owners of files can be set by root only, in a user namespace or outside. */
export const rootMissing: string | undefined = process.getuid?.() === 0 ? undefined : 'root';
