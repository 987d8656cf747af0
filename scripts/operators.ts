/**
 * docs/operators.md: the abilities of each kind of module, found by trying a small one.
 *
 *     deno task operators             writes docs/operators.md
 *     deno task operators --check     fails if docs/operators.md is out of date
 *
 * @module
 */
import process from "node:process";
import {
  compileModel,
  convert,
  getPreset,
  Graph,
  loadModel,
  prepare,
  type QuantizedModel,
  quantizeDynamic,
  saveModel,
  Sequential,
  type Tensor,
  tensor,
  tokens,
  type TokenTensor,
} from "@splitgate/splitgate";
import { convertToReference } from "@splitgate/splitgate/reference";
import type { RunningKind } from "@splitgate/splitgate/runtime";
import { loadProgram, type Session } from "@splitgate/splitgate/runtime/state";
import { type SimdKernels, simdKernels } from "@splitgate/splitgate/simd";
import config from "../deno.json" with { type: "json" };
import { KIND_NAMES, kindOf } from "../src/modules/kinds.ts";
import type { Backend } from "../src/runtime/kind.ts";
import { BASE_KINDS } from "../src/runtime/kinds.ts";
import { readArguments } from "./arguments.ts";
import { OPERATOR_ROWS, type OperatorRow, STEPS } from "./operator_rows.ts";
import { writeFile } from "./write_file.ts";

const PAGE = new URL("../docs/operators.md", import.meta.url);
const EXACTNESS = new URL("../docs/exactness.md", import.meta.url);

/** Width for modules that take any width. */
const WIDTH = 4;

/** Name of the module under test in a row's model. */
const NODE = "op";

/** The preset of torch for static forms. */
const PRESET = "fbgemm";

/** The text for a module that `prepare` removes from the model. */
const LEFT_OUT = "left out";

/** Names of integer dtypes in a model file. */
const WEIGHT_DTYPES: Readonly<Record<string, string>> = { I8: "int8", U8: "uint8", U16: "uint16" };

/** The tools for trying modules. */
export interface Tools {
  readonly kernels: SimdKernels;
  /** The entry point of each running half, by its name in programs. */
  readonly entries: ReadonlyMap<string, string>;
  /** The running halves that are not in `./runtime`. */
  readonly extra: readonly RunningKind<never>[];
  /** The contents of the page with the table of recorded values. */
  readonly exactness: string;
}

/** Loads the tools for all rows. */
export async function loadTools(): Promise<Tools> {
  const entries = new Map(BASE_KINDS.map(({ kind }) => [kind, "./runtime"]));
  const extra: RunningKind<never>[] = [];
  for (const [entry, path] of Object.entries(config.exports)) {
    if (!entry.startsWith("./runtime/")) continue;
    const module: Record<string, RunningKind<never>> = await import(`../${path}`);
    for (
      const half of Object.values(module).filter(({ instantiate }) => instantiate !== undefined)
    ) {
      entries.set(half.kind, entry);
      extra.push(half);
    }
  }
  const exactness = await Deno.readTextFile(EXACTNESS);
  return { kernels: await simdKernels(), entries, extra, exactness };
}

/** The label of a row. */
function labelOf({ kind, form }: OperatorRow): string {
  return form === undefined ? kind : `${kind}, ${form}`;
}

/** A row's module in a model, named `op`. */
function modelOf({ module }: OperatorRow): Graph {
  const made = module();
  return made instanceof Graph ? made : new Sequential({ [NODE]: made });
}

/** Random real numbers or token ids for a model. */
function inputOf(model: Graph): Tensor | TokenTensor {
  const [first, module] = [...model.children][0]!;
  const width = kindOf(first, module).inputSize(module);
  if (width === null) {
    return tokens(Int32Array.from({ length: STEPS }, (_, i) => i % 2), [STEPS, 1]);
  }
  const length = STEPS * (width ?? WIDTH);
  const data = Float32Array.from({ length }, (_, i) => Math.sin(i + 1));
  return tensor(data, [STEPS, 1, width ?? WIDTH]);
}

/** A cell for something that may be rejected: it is then "no", and the reason is collected. */
type Cell = (column: string, call: () => string) => string;

/** The first output of a whole sequence. */
function outputOf(
  session: Session,
  model: QuantizedModel,
  data: Float32Array | Int32Array,
): string {
  const output = new Float32Array(model.outputSize * session.outputSteps(STEPS));
  session.run(data, output);
  return output.join();
}

/** Dtypes of the module's integer weights in a model file. */
function weightDTypes(file: Uint8Array): string[] {
  const { buffer, byteOffset } = file;
  const length = Number(new DataView(buffer, byteOffset).getBigUint64(0, true));
  const header: Record<string, { dtype?: string }> = JSON.parse(
    new TextDecoder().decode(file.subarray(8, 8 + length)),
  );
  const own = Object.entries(header).flatMap(([name, { dtype }]) =>
    name.startsWith(`${NODE}.`) ? WEIGHT_DTYPES[dtype!] ?? [] : []
  );
  return [...new Set(own)];
}

/** The findings about a static or a dynamic form. */
interface Form {
  /** The text of its column. */
  readonly arithmetic: string;
  readonly portable: string;
  readonly simd: string;
  readonly file: string;
  readonly program: string;
}

/** A form whose columns are all the same. */
function uniform(text: string): Form {
  return { arithmetic: text, portable: text, simd: text, file: text, program: text };
}

/** Tries a quantized model in every way. Ways with different outputs are a fault. */
function formOf(
  model: QuantizedModel,
  x: Tensor | TokenTensor,
  { kernels, entries, extra }: Tools,
  cell: Cell,
): Form {
  const own = model.modules.get(NODE);
  if (own === undefined) return uniform(LEFT_OUT);
  const options = { maxSteps: STEPS };
  const expected = outputOf(model.createSession(options), model, x.data);
  const agree = (way: string, session: Session) => {
    if (outputOf(session, model, x.data) === expected) return;
    throw new Error(`${own.kind}: ${way} gives other outputs than the portable kernels`);
  };
  const { program: lowered } = model.lower().data.nodes.find(({ name }) => name === NODE)!;
  const { qparams } = kindOf(NODE, own).ends(own).output;
  const weights = weightDTypes(saveModel(model)).map((dtype) => `${dtype} weights, `);
  return {
    arithmetic: `${weights.join("")}${qparams?.dtype ?? "float32"}`,
    portable: lowered.byParts === undefined ? "yes" : "by parts",
    simd: cell("SIMD", () => {
      let projects = false;
      const watched: Backend = {
        name: kernels.name,
        instantiate: (program) => kernels.instantiate(program),
        projector(program, input) {
          const projector = kernels.projector(program, input);
          projects ||= projector !== null;
          return projector;
        },
      };
      agree("SIMD", model.createSession({ ...options, kernels }));
      if (kernels.instantiate(lowered) !== null) return "yes";
      const running = [...BASE_KINDS, ...extra].find(({ kind }) => kind === lowered.kind)!;
      if (lowered.byParts === undefined) running.instantiate(lowered as never, watched);
      return projects ? "its products" : "runs portable";
    }),
    file: cell("model file", () => {
      agree("its model file", loadModel(saveModel(model)).createSession(options));
      return "yes";
    }),
    program: cell("program", () => {
      const program = loadProgram(compileModel(model), { kinds: extra });
      agree("its program", program.createSession(options));
      return `\`${entries.get(lowered.kind)!}\``;
    }),
  };
}

/** The operations of a module in its model's reference graph, which runs once. */
function referenceOf(model: QuantizedModel, x: Tensor | TokenTensor): string {
  if (!model.modules.has(NODE)) return LEFT_OUT;
  const graph = convertToReference(model);
  graph.run(x);
  const ops = graph.nodes.filter(({ module }) => module === NODE).map(({ op }) => op);
  const [first, ...others] = new Set(ops.filter((op) => op !== "quantize" && op !== "dequantize"));
  if (first === undefined) return "nothing to do";
  return others.length === 0 ? `\`${first}\`` : `${1 + others.length} operations`;
}

/**
 * A function of torch, and the number of its recorded values that differ, from the table of
 * docs/exactness.md.
 */
function recorded(name: string, exactness: string): string {
  const results = exactness.split("\n").flatMap((line) => {
    const [, , functions, , , result] = line.split("|").map((cell) => cell.trim());
    return functions?.split(", ").includes(name) ? [result!] : [];
  });
  if (results.length === 0) {
    throw new RangeError(
      `torch: expected a function of the table in docs/exactness.md, got "${name}"`,
    );
  }
  const differing = results.flatMap((result) => /([\d,]+) differ/.exec(result)?.[1] ?? []);
  return differing.length === 0 ? `\`${name}\`` : `\`${name}\` (${differing[0]} values differ)`;
}

/** A cell with one text if both forms agree, or with both texts. */
function joined(fixed: string, dynamic: string): string {
  if (fixed === dynamic || dynamic === "no") return fixed;
  return fixed === "no" ? `${dynamic} (dynamic)` : `${fixed}; ${dynamic} (dynamic)`;
}

/** A line of the table, and the reasons for each "no". */
export function lineOf(row: OperatorRow, tools: Tools): { line: string; reasons: string[] } {
  const label = labelOf(row);
  const reasons: string[] = [];
  const attempt = <T>(column: string, call: () => T, otherwise: T): T => {
    try {
      return call();
    } catch (error) {
      // Any other failure is a fault, here or in the package.
      if (!(error instanceof RangeError)) throw error;
      reasons.push(`- ${label}, ${column}: ${error.message}`);
      return otherwise;
    }
  };
  const model = modelOf(row);
  const x = inputOf(model);
  model.forward(x);
  const formIn = (column: string, made: QuantizedModel | null): Form =>
    made === null
      ? uniform("no")
      : formOf(made, x, tools, (each, call) => attempt(`${column}, ${each}`, call, "no"));
  const quantized = attempt("static", () => {
    const observed = prepare(model, getPreset(PRESET));
    observed.forward(x);
    return convert(observed);
  }, null);
  const fixed = formIn("static", quantized);
  const dynamic = formIn("dynamic", attempt("dynamic", () => quantizeDynamic(model), null));
  const reference = quantized === null
    ? "no"
    : attempt("reference graph", () => referenceOf(quantized, x), "no");
  const cells = [
    label,
    "yes",
    fixed.arithmetic,
    dynamic.arithmetic,
    joined(fixed.portable, dynamic.portable),
    joined(fixed.simd, dynamic.simd),
    reference,
    row.torch.map((name) => recorded(name, tools.exactness)).join(", ") || "no",
    joined(fixed.file, dynamic.file),
    joined(fixed.program, dynamic.program),
  ];
  return { line: `| ${cells.join(" | ")} |`, reasons };
}

/** Requires a row for each kind, and a kind for each row. */
export function checkRows(rows: readonly OperatorRow[], kinds: readonly string[]): void {
  const named = new Set(rows.map(({ kind }) => kind));
  const missing = kinds.filter((kind) => !named.has(kind));
  const unknown = [...named].filter((kind) => !kinds.includes(kind));
  if (missing.length > 0 || unknown.length > 0) {
    throw new RangeError(
      `scripts/operator_rows.ts: expected a row for each kind, ` +
        `got none for [${missing.join(", ")}], and rows for [${unknown.join(", ")}]`,
    );
  }
}

/** The page. */
export function pageOf(rows: readonly OperatorRow[], tools: Tools): string {
  const lines = rows.map((row) => lineOf(row, tools));
  const reasons = lines.flatMap(({ reasons }) => reasons);
  return `<!-- Written by deno task operators: do not edit. -->

# Operators

What each kind of module can do. Every cell but "equal to torch" was found out by doing it with a small module:
its outputs agree in all the ways that say yes.

- **static**: dtypes of weights and output as the \`${PRESET}\` preset makes them. "float32" is computed in float32 between
  modules of integers.
- **dynamic**: the same for \`quantizeDynamic\`, where activations are quantized at each call. Further columns name it only
  where it differs from the static form.
- **SIMD**: "runs portable" is a module that runs by the portable kernels in a session with SIMD kernels,
  "its products" one whose products SIMD makes there.
- **reference graph**: its operations between dequantize and quantize; dynamic modules have no such graph.
- **equal to torch**: functions of torch 2.8 whose recorded values the kernels meet bit for bit, in both rounding families
  ([exactness](exactness.md) says how many). "no" is: nothing recorded to compare with.
- **program**: the entry point that has its running half. \`loadProgram(bytes, { kinds: [...] })\` takes halves that are
  not in \`./runtime\`.

| kind | float | static | dynamic | portable | SIMD | reference graph | equal to torch | model file | program |
| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |
${lines.map(({ line }) => line).join("\n")}
${reasons.length === 0 ? "" : `\nWhy not:\n\n${reasons.join("\n")}\n`}`;
}

if (import.meta.main) {
  const { values: { check } } = readArguments("deno task operators [--check]", {
    check: { type: "boolean" },
  });
  checkRows(OPERATOR_ROWS, KIND_NAMES);
  const page = pageOf(OPERATOR_ROWS, await loadTools());
  if (!check) {
    await writeFile(PAGE, page);
  } else if (page !== await Deno.readTextFile(PAGE)) {
    console.error(
      "operators: docs/operators.md is not what the kinds make it: run deno task operators",
    );
    process.exit(1);
  }
}
