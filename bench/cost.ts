/**
 * What steps cost by their number, by layers and by weights, on the portable and the SIMD kernels:
 * all points in turn, round after round, their medians, and a line fitted through them.
 *
 *     deno task bench:cost [--record]     prints the lines; --record writes bench/results/cost.{json,svg}
 *     deno task bench:cost --smoke        every point once, briefly
 *
 * @module
 */
import type { QuantizedModel, SessionOptions } from "../mod.ts";
import { readArguments } from "../scripts/arguments.ts";
import { writeFile } from "../scripts/write_file.ts";
import { type SimdKernels, simdKernels, SimdUnavailableError } from "../simd.ts";
import { fitLine, type Line } from "./fit.ts";
import { machine } from "./machine.ts";
import { lstmModel, realsOf, STEPS } from "./models.ts";
import { median } from "./peers/measure.ts";

/** What varies, and what is measured. */
interface Panel {
  readonly title: string;
  readonly xTitle: string;
  readonly yTitle: string;
  readonly points: readonly Point[];
}

interface Point {
  readonly x: number;
  readonly input: number;
  readonly hidden: number;
  readonly layers: number;
  readonly steps: number;
  /** What the time of a call is divided by. */
  readonly per: number;
}

const one = { input: 64, hidden: 64, layers: 1, steps: STEPS };

/** Input and hidden sizes, equal and unequal, so that neither alone is what the cost goes by. */
const SIZES = [
  [32, 32],
  [128, 32],
  [32, 64],
  [64, 64],
  [192, 64],
  [64, 96],
  [128, 128],
  [256, 128],
  [64, 192],
]
  .concat([[128, 192], [256, 192], [64, 256], [192, 256], [256, 256]]);

const PANELS: readonly Panel[] = [
  {
    title: "Steps: one call, a layer of 64",
    xTitle: "steps of a call",
    yTitle: "microseconds a call",
    points: [25, 50, 100, 200, 400, 600, 800].map((steps) => ({ ...one, x: steps, steps, per: 1 })),
  },
  {
    title: "Layers of 64",
    xTitle: "layers",
    yTitle: "microseconds a step",
    points: [1, 2, 3, 4, 5, 6].map((layers) => ({ ...one, x: layers, layers, per: STEPS })),
  },
  {
    title: "Weights: 4 · hidden · (input + hidden)",
    xTitle: "thousands of weights",
    yTitle: "microseconds a step",
    points: SIZES.map(([input, hidden]) => ({
      ...one,
      x: 4 * hidden! * (input! + hidden!) / 1000,
      input: input!,
      hidden: hidden!,
      per: STEPS,
    })),
  },
];

/** A line of a panel: what was measured on some kernels, and what was fitted. */
export interface CostLine extends Line {
  readonly panel: string;
  readonly xTitle: string;
  readonly yTitle: string;
  readonly kernels: string;
  readonly points: readonly {
    readonly x: number;
    readonly y: number;
    readonly input: number;
    readonly hidden: number;
  }[];
}

/** All that is recorded. */
export interface Cost {
  readonly machine: string;
  readonly runtime: string;
  readonly rounds: number;
  readonly lines: readonly CostLine[];
}

interface Task {
  readonly panel: Panel;
  readonly kernels: string;
  readonly point: Point;
  readonly run: () => void;
  /** Calls of a round. */
  readonly calls: number;
  readonly micros: number[];
}

const models = new Map<string, QuantizedModel>();

function modelOf({ input, hidden, layers }: Point): QuantizedModel {
  const key = `${input} ${hidden} ${layers}`;
  const model = models.get(key) ?? lstmModel(hidden, { inputSize: input, layers });
  models.set(key, model);
  return model;
}

function createTask(
  panel: Panel,
  point: Point,
  kernels: SessionOptions["kernels"],
  milliseconds: number,
): Task {
  const { input, hidden, steps } = point;
  const session = modelOf(point).createSession({ kernels, maxSteps: steps });
  const x = realsOf(steps, input);
  const y = new Float32Array(steps * hidden);
  const run = () => session.run(x, y);
  // Warm, and as many calls as fill the round's time.
  let calls = 0;
  for (
    const end = performance.now() + 5 * milliseconds;
    calls === 0 || performance.now() < end;
    calls++
  ) run();
  return {
    panel,
    kernels: kernels?.name ?? "portable",
    point,
    run,
    calls: Math.ceil(calls / 5),
    micros: [],
  };
}

function measureRound(tasks: readonly Task[], round: number): void {
  tasks.forEach((_, i) => {
    const { run, calls, micros, point } = tasks[(i + round) % tasks.length]!;
    const start = performance.now();
    for (let call = 0; call < calls; call++) run();
    micros.push((performance.now() - start) * 1000 / calls / point.per);
  });
}

function linesOf(tasks: readonly Task[]): CostLine[] {
  return PANELS.flatMap((panel) =>
    [...Map.groupBy(tasks.filter((task) => task.panel === panel), ({ kernels }) => kernels)].map(
      ([kernels, group]) => {
        const points = group.map(({ point: { x, input, hidden }, micros }) => ({
          x,
          y: Number(median(micros).toPrecision(4)),
          input,
          hidden,
        }));
        const { title, xTitle, yTitle } = panel;
        return { panel: title, xTitle, yTitle, kernels, points, ...fitLine(points) };
      },
    )
  );
}

/** A panel for each thing that varies; dots are medians, lines the fits. */
export async function chart(lines: readonly CostLine[]): Promise<string> {
  const { svgOf } = await import("./svg.ts");
  const color = {
    field: "kernels",
    type: "nominal",
    scale: { domain: ["portable", "simd"], range: ["#2a6fbb", "#d9720f"] },
    legend: { title: null, orient: "top" },
  } as const;
  return await svgOf({
    hconcat: [...Map.groupBy(lines, ({ panel }) => panel)].map(([panel, group]) => {
      const x = { field: "x", type: "quantitative", title: group[0]!.xTitle } as const;
      const y = { field: "y", type: "quantitative", title: group[0]!.yTitle } as const;
      const ends = group.flatMap(({ kernels, slope, intercept, points }) => {
        const xs = points.map((point) => point.x);
        return [Math.min(...xs), Math.max(...xs)].map((x) => ({
          kernels,
          x,
          y: intercept + slope * x,
        }));
      });
      return {
        title: panel,
        width: 250,
        height: 220,
        layer: [
          {
            data: { values: ends },
            mark: { type: "line", strokeWidth: 1.5 },
            encoding: { x, y, color },
          },
          {
            data: {
              values: group.flatMap(({ kernels, points }) =>
                points.map((point) => ({ kernels, ...point }))
              ),
            },
            mark: { type: "point", filled: true, size: 45 },
            encoding: { x, y, color, shape: { field: "kernels", type: "nominal", legend: null } },
          },
        ],
      };
    }),
    config: { axis: { gridColor: "#e4e4e4" } },
  });
}

async function main(): Promise<void> {
  const { record, smoke } = readArguments("deno task bench:cost [--record | --smoke]", {
    record: { type: "boolean", default: false },
    smoke: { type: "boolean", default: false },
  }).values;
  if (record && smoke) throw new TypeError("--record and --smoke exclude each other");
  const rounds = smoke ? 1 : 41;
  const milliseconds = smoke ? 0 : 4;
  const kernels: (SimdKernels | undefined)[] = [undefined];
  try {
    kernels.push(await simdKernels());
  } catch (error) {
    if (!(error instanceof SimdUnavailableError)) throw error;
    console.error(`portable only: ${error.message}`);
  }
  const tasks = PANELS.flatMap((panel) =>
    kernels.flatMap((each) =>
      panel.points.map((point) => createTask(panel, point, each, milliseconds))
    )
  );
  for (let round = 0; round < rounds; round++) measureRound(tasks, round);
  const lines = linesOf(tasks);
  for (
    const { panel, kernels, slope, intercept, rSquared, largestDeviation, xTitle, yTitle, points }
      of lines
  ) {
    console.log(
      `${panel}, ${kernels}: ${yTitle} = ${intercept.toFixed(2)} + ${slope.toFixed(3)} * ${xTitle}`,
    );
    console.log(
      `  r² ${rSquared.toFixed(5)}, no point further from it than ${
        (100 * largestDeviation).toFixed(1)
      } %`,
    );
    console.log(`  ${points.map(({ x, y }) => `${x}: ${y}`).join(", ")}`);
  }
  if (!record) return;
  const cost: Cost = { machine: machine(), runtime: `deno ${Deno.version.deno}`, rounds, lines };
  const folder = new URL("results/", import.meta.url);
  await writeFile(new URL("cost.json", folder), `${JSON.stringify(cost, null, 1)}\n`);
  await writeFile(new URL("cost.svg", folder), await chart(lines));
}

if (import.meta.main) await main();
