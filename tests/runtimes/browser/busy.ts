/**
 * How long the page's own thread is busy at a time, and what it takes of the processor: by Chromium's
 * trace, in processor time, which does not grow where other programs run.
 *
 * @module
 */
import type { Browser, Page } from "playwright-core";

interface TraceEvent {
  readonly name: string;
  readonly cat: string;
  readonly ph: string;
  readonly pid: number;
  readonly tid: number;
  /** Microseconds: since when, how long, and the same in the thread's processor time. */
  readonly ts: number;
  readonly dur?: number;
  readonly tts?: number;
  readonly tdur?: number;
  readonly args: {
    readonly name?: string;
    readonly chrome_mojo_event_info?: { readonly mojo_interface_tag?: string };
  };
}

/** Messages of the driver: what they do is none of the page's work. */
const DRIVER = "blink.mojom.DevToolsSession";

const CATEGORIES = ["toplevel", "mojom", "devtools.timeline", "v8.execute", "blink.user_timing"];

/** A task of the page's own thread. */
export interface Task {
  /** Milliseconds of processor time. */
  readonly cpu: number;
  /** What was longest in it. */
  readonly what: string;
}

/** What a trace tells. */
export class Busy {
  readonly #events: readonly TraceEvent[];

  constructor(events: readonly TraceEvent[]) {
    this.#events = events;
  }

  /** Tasks of the page's own thread, without those in which the driver asks for something. */
  tasks(): Task[] {
    const main = new Set(
      this.#events.filter(({ name, args }) =>
        name === "thread_name" && args.name === "CrRendererMain"
      ).map(({ pid, tid }) => `${pid}/${tid}`),
    );
    const own = this.#events.filter(({ pid, tid, ph }) => ph === "X" && main.has(`${pid}/${tid}`))
      .sort((a, b) => a.ts - b.ts);
    const tasks: Task[] = [];
    for (let i = 0; i < own.length; i++) {
      const task = own[i]!;
      if (!task.name.endsWith("::RunTask")) continue;
      const end = task.ts + (task.dur ?? 0);
      const inside: TraceEvent[] = [];
      for (let j = i + 1; j < own.length && own[j]!.ts < end; j++) {
        const { pid, tid } = own[j]!;
        if (pid === task.pid && tid === task.tid) inside.push(own[j]!);
      }
      const byDriver = inside.some(({ args }) =>
        args.chrome_mojo_event_info?.mojo_interface_tag === DRIVER
      );
      if (byDriver) continue;
      const longest = inside.sort((a, b) => (b.tdur ?? 0) - (a.tdur ?? 0)).slice(0, 3);
      tasks.push({
        cpu: (task.tdur ?? 0) / 1000,
        what: longest.map(({ name, tdur }) => `${name} ${(tdur ?? 0) / 1000}`).join(", "),
      });
    }
    return tasks;
  }

  /**
   * Milliseconds of processor time between two marks of a worker.
   *
   * @throws {Error} If it made no such marks.
   */
  between(from: string, to: string): number {
    const at = (name: string) => {
      const mark = this.#events.find((each) =>
        each.name === name && each.cat.includes("blink.user_timing")
      );
      if (mark?.tts === undefined) throw new Error(`no mark ${name} with processor time`);
      return mark.tts;
    };
    return (at(to) - at(from)) / 1000;
  }
}

/** Watches a page while something is done. */
export async function watchBusy(
  browser: Browser,
  page: Page,
  work: () => Promise<void>,
): Promise<Busy> {
  await browser.startTracing(page, { categories: CATEGORIES });
  let trace: string;
  try {
    await work();
  } finally {
    trace = new TextDecoder().decode(await browser.stopTracing());
  }
  return new Busy(JSON.parse(trace).traceEvents);
}
