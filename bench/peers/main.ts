/**
 * Measures splitgate and its peers in one run, in Deno, Node and Bun, and in Pythons that have
 * LiteRT or PyTorch.
 *
 * `deno task bench:peers` writes bench/results/peers.{json,md,svg}.
 *
 * - `--quick`: one size, in under a minute.
 * - `--smoke`: one size, a second or two, with what is installed, nothing fetched and nothing
 *   written.
 * - `--python PATH`: a Python with ai-edge-litert or torch; may be given more than once. Also
 *   SPLITGATE_PYTHON, paths separated as in PATH; python3 where neither is given.
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
import { HERE, installPeers, succeeds } from "./install.ts";
import { median, type Timing } from "./measure.ts";
import { type Mode, MODES } from "./peer.ts";
import { createProblem, problemBytes, SIZES, STEPS } from "./problem.ts";
import type { Loaded, Ready } from "./protocol.ts";
import { markdown, PORTABLE, type Row } from "./report.ts";

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

/** A peer at a size and in a mode, and the child that runs it. */
interface Cell {
  readonly child: Child;
  readonly peer: string;
  readonly size: number;
  readonly mode: Mode;
  readonly timings: Timing[];
}

/** What a report says besides its timings. */
interface Findings {
  /** The machine, and each runtime's version. */
  readonly about: string[];
  /** Each peer's largest difference from the reference. */
  readonly errors: Map<string, number>;
  readonly absent: Absent;
}

/** The peers that the children can run at these sizes, checked against the reference and warm. */
async function prepareCells(
  children: readonly Child[],
  sizes: readonly number[],
  milliseconds: number,
  { about, errors, absent }: Findings,
): Promise<Cell[]> {
  const cells: Cell[] = [];
  for (const child of children) {
    const loaded = await child.ask<Loaded>({ op: "load" });
    if ("failed" in loaded) {
      absent.add("all", loaded.failed, child.runtime);
      continue;
    }
    about.push(`${child.runtime} ${loaded.version}`);
    for (const { peer, reason } of loaded.missing) absent.add(peer, reason, child.runtime);
    for (const peer of loaded.peers) {
      for (const size of sizes) {
        const ready = await child.ask<Ready>({ op: "prepare", peer, size, milliseconds });
        if ("failed" in ready) {
          absent.add(`${peer} at ${size}`, ready.failed, child.runtime);
          continue;
        }
        errors.set(peer, Math.max(errors.get(peer) ?? 0, ready.error));
        for (const mode of ready.modes) cells.push({ child, peer, size, mode, timings: [] });
      }
    }
  }
  return cells;
}

/**
 * One round: cells of a size and mode follow one another whatever process they are in, so that a
 * slow spell of the machine meets all that are compared; each round starts with another.
 */
async function measureRound(
  cells: readonly Cell[],
  round: number,
  milliseconds: number,
  absent: Absent,
) {
  for (const group of Map.groupBy(cells, ({ size, mode }) => `${size} ${mode}`).values()) {
    for (let i = 0; i < group.length; i++) {
      const { child, peer, size, mode, timings } = group[(i + round) % group.length]!;
      const timing = await child.ask<Timing>({ op: "measure", peer, size, mode, milliseconds });
      if ("failed" in timing) {
        absent.add(`${peer} at ${size}, ${mode}`, timing.failed, child.runtime);
      } else timings.push(timing);
    }
  }
}

function toRow({ child, peer, size, mode, timings }: Cell): Row {
  const steps = mode === "stream" ? 1 : STEPS;
  const perStep = (micros: number[]) => Number((median(micros) / steps).toPrecision(4));
  return {
    peer,
    runtime: child.runtime,
    mode,
    size,
    microsPerStep: perStep(timings.map((t) => t.micros)),
    p99: perStep(timings.map((t) => t.p99)),
    rounds: timings.length,
  };
}

async function main(): Promise<void> {
  const usage =
    "deno task bench:peers [--quick | --smoke] [--python PATH]... [--rounds N] [--milliseconds N]";
  const { values } = readArguments(usage, {
    quick: { type: "boolean", default: false },
    smoke: { type: "boolean", default: false },
    python: { type: "string", multiple: true },
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
  const rounds = amount("rounds", smoke ? 1 : quick ? 3 : 7);
  const milliseconds = amount("milliseconds", smoke ? 4 : quick ? 40 : 60);
  const sizes = smoke ? [32] : quick ? [64] : SIZES;
  const given = values.python ??
    Deno.env.get("SPLITGATE_PYTHON")?.split(delimiter).filter((path) => path !== "");
  const pythons = given ?? (smoke ? [] : ["python3"]);

  if (!smoke) await installPeers();
  const absent = new Absent();
  const children: Child[] = [];
  const folder = await Deno.makeTempDir();
  try {
    for (const [runtime, command] of await runtimes(smoke, absent)) {
      children.push(new Child(runtime, command));
    }
    for (const python of pythons) {
      if (await succeeds([python, "--version"])) {
        children.push(new Child("python", [python, "-B", join(HERE, "worker.py"), folder]));
      } else {
        absent.add("LiteRT and PyTorch", `no Python at ${python}`, "python");
      }
    }
    if (pythons.length === 0) absent.add("LiteRT and PyTorch", "no Python was given", "python");
    for (const size of pythons.length === 0 ? [] : sizes) {
      await Deno.writeFile(join(folder, `${size}.f32`), problemBytes(createProblem(size)));
    }
    const about = [machine()];
    const errors = new Map<string, number>();
    const cells = await prepareCells(children, sizes, 4 * milliseconds, { about, errors, absent });
    for (let round = 0; round < rounds; round++) {
      await measureRound(cells, round, milliseconds, absent);
      console.error(`round ${round + 1} of ${rounds}`);
    }
    const rows = cells.filter((cell) => cell.timings.length > 0).map(toRow);
    rows.sort((a, b) => MODES.indexOf(a.mode) - MODES.indexOf(b.mode));
    const report = markdown({ rows, about, errors, missing: absent.lines(rows) });
    console.log(report);
    if (!rows.some((row) => row.peer === PORTABLE)) {
      throw new Error("splitgate itself could not be measured");
    }
    if (smoke) return;
    await Deno.mkdir(RESULTS, { recursive: true });
    await writeFile(join(RESULTS, "peers.json"), JSON.stringify(rows, null, 1) + "\n");
    await writeFile(join(RESULTS, "peers.md"), report);
    await writeFile(
      join(RESULTS, "peers.svg"),
      await (await import("./chart.ts")).chart(rows),
    );
  } finally {
    for (const child of children) await child.close();
    await Deno.remove(folder, { recursive: true });
  }
}

await main();
