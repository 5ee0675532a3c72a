import { nameOf } from './collection.ts';

interface ListedImage {
  readonly Config: string;
  readonly RepoTags: readonly string[];
  readonly Layers: readonly string[];
}

/** What `manifest.json` of a docker archive lists; manifests with one configuration are one image there. */
export class DockerArchiveList {
  readonly #images = new Map<string, ListedImage>();

  /**
   * @param config path of its file
   * @param layers the same, bottom first
   * @param labels those that are no tag are left out: this format has nothing else
   */
  add(config: string, layers: readonly string[], labels: readonly string[]): void {
    const names = labels.map(nameOf).filter((name) => name !== undefined);
    const tags = names.filter((name) => !name.includes('@'));
    const { RepoTags = [], Layers = layers } = this.#images.get(config) ?? {};
    this.#images.set(config, { Config: config, RepoTags: [...new Set([...RepoTags, ...tags])], Layers });
  }

  get images(): readonly ListedImage[] {
    return [...this.#images.values()];
  }
}
