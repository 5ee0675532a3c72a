/** What a runtime may say about an image beyond the CRI, in the annotations of its `spec`. Times are ISO 8601. */
export const imageAnnotations = {
  /** When the registry last said that the name in the `spec` means this image. */
  checkedAt: 'lading.dev/checked-at',
  /** The manifest or index that the name in the `spec` means. */
  digest: 'lading.dev/digest',
  /** What the registry has said since that the name in the `spec` means, if this node could not get it. */
  announcedDigest: 'lading.dev/announced-digest',
  /** When the image came to the node. */
  pulledAt: 'lading.dev/pulled-at',
  /** When a container last had it, whoever ran the container. */
  usedAt: 'lading.dev/used-at',
  /** `true`: a container or a pull has it now, also one of another process on the node. */
  inUse: 'lading.dev/in-use',
} as const;
