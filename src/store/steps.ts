/** One named part of a long job. */
export interface Step {
  readonly name: string;
  /** How many things it dealt with. */
  readonly count: number;
  readonly durationMs: number;
}

/** Runs the parts of a long job one after another and keeps their counts and times. */
export class Steps {
  readonly list: Step[] = [];

  /** @param work resolves to how many things it dealt with */
  async run(name: string, work: () => Promise<number> | number): Promise<void> {
    const start = performance.now();
    const count = await work();
    this.list.push({ name, count, durationMs: performance.now() - start });
  }
}
