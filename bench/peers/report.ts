/**
 * The results as markdown.
 *
 * @module
 */
import { type Mode, MODES } from "./peer.ts";
import { KINDS, type ProblemKind, PROBLEMS } from "./problem.ts";

/** One row of results. */
export interface Row {
  readonly problem: ProblemKind;
  readonly peer: string;
  readonly runtime: string;
  readonly mode: Mode;
  /** Hidden size. */
  readonly size: number;
  /** Median over the rounds of each round's median call, by step. */
  readonly microsPerStep: number;
  /** Median over the rounds of each round's 99th percentile, by step. */
  readonly p99: number;
  /** Largest error of an output against the float64 reference. */
  readonly error: number;
  readonly rounds: number;
}

/** What bench/results/peers.json has of a run. */
export interface Run {
  /** Versions by runtime, and the machine and its load. */
  readonly about: readonly string[];
  readonly rows: readonly Row[];
  /** Rows that are absent, and why. */
  readonly missing: readonly string[];
}

/** The name that splitgate's own rows begin with. */
export const OWN = "splitgate";

/** The name of splitgate's own rows. */
export const ownName = (kernels: "portable" | "simd", preset: string): string =>
  `${OWN} ${kernels} ${preset}`;

/** The rows that peers are compared with: the recommended preset's. */
export const PORTABLE: string = ownName("portable", "accurate");
export const SIMD: string = ownName("simd", "accurate");

/** Split gates and fused ones, on kernels that have both. */
export const SPLIT: string = ownName("portable", "fbgemm");
export const FUSED = `${SPLIT} fused`;

function number(value: number): string {
  return value < 10 ? value.toFixed(2) : value < 100 ? value.toFixed(1) : value.toFixed(0);
}

function unique<T>(values: Iterable<T>): T[] {
  return [...new Set(values)];
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.join(" | ")} |`;
  return [line(head), line(head.map((_, i) => i < 2 ? "---" : "---:")), ...rows.map(line)].join(
    "\n",
  );
}

/** A peer in a runtime. */
interface Series {
  readonly peer: string;
  readonly runtime: string;
  readonly rows: readonly Row[];
}

function seriesOf(rows: readonly Row[]): Series[] {
  return [...Map.groupBy(rows, ({ peer, runtime }) => `${peer}\n${runtime}`).values()].map((
    group,
  ) => ({ peer: group[0]!.peer, runtime: group[0]!.runtime, rows: group }));
}

const sizesOf = (rows: readonly Row[]): number[] =>
  unique(rows.map(({ size }) => size)).sort((a, b) => a - b);

const find = ({ rows }: Series, mode: Mode, size: number): Row | undefined =>
  rows.find((row) => row.mode === mode && row.size === size);

const largestError = ({ rows }: Series): string =>
  rows.reduce((max, { error }) => Math.max(max, error), 0).toExponential(1);

/** Each peer's times and errors, in each runtime. */
function times(rows: readonly Row[], mode: Mode): string {
  const sizes = sizesOf(rows);
  return table(
    ["peer", "runtime", ...sizes.map(String), "largest error"],
    seriesOf(rows.filter((row) => row.mode === mode)).map((series) => [
      series.peer,
      series.runtime,
      ...sizes.map((size) => {
        const row = find(series, mode, size);
        return row === undefined ? "" : `${number(row.microsPerStep)} (${number(row.p99)})`;
      }),
      largestError(series),
    ]),
  );
}

/**
 * How many times faster splitgate's recommended preset is than each peer: in the peer's runtime, or
 * where that has no splitgate, in Deno.
 */
function ratios(rows: readonly Row[], mode: Mode): string {
  const sizes = sizesOf(rows);
  const all = seriesOf(rows.filter((row) => row.mode === mode));
  const own = [PORTABLE, SIMD].filter((name) => all.some(({ peer }) => peer === name));
  const ours = (peer: string, runtime: string) =>
    all.find((series) => series.peer === peer && series.runtime === runtime);
  return table(
    [
      "peer",
      "runtime",
      ...own.flatMap((name) => sizes.map((size) => `${name.split(" ")[1]} ${size}`)),
    ],
    all.filter(({ peer }) => !peer.startsWith(OWN)).map((series) => [
      series.peer,
      series.runtime,
      ...own.flatMap((name) => {
        const compared = ours(name, series.runtime) ?? ours(name, "deno");
        return sizes.map((size) => {
          const row = find(series, mode, size);
          const other = compared && find(compared, mode, size);
          return row === undefined || other === undefined
            ? ""
            : number(row.microsPerStep / other.microsPerStep);
        });
      }),
    ]),
  );
}

/** What split gates take of the time of fused ones, by runtime. */
function splitAgainstFused(rows: readonly Row[]): string {
  const sizes = sizesOf(rows);
  const all = seriesOf(rows);
  return table(
    ["kernels", "runtime", ...MODES.flatMap((mode) => sizes.map((size) => `${mode} ${size}`))],
    all.filter(({ peer }) => peer === FUSED).map((fused) => {
      const split = all.find(({ peer, runtime }) => peer === SPLIT && runtime === fused.runtime);
      return [
        "portable",
        fused.runtime,
        ...MODES.flatMap((mode) =>
          sizes.map((size) => {
            const ours = split && find(split, mode, size)?.microsPerStep;
            const other = find(fused, mode, size)?.microsPerStep;
            return ours === undefined || other === undefined ? "" : (ours / other).toFixed(3);
          })
        ),
      ];
    }),
  );
}

/**
 * Each peer in Deno, or where it does not run there, in the first runtime that it runs in: both
 * modes, medians only, and the largest error.
 *
 * @param shown Which peers, and in which order; all, as they were measured, where nothing is said.
 */
export function summary(rows: readonly Row[], shown?: readonly string[]): string {
  const all = seriesOf(rows);
  const sizes = sizesOf(rows);
  const peers = (shown ?? unique(rows.map(({ peer }) => peer))).flatMap((name) =>
    all.find(({ peer, runtime }) => peer === name && runtime === "deno") ??
      all.find(({ peer }) => peer === name) ?? []
  );
  return table(
    [
      "peer",
      "runtime",
      ...MODES.flatMap((mode) => sizes.map((size) => `${mode} ${size}`)),
      "largest error",
    ],
    peers.map((series) => [
      series.peer,
      series.runtime,
      ...MODES.flatMap((mode) =>
        sizes.map((size) => {
          const row = find(series, mode, size);
          return row === undefined ? "" : number(row.microsPerStep);
        })
      ),
      largestError(series),
    ]),
  );
}

/** What the columns of a summary are. */
export const COLUMNS = "Microseconds a step by hidden size: one step a call with the state " +
  "carried (stream), and 100 steps in one call (sequence).";

/** The kinds of problems that were measured, each with its rows. */
export function byProblem(rows: readonly Row[]): { title: string; rows: readonly Row[] }[] {
  return KINDS.map((kind) => ({
    title: PROBLEMS[kind].title,
    rows: rows.filter(({ problem }) => problem === kind),
  })).filter(({ rows }) => rows.length > 0);
}

/** The whole report. */
export function markdown({ rows, about, missing }: Run): string {
  const rounds = rows.reduce((max, r) => Math.max(max, r.rounds), 0);
  const titles: Record<Mode, string> = {
    stream: "Streaming: one step a call, the state carried",
    sequence: "Sequence: 100 steps in one call",
  };
  const sections = byProblem(rows).flatMap(({ title, rows }) => [
    `## ${title}`,
    COLUMNS,
    summary(rows),
    ...MODES.flatMap((mode) => [
      `### ${titles[mode]}`,
      "Microseconds a step, median (99th percentile), by hidden size.",
      times(rows, mode),
      "How many times faster splitgate is, by its recommended preset, in the same runtime (in Deno, " +
      "for a peer that runs in Python).",
      ratios(rows, mode),
    ]),
    ...(rows.some(({ peer }) => peer === FUSED)
      ? [
        "### Split against fused",
        "What split gates take of the time of fused ones, in the portable kernels.",
        splitAgainstFused(rows),
      ]
      : []),
  ]);
  return [
    "# splitgate and its peers",
    "Batch 1, one thread, measured in one run by `deno task bench:peers`. " +
    `Every peer's outputs are checked against the model in float64 first; its largest error stands ` +
    `beside its times. ${rounds} round${rounds === 1 ? "" : "s"} over all peers and runtimes in ` +
    "turn; a cell is the median of the rounds' medians. splitgate takes and gives reals (quantizing " +
    "and dequantizing is in its time), by the preset that a row names, with split gates unless a " +
    "row says fused; native LiteRT takes and gives integers. Rows of Python are native code, driven " +
    "from Python.",
    about.map((line) => `- ${line}`).join("\n"),
    ...sections,
    ...(missing.length === 0 ? [] : ["## Absent", missing.map((line) => `- ${line}`).join("\n")]),
  ].join("\n\n") + "\n";
}
