import { describe, expect, test } from 'vitest';
import type { LayerFacts } from '../../src/lib/layer-facts.ts';
import { lowerDirectories } from '../../src/unpack/index.ts';

function layer(name: string, facts: Partial<LayerFacts> = {}) {
  return { dir: `/layers/${name}`, facts: { diffId: name, entries: 1, rootOpaque: false, ...facts } as LayerFacts };
}

describe('the directories of a chain', () => {
  test('topmost first, the fix-up above all', () => {
    expect(lowerDirectories([layer('a'), layer('b')], '/fix-up')).toEqual(['/fix-up', '/layers/b', '/layers/a']);
  });

  test('nothing below an opaque root (K1)', () => {
    const layers = [layer('a'), layer('b', { rootOpaque: true }), layer('c')];
    expect(lowerDirectories(layers)).toEqual(['/layers/c', '/layers/b']);
  });

  test('a layer that comes again counts at its topmost place (K4)', () => {
    const layers = ['a', 'b', 'a', 'c', 'b'].map((name) => layer(name));
    expect(lowerDirectories(layers)).toEqual(['/layers/b', '/layers/c', '/layers/a']);
  });

  test('empty layers are left out, unless there is nothing else', () => {
    const empty = layer('empty', { entries: 0 });
    expect(lowerDirectories([empty, layer('a'), empty])).toEqual(['/layers/a']);
    expect(lowerDirectories([empty, empty])).toEqual(['/layers/empty']);
    expect(lowerDirectories([])).toEqual([]);
  });

  test('more than 500 are refused, the fix-up counted', () => {
    const layers = Array.from({ length: 500 }, (_, index) => layer(`l${index}`));
    expect(lowerDirectories(layers).length).toBe(500);
    expect(() => lowerDirectories(layers, '/fix-up')).toThrow(expect.objectContaining({ class: 'too-large' }));
  });
});
