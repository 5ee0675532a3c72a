interface Task<Event, Result> {
  readonly abort: AbortController;
  readonly listeners: Set<(event: Event) => void>;
  readonly result: Promise<Result>;
  last?: Event;
  users: number;
}

export interface TaskOptions<Event> {
  readonly signal?: AbortSignal | undefined;
  readonly onEvent: (event: Event) => void;
}

/**
 * Work that several callers of this process want at the same time and that is done once. It is aborted when nobody
 * wants it any more.
 */
export class SharedTasks<Event, Result> {
  readonly #tasks = new Map<string, Task<Event, Result>>();
  readonly #sharesFailures: boolean;

  /**
   * @param options.failures of work that was joined: `own` (the default) has who joined it do it again, on its own terms;
   *   `shared` is for work that would end in the same way for each of them
   */
  constructor(options: { readonly failures?: 'own' | 'shared' } = {}) {
    this.#sharesFailures = options.failures === 'shared';
  }

  /** @returns the result, and whether this call did the work */
  async run(
    key: string,
    work: (signal: AbortSignal, emit: (event: Event) => void) => Promise<Result>,
    options: TaskOptions<Event>,
  ): Promise<{ result: Result; mine: boolean }> {
    for (;;) {
      options.signal?.throwIfAborted();
      const running = this.#tasks.get(key);
      if (!running) return { result: await this.#use(this.#start(key, work), options), mine: true };
      try {
        if (running.abort.signal.aborted) await running.result;
        else return { result: await this.#use(running, options), mine: false };
      } catch (error) {
        // Else its failure is the business of who started it; unless we were aborted, we try it ourselves.
        if (this.#sharesFailures && !running.abort.signal.aborted) throw error;
      }
    }
  }

  #start(key: string, work: (signal: AbortSignal, emit: (event: Event) => void) => Promise<Result>) {
    const abort = new AbortController();
    const listeners = new Set<(event: Event) => void>();
    const task: Task<Event, Result> = {
      abort,
      listeners,
      users: 0,
      result: Promise.resolve().then(() =>
        work(abort.signal, (event) => {
          task.last = event;
          for (const listener of listeners) listener(event);
        }),
      ),
    };
    this.#tasks.set(key, task);
    const end = () => this.#tasks.delete(key);
    task.result.then(end, end);
    return task;
  }

  /** Waits for the result, or until aborted; the last who leaves ends the work, and waits for its end. */
  async #use(task: Task<Event, Result>, { signal, onEvent }: TaskOptions<Event>): Promise<Result> {
    task.users += 1;
    task.listeners.add(onEvent);
    if (task.last !== undefined) onEvent(task.last);
    let leave: (() => void) | undefined;
    const aborted = new Promise<never>((_, reject) => {
      leave = () => {
        task.users -= 1;
        task.listeners.delete(onEvent);
        if (task.users > 0) reject(signal!.reason);
        else task.abort.abort(signal!.reason);
      };
      signal?.addEventListener('abort', leave, { once: true });
    });
    try {
      return await Promise.race([task.result, aborted]);
    } finally {
      if (leave) signal?.removeEventListener('abort', leave);
      task.listeners.delete(onEvent);
    }
  }
}
