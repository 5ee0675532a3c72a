import type { LayerFacts } from '../lib/layer-facts.ts';
import { LayerError } from './errors.ts';
import { maxLayers } from './limits.ts';

/** An unpacked layer. */
export interface LayerDirectory {
  /** The layer's root, absolute. */
  readonly dir: string;
  readonly facts: LayerFacts;
}

/**
 * The layers of a chain that decide what is visible, bottom first: nothing below an opaque root (K1), each layer at its
 * topmost place only (K4), no layer without entries unless there is no other. Their order is that of the chain.
 */
export function effectiveLayers(layers: readonly LayerDirectory[]): LayerDirectory[] {
  const kept: LayerDirectory[] = [];
  const seen = new Set<string>();
  for (const layer of [...layers].reverse()) {
    const isEmpty = layer.facts.entries === 0;
    if (!isEmpty && !seen.has(layer.facts.diffId)) kept.push(layer);
    seen.add(layer.facts.diffId);
    if (layer.facts.rootOpaque) break;
  }
  if (kept.length === 0 && layers.length > 0) kept.push(layers[layers.length - 1]!);
  return kept.reverse();
}

/**
 * What to give to `mountOverlay` for a chain: directories, topmost first.
 * @param layers bottom first
 * @param fixUpDir what `buildFixUp` made for this chain, if it was needed
 * @throws LayerError `too-large` for more layers than overlayfs takes (L6)
 */
export function lowerDirectories(layers: readonly LayerDirectory[], fixUpDir?: string): string[] {
  const lowers = effectiveLayers(layers).map((layer) => layer.dir);
  if (fixUpDir !== undefined) lowers.push(fixUpDir);
  if (lowers.length > maxLayers) {
    throw new LayerError('too-large', `an image of ${lowers.length} layers; overlayfs takes ${maxLayers}`);
  }
  return lowers.reverse();
}
