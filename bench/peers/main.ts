/**
 * Measures splitgate and its peers in one run, in Deno, Node and Bun, and in Pythons: one of the
 * bench's own with what PyPI has (ncnn, LiteRT), and any that has PyTorch.
 *
 * `deno task bench:peers` writes bench/results/peers.{json,md,svg}; a run that is narrowed prints its
 * report only.
 *
 * - `--problem lstm|model|gru`, `--size N`, `--runtime deno|node|bun|python`, `--peer TEXT`: narrow a
 *   run to these (each may be given more than once), to peers whose name has the text.
 * - `--quick`: 64 units only, in two or three minutes.
 * - `--smoke`: the smallest size of each problem, a few seconds, with what is installed, nothing
 *   fetched.
 * - `--python PATH`: a Python with torch; may be given more than once. Also SPLITGATE_PYTHON, paths
 *   separated as in PATH.
 * - `--rounds N`, `--milliseconds N`: how often, and how long each time, a cell is measured.
 *
 * @module
 */
import { delimiter, join } from "node:path";
import { readArguments } from "../../scripts/arguments.ts";
import { writeFile } from "../../scripts/write_file.ts";
import { BUN } from "../../tests/runtimes/install.ts";
import { machine } from "../machine.ts";
import { Child } from "./child.ts";
import {
  hasPythonPeers,
  HERE,
  installPeers,
  installPythonPeers,
  PYTHON,
  succeeds,
} from "./install.ts";
import { median, type Timing } from "./measure.ts";
import { type Mode, MODES } from "./peer.ts";
import {
  createProblem,
  fileName,
  KINDS,
  problemFile,
  type ProblemKind,
  PROBLEMS,
  STEPS,
} from "./problem.ts";
import type { Loaded, Ready } from "./protocol.ts";
import { markdown, PORTABLE, type Row, type Run } from "./report.ts";

const RESULTS = join(HERE, "..", "results");
const WORKER = join(HERE, "worker.ts");

/** What could not be measured: a peer (or several, or a whole runtime), why, and where. */
class Absent {
  readonly #notes: { readonly what: string; readonly why: string; readonly runtime: string }[] = [];

  /** Notes something absent in a runtime. */
  add(what: string, why: string, runtime: string): void {
    this.#notes.push({ what, why, runtime });
  }

  /**
   * One line for what is absent for the same reason in the same runtimes; none for a peer that was
   * measured there.
   */
  lines(rows: readonly Row[]): string[] {
    const notes = this.#notes.filter(({ what, runtime }) =>
      !rows.some((row) => row.peer === what && row.runtime === runtime)
    );
    const things = [...Map.groupBy(notes, ({ what, why }) => `${what}\n${why}`).values()].map((
      group,
    ) => ({
      what: group[0]!.what,
      rest: `${group[0]!.why} (${[...new Set(group.map(({ runtime }) => runtime))].join(", ")})`,
    }));
    return [...Map.groupBy(things, ({ rest }) => rest)].map(([rest, group]) =>
      `${group.map(({ what }) => what).join(", ")}: ${rest}`
    );
  }
}

/** The commands of the runtimes at hand, and what is not. */
async function runtimes(smoke: boolean, absent: Absent): Promise<Map<string, readonly string[]>> {
  const found = new Map<string, readonly string[]>();
  found.set("deno", [Deno.execPath(), "run", "-A", "--no-lock", "--quiet", WORKER]);
  // Node 20 reads no TypeScript.
  const bundle = join(HERE, "node_modules", ".cache", "splitgate", "worker.mjs");
  const esbuild = join(HERE, "node_modules", "esbuild", "bin", "esbuild");
  const flags = [
    "--bundle",
    "--format=esm",
    "--platform=node",
    "--packages=external",
    "--log-level=error",
  ];
  if (await succeeds(["node", esbuild, WORKER, ...flags, `--outfile=${bundle}`])) {
    found.set("node", ["node", bundle]);
  } else absent.add("all", "no node, or esbuild is not installed", "node");
  for (const bun of smoke ? [["bun"]] : [["bun"], ["npx", "-y", BUN]]) {
    if (found.has("bun") || !await succeeds([...bun, "--version"])) continue;
    // Without the flag Bun fetches what is not installed.
    found.set("bun", [...bun, "--no-install", WORKER]);
  }
  if (!found.has("bun")) absent.add("all", "no bun", "bun");
  return found;
}

/** A peer at a problem and in a mode, and the child that runs it. */
interface Cell {
  readonly child: Child;
  readonly peer: string;
  readonly problem: ProblemKind;
  readonly size: number;
  readonly mode: Mode;
  readonly error: number;
  readonly timings: Timing[];
}

/** What is measured. */
interface Plan {
  readonly sizes: ReadonlyMap<ProblemKind, readonly number[]>;
  readonly rounds: number;
  readonly milliseconds: number;
  /** Whether a peer of this name is measured. */
  readonly wants: (peer: string) => boolean;
}

/** How much longer than a round's a cell's warm-up is. */
const WARM_UP_ROUNDS = 4;

/** The peers that the children can run, checked against the reference and warm. */
async function prepareCells(
  children: readonly Child[],
  { sizes, milliseconds, wants }: Plan,
  about: string[],
  absent: Absent,
): Promise<Cell[]> {
  const cells: Cell[] = [];
  for (const child of children) {
    const loaded = await child.ask<Loaded>({ op: "load" });
    if ("failed" in loaded) {
      absent.add("all", loaded.failed, child.runtime);
      continue;
    }
    about.push(`${child.runtime} ${loaded.version}`);
    for (const { peer, reason } of loaded.missing) {
      if (wants(peer)) absent.add(peer, reason, child.runtime);
    }
    for (const { name: peer, problems } of loaded.peers) {
      // Two Pythons may have the same peer.
      const measured = cells.some((cell) =>
        cell.peer === peer && cell.child !== child && cell.child.runtime === child.runtime
      );
      if (measured || !wants(peer)) continue;
      for (const problem of problems) {
        for (const size of sizes.get(problem) ?? []) {
          const ready = await child.ask<Ready>({
            op: "prepare",
            peer,
            problem,
            size,
            milliseconds: WARM_UP_ROUNDS * milliseconds,
          });
          if ("failed" in ready) {
            absent.add(`${peer}, ${problem} ${size}`, ready.failed, child.runtime);
            continue;
          }
          for (const mode of MODES) {
            const error = ready.errors[mode];
            if (error === undefined) continue;
            cells.push({ child, peer, problem, size, mode, error, timings: [] });
          }
        }
      }
    }
    console.error(`${child.runtime}: ready`);
  }
  return cells;
}

/**
 * One round: cells of a problem and mode follow one another whatever process they are in, so that a
 * slow spell of the machine meets all that are compared; each round starts with another.
 */
async function measureRound(
  cells: readonly Cell[],
  round: number,
  milliseconds: number,
  absent: Absent,
) {
  const groups = Map.groupBy(cells, ({ problem, size, mode }) => `${problem} ${size} ${mode}`);
  for (const group of groups.values()) {
    for (let i = 0; i < group.length; i++) {
      const { child, peer, problem, size, mode, timings } = group[(i + round) % group.length]!;
      const request = { op: "measure", peer, problem, size, mode, milliseconds } as const;
      const timing = await child.ask<Timing>(request);
      if ("failed" in timing) {
        absent.add(`${peer}, ${problem} ${size}, ${mode}`, timing.failed, child.runtime);
      } else timings.push(timing);
    }
  }
}

function toRow({ child, peer, problem, size, mode, error, timings }: Cell): Row {
  const steps = mode === "stream" ? 1 : STEPS;
  const perStep = (micros: number[]) => Number((median(micros) / steps).toPrecision(4));
  return {
    problem,
    peer,
    runtime: child.runtime,
    mode,
    size,
    microsPerStep: perStep(timings.map((t) => t.micros)),
    p99: perStep(timings.map((t) => t.p99)),
    error: Number(error.toPrecision(3)),
    rounds: timings.length,
  };
}

/** Writes the problems for the peers in Python, and what these write for the peers in JavaScript. */
async function writeProblems(
  folder: string,
  { sizes }: Plan,
  pythons: readonly string[],
): Promise<void> {
  for (const [kind, all] of sizes) {
    for (const size of all) {
      const { description, bytes } = problemFile(createProblem(kind, size));
      const path = join(folder, fileName(kind, size));
      await Deno.writeTextFile(`${path}.json`, description);
      await Deno.writeFile(`${path}.f32`, bytes);
    }
  }
  for (const python of pythons) {
    if (await succeeds([python, "-B", join(HERE, "write_tflite.py"), folder])) return;
  }
}

/** Starts the children: the runtimes', and one for each Python. */
function startChildren(
  folder: string,
  commands: ReadonlyMap<string, readonly string[]>,
  pythons: readonly string[],
): Child[] {
  const script = join(HERE, "worker.py");
  return [
    ...[...commands].map(([runtime, command]) => new Child(runtime, [...command, folder])),
    ...pythons.map((python) => new Child("python", [python, "-B", script, folder])),
  ];
}

const USAGE = "deno task bench:peers [--quick | --smoke] [--python PATH]... " +
  "[--problem lstm|model|gru]... [--size N]... [--runtime deno|node|bun|python]... " +
  "[--peer TEXT]... [--rounds N] [--milliseconds N]";

const RUNTIMES = ["deno", "node", "bun", "python"];

function checkAll(name: string, given: readonly string[], known: readonly string[]): void {
  for (const value of given) {
    if (!known.includes(value)) {
      throw new RangeError(`--${name}: expected one of ${known.join(", ")}, got ${value}`);
    }
  }
}

async function main(): Promise<void> {
  const { values } = readArguments(USAGE, {
    quick: { type: "boolean", default: false },
    smoke: { type: "boolean", default: false },
    python: { type: "string", multiple: true },
    problem: { type: "string", multiple: true },
    size: { type: "string", multiple: true },
    runtime: { type: "string", multiple: true },
    peer: { type: "string", multiple: true },
    rounds: { type: "string" },
    milliseconds: { type: "string" },
  });
  const { quick, smoke } = values;
  const amount = (name: "rounds" | "milliseconds", otherwise: number): number => {
    const value = values[name] === undefined ? otherwise : Number(values[name]);
    if (!(Number.isInteger(value) && value > 0)) {
      throw new RangeError(`--${name}: expected a positive integer, got ${values[name]}`);
    }
    return value;
  };
  checkAll("problem", values.problem ?? [], KINDS);
  checkAll("runtime", values.runtime ?? [], RUNTIMES);
  const known = [...new Set(KINDS.flatMap((kind) => PROBLEMS[kind].sizes))];
  checkAll("size", values.size ?? [], known.map(String));
  const sizesOf = (kind: ProblemKind): readonly number[] => {
    const { sizes } = PROBLEMS[kind];
    if (values.size !== undefined) return sizes.filter((size) => values.size!.includes(`${size}`));
    return smoke ? sizes.slice(0, 1) : quick ? [64] : sizes;
  };
  const kinds = KINDS.filter((kind) => values.problem?.includes(kind) ?? true);
  const plan: Plan = {
    sizes: new Map(kinds.map((kind) => [kind, sizesOf(kind)])),
    rounds: amount("rounds", smoke ? 1 : quick ? 3 : 5),
    milliseconds: amount("milliseconds", smoke ? 4 : 40),
    wants: (peer) => values.peer?.some((text) => peer.includes(text)) ?? true,
  };
  const { problem, size, runtime, peer } = values;
  const narrowed = quick || smoke ||
    [problem, size, runtime, peer].some((given) => given !== undefined);
  const inRuntime = (name: string) => runtime?.includes(name) ?? true;
  const given = values.python ??
    Deno.env.get("SPLITGATE_PYTHON")?.split(delimiter).filter((path) => path !== "") ?? [];

  const load = Deno.loadavg()[0]!;
  const absent = new Absent();
  if (!smoke) await installPeers();
  const pythons: string[] = [];
  if (await (smoke ? hasPythonPeers : installPythonPeers)()) pythons.push(PYTHON);
  else absent.add("ncnn, LiteRT and LiteRT.js", "not installed", "python");
  for (const python of given) {
    if (await succeeds([python, "--version"])) pythons.push(python);
    else absent.add("PyTorch", `no Python at ${python}`, "python");
  }
  if (given.length === 0) absent.add("PyTorch", "no Python with torch was given", "python");
  const commands = new Map([...await runtimes(smoke, absent)].filter(([name]) => inRuntime(name)));
  const folder = await Deno.makeTempDir();
  const children: Child[] = [];
  try {
    await writeProblems(folder, plan, pythons);
    children.push(...startChildren(folder, commands, inRuntime("python") ? pythons : []));
    const about: string[] = [];
    const cells = await prepareCells(children, plan, about, absent);
    for (let round = 0; round < plan.rounds; round++) {
      await measureRound(cells, round, plan.milliseconds, absent);
      console.error(`round ${round + 1} of ${plan.rounds}`);
    }
    const rows = cells.filter((cell) => cell.timings.length > 0).map(toRow);
    rows.sort((a, b) =>
      KINDS.indexOf(a.problem) - KINDS.indexOf(b.problem) ||
      MODES.indexOf(a.mode) - MODES.indexOf(b.mode)
    );
    // Over 1 before, or much over 1 after, others were at work and every figure is too large.
    const loads = `load ${load.toFixed(1)} before, ${Deno.loadavg()[0]!.toFixed(1)} after`;
    const run: Run = {
      about: [`${machine()}, ${loads}`, ...about],
      rows,
      missing: absent.lines(rows),
    };
    const report = markdown(run);
    console.log(report);
    if (plan.wants(PORTABLE) && commands.size > 0) checkMeasured(plan, rows);
    if (narrowed) return;
    await Deno.mkdir(RESULTS, { recursive: true });
    await writeFile(join(RESULTS, "peers.json"), JSON.stringify(run, null, 1) + "\n");
    await writeFile(join(RESULTS, "peers.md"), report);
    await writeFile(
      join(RESULTS, "peers.svg"),
      await (await import("./chart.ts")).chart(rows.filter(({ problem }) => problem === "lstm")),
    );
  } finally {
    for (const child of children) await child.close();
    await Deno.remove(folder, { recursive: true });
  }
}

/** Fails where splitgate itself has no row for something that was to be measured. */
function checkMeasured({ sizes }: Plan, rows: readonly Row[]): void {
  for (const [kind, all] of sizes) {
    for (const size of all) {
      const measured = rows.some(({ peer, problem, size: of }) =>
        peer === PORTABLE && problem === kind && of === size
      );
      if (!measured) throw new Error(`splitgate itself could not be measured: ${kind} ${size}`);
    }
  }
}

await main();
