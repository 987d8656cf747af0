/**
 * The results as markdown.
 *
 * @module
 */
import { type Mode, MODES } from "./peer.ts";

/** One row of results. */
export interface Row {
  readonly peer: string;
  readonly runtime: string;
  readonly mode: Mode;
  /** Input and hidden size. */
  readonly size: number;
  /** Median over the rounds of each round's median call, by step. */
  readonly microsPerStep: number;
  /** Median over the rounds of each round's 99th percentile, by step. */
  readonly p99: number;
  readonly rounds: number;
}

/** What a run was. */
export interface Run {
  readonly rows: readonly Row[];
  /** Versions by runtime, and the machine. */
  readonly about: readonly string[];
  /** Largest error against the float64 reference, by peer. */
  readonly errors: ReadonlyMap<string, number>;
  /** Rows that are absent, and why. */
  readonly missing: readonly string[];
}

/** The name that splitgate's own rows begin with. */
export const OWN = "splitgate";

/**
 * splitgate's own rows: the two that peers are compared with, and the portable one's other form.
 */
export const PORTABLE = `${OWN} portable`;
export const SIMD = `${OWN} simd`;
export const FUSED = `${PORTABLE} fused`;

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

function find(
  rows: readonly Row[],
  peer: string,
  runtime: string,
  mode: Mode,
  size: number,
): Row | undefined {
  return rows.find((r) =>
    r.peer === peer && r.runtime === runtime && r.mode === mode &&
    r.size === size
  );
}

/** Pairs of peer and runtime that have a row of the mode. */
function series(rows: readonly Row[], mode: Mode): { peer: string; runtime: string }[] {
  const keys = unique(rows.filter((r) => r.mode === mode).map((r) => `${r.peer}\n${r.runtime}`));
  return keys.map((key) => ({ peer: key.split("\n")[0]!, runtime: key.split("\n")[1]! }));
}

function times({ rows, errors }: Run, mode: Mode, sizes: readonly number[]): string {
  return table(
    ["peer", "runtime", ...sizes.map(String), "largest error"],
    series(rows, mode).map(({ peer, runtime }) => [
      peer,
      runtime,
      ...sizes.map((size) => {
        const row = find(rows, peer, runtime, mode, size);
        return row === undefined ? "" : `${number(row.microsPerStep)} (${number(row.p99)})`;
      }),
      errors.get(peer)?.toExponential(1) ?? "",
    ]),
  );
}

/**
 * How many times faster splitgate is than each peer: in the peer's runtime, or where that has no
 * splitgate, in Deno.
 */
function ratios({ rows }: Run, mode: Mode, sizes: readonly number[]): string {
  const all = series(rows, mode);
  const own = [PORTABLE, SIMD].filter((name) => all.some(({ peer }) => peer === name));
  return table(
    [
      "peer",
      "runtime",
      ...own.flatMap((name) => sizes.map((size) => `${name.slice(OWN.length + 1)} ${size}`)),
    ],
    all.filter(({ peer }) => !peer.startsWith(OWN)).map(({ peer, runtime }) => [
      peer,
      runtime,
      ...own.flatMap((name) =>
        sizes.map((size) => {
          const theirs = find(rows, peer, runtime, mode, size);
          const ours = find(rows, name, runtime, mode, size) ??
            find(rows, name, "deno", mode, size);
          return theirs === undefined || ours === undefined
            ? ""
            : number(theirs.microsPerStep / ours.microsPerStep);
        })
      ),
    ]),
  );
}

/** What split gates take of the time of fused ones, by runtime. */
function splitAgainstFused({ rows }: Run, sizes: readonly number[]): string {
  const runtimes = unique(rows.filter(({ peer }) => peer === FUSED).map(({ runtime }) => runtime));
  return table(
    ["kernels", "runtime", ...MODES.flatMap((mode) => sizes.map((size) => `${mode} ${size}`))],
    runtimes.map((runtime) => [
      "portable",
      runtime,
      ...MODES.flatMap((mode) =>
        sizes.map((size) => {
          const [split, fused] = [PORTABLE, FUSED].map((peer) =>
            find(rows, peer, runtime, mode, size)?.microsPerStep
          );
          return split === undefined || fused === undefined ? "" : (split / fused).toFixed(3);
        })
      ),
    ]),
  );
}

/**
 * Each peer in Deno, or where it does not run there, in the first runtime that it runs in: both
 * modes, medians only.
 */
function summary({ rows }: Run, sizes: readonly number[]): string {
  const peers = unique(rows.map((r) => r.peer)).map((peer) => {
    const all = rows.filter((r) => r.peer === peer);
    return { peer, runtime: (all.find((r) => r.runtime === "deno") ?? all[0]!).runtime };
  });
  return table(
    ["peer", "runtime", ...MODES.flatMap((mode) => sizes.map((size) => `${mode} ${size}`))],
    peers.map(({ peer, runtime }) => [
      peer,
      runtime,
      ...MODES.flatMap((mode) =>
        sizes.map((size) => {
          const row = find(rows, peer, runtime, mode, size);
          return row === undefined ? "" : number(row.microsPerStep);
        })
      ),
    ]),
  );
}

/** The whole report. */
export function markdown(run: Run): string {
  const sizes = unique(run.rows.map((r) => r.size)).sort((a, b) => a - b);
  const rounds = run.rows.reduce((max, r) => Math.max(max, r.rounds), 0);
  const titles: Record<Mode, string> = {
    stream: "Streaming: one step a call, the state carried",
    sequence: "Sequence: 100 steps in one call",
  };
  const sections = MODES.flatMap((mode) => [
    `## ${titles[mode]}`,
    `Microseconds a step, median (99th percentile), by input and hidden size.`,
    times(run, mode, sizes),
    `How many times faster splitgate is in the same runtime (in Deno, for a peer that runs in Python).`,
    ratios(run, mode, sizes),
  ]);
  return [
    "# splitgate and its peers",
    "One LSTM layer, batch 1, one thread, measured in one run by `deno task bench:peers`. " +
    `Every peer's outputs are checked against a float64 LSTM first. ${rounds} round${
      rounds === 1 ? "" : "s"
    } over all peers and runtimes in ` +
    "turn; a cell is the median of the rounds' medians. splitgate takes and gives reals (quantizing and dequantizing " +
    "is in its time) in PyTorch's exact 8-bit arithmetic, fbgemm's preset unless a row names another, with split gates " +
    "unless a row says fused; " +
    "LiteRT takes and gives integers.",
    run.about.map((line) => `- ${line}`).join("\n"),
    "## In short",
    "Microseconds a step by input and hidden size: one step a call with the state carried (stream), and 100 steps in " +
    "one call (sequence).",
    summary(run, sizes),
    ...sections,
    "## Split against fused",
    "What split gates take of the time of fused ones. The SIMD kernels have one form for both.",
    splitAgainstFused(run, sizes),
    ...(run.missing.length === 0
      ? []
      : ["## Absent", run.missing.map((line) => `- ${line}`).join("\n")]),
  ].join("\n\n") + "\n";
}
