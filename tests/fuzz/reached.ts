/**
 * What cases reach of the sources that fuzzing is about, as the engine counts it.
 *
 * @module
 */
import inspector from "node:inspector";

const ROOT = new URL("../../", import.meta.url);

/** Files and folders whose branches are watched: kernels, running halves, SIMD, readers. */
export const WATCHED = [
  "kernels/",
  "src/runtime/",
  "src/simd/",
  "src/io/",
  "src/cli/data.ts",
  "src/cli/npy.ts",
] as const;

/** Part of a source's text: from, up to. */
type Span = readonly [start: number, end: number];

/** The parts of a function that were not run: those whose innermost range has count 0. */
function spansNotRun(ranges: readonly inspector.Profiler.CoverageRange[]): Span[] {
  const bounds = [...new Set(ranges.flatMap(({ startOffset: s, endOffset: e }) => [s, e]))]
    .sort((a, b) => a - b);
  const spans: Span[] = [];
  for (let i = 0; i + 1 < bounds.length; i++) {
    const [start, end] = [bounds[i]!, bounds[i + 1]!];
    // Ranges are nested, and an outer one comes before those in it.
    const innermost = ranges.findLast(({ startOffset, endOffset }) =>
      startOffset <= start && end <= endOffset
    );
    if (innermost?.count === 0) spans.push([start, end]);
  }
  return spans;
}

/** What two lists of spans share. */
function shared(a: readonly Span[], b: readonly Span[]): Span[] {
  return a.flatMap(([start, end]) =>
    b.map(([from, to]): Span => [Math.max(start, from), Math.min(end, to)])
      .filter(([from, to]) => from < to)
  );
}

const lengthOf = (spans: readonly Span[]) => spans.reduce((sum, [from, to]) => sum + to - from, 0);

/** Watches which code runs; begins before that code is loaded. */
export class Watch {
  readonly #session = new inspector.Session();
  /** By file and function: what no case has run. */
  #left = new Map<string, Span[]>();

  /** Starts counting. */
  async begin(): Promise<void> {
    this.#session.connect();
    await this.#post("Profiler.enable");
    await this.#post("Profiler.startPreciseCoverage", { callCount: true, detailed: true });
  }

  /** Forgets what was reached. */
  forget(): void {
    this.#left.clear();
  }

  /** Whether something was run since the last call that had never been run before. */
  async reachedMore(): Promise<boolean> {
    const { result } = await this.#post("Profiler.takePreciseCoverage") as {
      result: inspector.Profiler.ScriptCoverage[];
    };
    let more = false;
    for (const { url, functions } of result) {
      const path = url.startsWith(ROOT.href) ? url.slice(ROOT.href.length) : "";
      if (!WATCHED.some((each) => path.startsWith(each))) continue;
      for (const { functionName, ranges } of functions) {
        const { startOffset, endOffset, count } = ranges[0]!;
        if (count === 0) continue;
        const key = `${path}:${functionName}:${startOffset}-${endOffset}`;
        const before = this.#left.get(key);
        const now = spansNotRun(ranges);
        const left = before === undefined ? now : shared(before, now);
        if (before === undefined || lengthOf(left) < lengthOf(before)) more = true;
        this.#left.set(key, left);
      }
    }
    return more;
  }

  #post(method: string, parameters: object = {}): Promise<unknown> {
    return new Promise((resolve, reject) => {
      this.#session.post(
        method,
        parameters,
        (error: Error | null, result: unknown) => error ? reject(error) : resolve(result),
      );
    });
  }
}
