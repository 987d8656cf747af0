/**
 * Calls from the page into a worker: the two ends of the protocol.
 *
 * @module
 */
/// <reference lib="dom" />

interface Request {
  readonly id: number;
  readonly method: string;
  readonly argument: unknown;
}

type Answer =
  & { readonly id: number }
  & ({ readonly result: unknown } | { readonly error: string } | { readonly progress: unknown });

/** The methods of a worker: functions of one argument; the second parameter reports progress. */
// deno-lint-ignore no-explicit-any -- each method has its own type of argument
export type Methods = Record<string, (argument: any, progress: (value: any) => void) => unknown>;

type Argument<F> = F extends (argument: infer A, ...rest: never[]) => unknown ? A : never;
type Progress<F> = F extends (argument: never, progress: (value: infer P) => void) => unknown ? P
  : never;
type Result<F> = F extends (...given: never[]) => infer R ? Awaited<R> : never;

/** The page's end of the calls. */
export class Calls<M extends Methods> {
  readonly #worker: Promise<Worker>;
  readonly #open = new Map<number, {
    resolve(value: unknown): void;
    reject(error: Error): void;
    progress(value: unknown): void;
  }>();
  #last = 0;

  /** Makes calls to a worker that is still starting. */
  constructor(worker: Promise<Worker>) {
    this.#worker = worker;
    worker.then((started) => {
      started.onmessage = ({ data }: MessageEvent<Answer>) => this.#take(data);
      started.onerror = (event) => {
        event.preventDefault();
        this.#fail(new Error(event.message || "The worker ended; it may have run out of memory."));
      };
    }, () => {});
  }

  /** Calls a method; rejects with the error that it throws. */
  async call<K extends keyof M & string>(
    method: K,
    argument: Argument<M[K]>,
    progress: (value: Progress<M[K]>) => void = () => {},
  ): Promise<Result<M[K]>> {
    const worker = await this.#worker;
    const id = ++this.#last;
    const answer = new Promise((resolve, reject) => {
      this.#open.set(id, { resolve, reject, progress: progress as (value: unknown) => void });
    });
    worker.postMessage({ id, method, argument } satisfies Request);
    return await answer as Result<M[K]>;
  }

  #take(answer: Answer): void {
    const open = this.#open.get(answer.id);
    if (open === undefined) return;
    if ("progress" in answer) {
      open.progress(answer.progress);
      return;
    }
    this.#open.delete(answer.id);
    if ("error" in answer) open.reject(new Error(answer.error));
    else open.resolve(answer.result);
  }

  #fail(error: Error): void {
    const all = [...this.#open.values()];
    this.#open.clear();
    for (const { reject } of all) reject(error);
  }
}

/** The worker's end of the calls. */
export function serve(methods: Methods): void {
  const answer = (value: Answer) => (globalThis as unknown as Worker).postMessage(value);
  globalThis.addEventListener("message", async ({ data }: MessageEvent<Request>) => {
    const { id, method, argument } = data;
    try {
      const result = await methods[method]!(argument, (progress) => answer({ id, progress }));
      answer({ id, result });
    } catch (error) {
      answer({ id, error: error instanceof Error ? error.message : String(error) });
    }
  });
}
