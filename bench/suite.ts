/**
 * Runs rows of a bench in mitata and puts beside its report what it does not know: each row's
 * multiply-adds as a share of the machine's peak, measured in the same run. That of the portable
 * kernels can exceed 100: one multiply-add of doubles, which the peak counts as one, makes two int8
 * products there. With `--smoke` every row runs a few times only.
 *
 * @module
 */
import { bench, do_not_optimize, group, measure, run } from "mitata";
import { getHeapStatistics } from "node:v8";
import { readArguments } from "../scripts/arguments.ts";
import { peakTask, scalarPeakTask } from "./peak.ts";

// Here, so that a mistake is answered before the rows are made.
const { smoke: briefly } = readArguments("deno task bench:kernels or bench:session [--smoke]", {
  smoke: { type: "boolean", default: false },
}).values;

/** Something to time. */
export interface Row {
  readonly group: string;
  readonly name: string;
  readonly run: () => void;
  /** Multiply-adds of int8 weights in one call, where that is what it does. */
  readonly macs?: number;
  /** Whose peak they are a share of. */
  readonly kernels?: "portable" | "simd";
}

const PEAKS = "peaks: multiply-adds and nothing else";

function peakRows(): Row[] {
  const scalar: Row = {
    group: PEAKS,
    name: "scalar, doubles",
    kernels: "portable",
    ...scalarPeakTask(),
  };
  const simd = [true, false].map((relaxed): Row | null => {
    const task = peakTask(relaxed);
    return task &&
      {
        group: PEAKS,
        name: relaxed ? "relaxed SIMD, int8" : "SIMD, int16",
        kernels: "simd",
        ...task,
      };
  });
  return [scalar, ...simd.filter((row) => row !== null)];
}

/**
 * A row's times in nanoseconds, and the bytes that a call allocates: the smallest reading, since
 * engines allocate in the background.
 */
interface Stats {
  readonly p50: number;
  readonly min: number;
  readonly heap?: { readonly min: number };
}

/** Times each row as mitata does, and prints its report. */
async function whole(rows: readonly Row[]): Promise<Stats[]> {
  for (const [name, members] of Map.groupBy(rows, (row) => row.group)) {
    group(name, () => members.forEach((row) => bench(row.name, row.run)));
  }
  const { benchmarks } = await run({ throw: true });
  return benchmarks.map((each) => each.runs[0]!.stats!);
}

/** Runs each row a few times: cold, too short for its times to mean anything. */
async function smoke(rows: readonly Row[]): Promise<void> {
  const few = { min_samples: 2, min_cpu_time: 0, batch_threshold: 0, samples_threshold: 2 };
  for (const row of rows) {
    const { ticks } = await measure(row.run, few);
    if (!(ticks > 0)) throw new Error(`${row.group}, ${row.name}: did not run`);
  }
  console.log(`${rows.length} rows ran`);
}

/**
 * What reading the heap allocates by itself, in rows so slow that mitata reads it at every call.
 */
async function readingBytes(): Promise<number> {
  const { heap } = await measure(() => do_not_optimize(0), {
    // mitata's own in Deno and Node.
    heap: () => {
      const { used_heap_size, malloced_memory } = getHeapStatistics();
      return used_heap_size + malloced_memory;
    },
    min_samples: 100,
    min_cpu_time: 0,
    batch_threshold: 0,
  });
  return heap!.min;
}

function columns(cells: readonly string[]): string {
  return cells.map((cell, i) => i === 0 ? cell.padEnd(44) : cell.padStart(12)).join("");
}

/**
 * Times rows, and prints microseconds, bytes, multiply-adds a nanosecond and the share of the peak.
 */
export async function runRows(given: readonly Row[]): Promise<void> {
  // In the order of their groups, as mitata runs them.
  const rows = [...Map.groupBy([...peakRows(), ...given], (row) => row.group).values()].flat();
  if (briefly) return await smoke(rows);
  const stats = await whole(rows);
  const reading = await readingBytes();
  const speed = (i: number): number => rows[i]!.macs! / stats[i]!.min;
  const peak = (kernels: Row["kernels"]): number =>
    Math.max(
      ...rows.map((row, i) => row.group === PEAKS && row.kernels === kernels ? speed(i) : 0),
    );
  console.log(`\n${columns(["", "us, median", "bytes", "mul-adds/ns", "% of peak"])}`);
  rows.forEach(({ group, name, macs, kernels }, i) => {
    if (group !== rows[i - 1]?.group) console.log(group);
    const { p50, heap } = stats[i]!;
    const cells = [`  ${name}`, (p50 / 1000).toFixed(2)];
    // A batch divides the reading by its calls; nothing else is less than a byte.
    cells.push(
      heap === undefined
        ? ""
        : String(Math.max(0, Math.round(heap.min >= reading ? heap.min - reading : heap.min))),
    );
    if (macs !== undefined) {
      cells.push(speed(i).toFixed(2), (100 * speed(i) / peak(kernels ?? "portable")).toFixed(0));
    }
    console.log(columns(cells));
  });
}
