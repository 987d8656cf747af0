/**
 * Recognizing modules by their tensors, in files that hold nothing else, and drafting an
 * architecture of them. Nothing is guessed: a draft has blanks for what tensors do not determine.
 *
 * @module
 */
import { checkBuiltIn } from "../core/errors.ts";
import { KIND_NAMES } from "../modules/kinds.ts";
import { type Architecture, type ArchitectureModule, BLANK, byModule } from "./architecture.ts";
import { commonPrefix } from "./import_tensors.ts";

/**
 * Something with a shape, such as a tensor.
 *
 * @example
 * ```ts
 * import { recognizeModules, type Shaped } from "@splitgate/splitgate/safetensors";
 * import { assertEquals } from "@std/assert";
 * const tensors = new Map<string, Shaped>([["fc.weight", { shape: [3, 2] }], ["fc.bias", {
 *   shape: [3],
 * }]]);
 * assertEquals(recognizeModules(tensors)[0]!.kind, "Linear"); // shapes are enough
 * ```
 */
export interface Shaped {
  /** Dimensions, outermost first. */
  readonly shape: readonly number[];
}

/**
 * The tensors of one module, and its recognized kind.
 *
 * @example
 * ```ts
 * import { Linear } from "@splitgate/splitgate";
 * import { type RecognizedModule, recognizeModules } from "@splitgate/splitgate/safetensors";
 * import { assertEquals } from "@std/assert";
 * const linear = new Linear({ inFeatures: 2, outFeatures: 3 });
 * const [found]: RecognizedModule[] = recognizeModules(linear.stateDict());
 * assertEquals([found!.kind, found!.reads, found!.gives], ["Linear", 2, 3]);
 * ```
 */
export interface RecognizedModule {
  /** Prefix of its tensors' names, without the last dot. */
  readonly path: string;
  /** PyTorch's name of its kind; `"?"` if there are several candidates, null if unknown. */
  readonly kind: string | null;
  /** Description: `LSTM of 2 layers, bidirectional, input 64, hidden 64`. */
  readonly what: string;
  /** Input width; undefined if unknown. */
  readonly reads?: number | undefined;
  /** Output width; undefined if unknown. */
  readonly gives?: number | undefined;
  /** Names of its tensors, without the path. */
  readonly tensors: readonly string[];
}

/** Recurrent modules by the number of their gates. */
const RECURRENT: Readonly<Record<number, string>> = { 4: "LSTM", 3: "GRU", 1: "RNN" };

/** Tensor name of an embedding's table. */
const TABLE = /emb|lookup|vocab|wte/i;

type Recognized = Omit<RecognizedModule, "path" | "tensors">;

function recurrent(shapes: ReadonlyMap<string, readonly number[]>): Recognized | null {
  const [rows, reads] = shapes.get("weight_ih_l0") ?? [];
  const hidden = shapes.get("weight_hr_l0")?.[1] ?? shapes.get("weight_hh_l0")?.[1];
  const kind = RECURRENT[rows! / hidden!];
  if (kind === undefined) return null;
  const projected = shapes.get("weight_hr_l0")?.[0];
  const directions = shapes.has("weight_ih_l0_reverse") ? 2 : 1;
  let layers = 1;
  while (shapes.has(`weight_ih_l${layers}`)) layers++;
  const words = [
    `${kind} of ${layers} layer${layers > 1 ? "s" : ""}`,
    ...directions === 2 ? ["bidirectional"] : [],
    `input ${reads}`,
    `hidden ${hidden}`,
    ...projected === undefined ? [] : [`projected to ${projected}`],
    ...shapes.has("bias_ih_l0") ? [] : ["without bias"],
  ];
  return { kind, what: words.join(", "), reads, gives: (projected ?? hidden!) * directions };
}

/** Recognizes a module from its tensors. */
function recognize(path: string, shapes: ReadonlyMap<string, readonly number[]>): Recognized {
  const weight = shapes.get("weight");
  const bias = shapes.get("bias");
  const [rows, columns, ...more] = weight ?? [];
  const biased = bias === undefined ? ", without bias" : "";
  const count = shapes.size;
  const unknown = { kind: null, what: "not recognized" };
  if (shapes.has("weight_ih_l0")) return recurrent(shapes) ?? unknown;
  const [features] = shapes.get("running_mean") ?? [];
  if (features !== undefined) {
    return {
      kind: "BatchNorm1d",
      what: `BatchNorm1d of ${features}`,
      reads: features,
      gives: features,
    };
  }
  const own = count === 1 || count === 2 && bias !== undefined;
  if (weight === undefined || !own || bias !== undefined && bias.length !== 1) return unknown;
  if (weight.length === 1) {
    if (bias === undefined) return unknown;
    return { kind: "LayerNorm", what: `LayerNorm of ${rows}`, reads: rows, gives: rows };
  }
  if (weight.length === 2) {
    if (bias !== undefined) {
      return {
        kind: "Linear",
        what: `Linear of ${columns} to ${rows}`,
        reads: columns,
        gives: rows,
      };
    }
    if (TABLE.test(path)) {
      return { kind: "Embedding", what: `Embedding of ${rows} rows of ${columns}`, gives: columns };
    }
    return {
      kind: BLANK,
      what: `Embedding of ${rows} rows of ${columns}, or Linear of ${columns} to ${rows}${biased}`,
    };
  }
  if (weight.length === 3) {
    const what = `Conv1d of ${columns} to ${rows}, kernel ${more[0]}${biased}`;
    return { kind: "Conv1d", what, reads: columns, gives: rows };
  }
  return unknown;
}

/**
 * Recognizes modules by their tensors, in the order of the file.
 *
 * @param tensors By name: `tensors` of a safetensors file or of `readTorch`. Wrappers' prefixes
 * (`module.`, `model.`, `_orig_mod.`) are removed.
 * @throws {TypeError} If `tensors` is no Map.
 *
 * @example
 * ```ts
 * import { LSTM } from "@splitgate/splitgate";
 * import { recognizeModules } from "@splitgate/splitgate/safetensors";
 * import { assertEquals } from "@std/assert";
 * const lstm = new LSTM({ inputSize: 8, hiddenSize: 4, numLayers: 2, bidirectional: true });
 * const [module] = recognizeModules(lstm.stateDict());
 * assertEquals(module!.what, "LSTM of 2 layers, bidirectional, input 8, hidden 4");
 * ```
 */
export function recognizeModules(tensors: ReadonlyMap<string, Shaped>): RecognizedModule[] {
  checkBuiltIn("tensors", tensors, "Map", "a Map of tensors");
  const prefix = commonPrefix([...tensors.keys()]);
  const named = new Map([...tensors].map(([name, each]) => [name.slice(prefix.length), each]));
  return [...byModule(named)].map(([path, own]) => {
    const shapes = new Map([...own].map(([name, { shape }]) => [name, shape]));
    return { path, ...recognize(path, shapes), tensors: [...own.keys()] };
  });
}

/** Text of a draft's notes: what may come between modules. */
const ACTIVATIONS = "ReLU, LeakyReLU, Sigmoid, HardSigmoid, Tanh, or Identity for none";
const LAST = `${ACTIVATIONS}; Softmax or LogSoftmax, if it gives probabilities`;
const ENDS =
  "LastStep, FinalHidden, FirstStep, MeanOverTime, MaxOverTime, or Identity for each step";

/**
 * Drafts an architecture of the recognized modules, in the order of the file. What tensors do not
 * determine becomes a blank: a module of the kind `"?"` whose note lists the options, such as
 * activations, an end of time, or two kinds with the same tensors. `readArchitecture` refuses a
 * draft until every blank is filled in.
 *
 * @param tensors By name: `tensors` of a safetensors file or of `readTorch`.
 * @throws {TypeError} If `tensors` is no Map.
 *
 * @example
 * ```ts
 * import { Linear } from "@splitgate/splitgate";
 * import { draftArchitecture } from "@splitgate/splitgate/safetensors";
 * import { assertEquals } from "@std/assert";
 * const { modules } = draftArchitecture(new Linear({ inFeatures: 2, outFeatures: 3 }).stateDict());
 * assertEquals(modules.map(({ name, kind }) => `${name}: ${kind}`), [
 *   "linear: Linear",
 *   "after_linear: ?",
 * ]);
 * ```
 */
export function draftArchitecture(tensors: ReadonlyMap<string, Shaped>): Architecture {
  const found = recognizeModules(tensors);
  const usable = found.filter(({ kind }) => kind === BLANK || KIND_NAMES.includes(kind!));
  const left = found.filter((each) => !usable.includes(each));
  const modules: ArchitectureModule[] = [];
  const names = new Set(["input"]);
  const unique = (wanted: string) => {
    let name = wanted;
    for (let i = 2; names.has(name); i++) name = `${wanted}_${i}`;
    names.add(name);
    return name;
  };
  let width: number | undefined;
  usable.forEach(({ path, kind, what, reads, gives }, i) => {
    const name = unique(path.replaceAll(".", "_") || kind!.toLowerCase());
    const isRecurrent = Object.values(RECURRENT).includes(kind!);
    const mismatch = width !== undefined && reads !== undefined && width !== reads;
    const words = [
      what,
      ...mismatch ? [`it reads ${reads} values, and what stands before it gives ${width}`] : [],
      ...kind === BLANK ? ["choose one of the two"] : [],
    ];
    modules.push({
      name,
      kind: kind!,
      ...isRecurrent && { options: { batchFirst: true } },
      ...name !== path && { tensors: path },
      note: words.join("; "),
    });
    if (gives !== undefined) width = gives;
    const next = usable[i + 1];
    if (isRecurrent) {
      if (next !== undefined && Object.values(RECURRENT).includes(next.kind!)) return;
      const note = `${ENDS} (with "options": { "batchFirst": true }, unless it is Identity)`;
      modules.push({ name: unique(`time_after_${name}`), kind: BLANK, note });
    } else if (kind !== "Embedding") {
      const note = next === undefined ? LAST : ACTIVATIONS;
      modules.push({ name: unique(`after_${name}`), kind: BLANK, note });
    }
  });
  const unused = left.map(({ path, what, tensors: own }) => `${path || own.join(", ")} (${what})`);
  return {
    version: 1,
    note: [
      "A draft. Put the modules into the order in which the model runs them, and a kind in place of",
      'each "?". Data is batch first.',
      ...unused.length > 0 ? [`Tensors without a module here: ${unused.join(", ")}.`] : [],
    ].join(" "),
    modules,
  };
}
