/**
 * A float model out of named tensors and an architecture: what importers of files share that hold
 * no graph.
 *
 * @module
 */
import type { BytesSource } from "../core/bytes.ts";
import { checkOptions } from "../core/check.ts";
import { checkBoolean, failRange, failType, show } from "../core/errors.ts";
import type { StateDictEntry } from "../modules/module.ts";
import { type Architecture, buildModel, readArchitecture } from "./architecture.ts";
import { type AnyTensor, floatTensors } from "./float_tensors.ts";
import type { ImportedModel } from "./imported_model.ts";
import { parseSafetensors } from "./safetensors.ts";

/** Options of importers of files that hold no graph. */
export interface ImportTensorsOptions {
  /** What the model is made of: JSON text, or the value that this stands for. */
  readonly architecture: string | Architecture;
  /**
   * What the names of the model's tensors begin with, which is left out of them; other tensors are
   * left over. By default `module.`, `model.` and `_orig_mod.` where all names begin so; `""`
   * leaves nothing out.
   */
  readonly prefix?: string;
  /** Whether tensors that no module takes are an error and not a note; false by default. */
  readonly strict?: boolean;
}

/** What data parallelism, trainers and torch.compile put before all names. */
const WRAPPERS = ["module.", "model.", "_orig_mod."];

/** Names of a message that lists many. */
const LISTED = 10;

/** Names in a sentence. */
export function listed(names: readonly string[]): string {
  const more = names.length > LISTED ? ` and ${names.length - LISTED} more` : "";
  return names.slice(0, LISTED).map(show).join(", ") + more;
}

/** What all names begin with that wrappers put there. */
export function commonPrefix(names: readonly string[]): string {
  let prefix = "";
  for (;;) {
    const next = WRAPPERS.find((each) => names.every((name) => name.startsWith(prefix + each)));
    if (next === undefined || names.length === 0) return prefix;
    prefix += next;
  }
}

/**
 * Makes a float model of tensors and an architecture. Only what a module takes is made float32.
 *
 * @throws {TypeError | RangeError} If an option is wrong, or modules and tensors do not fit
 * together: the message names the module.
 */
export function importTensors(
  tensors: ReadonlyMap<string, AnyTensor>,
  options: ImportTensorsOptions,
): ImportedModel {
  checkOptions("options", options, ["architecture", "prefix", "strict"]);
  const { prefix = commonPrefix([...tensors.keys()]), strict = false } = options;
  if (typeof prefix !== "string") failType("options.prefix", "a string", prefix);
  checkBoolean("options.strict", strict);
  const architecture = readArchitecture(options.architecture);
  const notes: string[] = [];
  const entries = new Map<string, StateDictEntry>();
  for (const [name, tensor] of tensors) {
    if (!name.startsWith(prefix)) continue;
    let data: unknown;
    const entry = {
      shape: tensor.shape,
      get data() {
        if (data !== undefined) return data;
        const made = floatTensors(new Map([[name, tensor]]));
        notes.push(...made.notes);
        return data = made.tensors.get(name)!.data;
      },
    };
    entries.set(name.slice(prefix.length), entry);
  }
  if (entries.size === 0 && tensors.size > 0) {
    failRange("options.prefix", `one of names such as ${listed([...tensors.keys()])}`, prefix);
  }
  const { model, unused } = buildModel(architecture, entries);
  const left = [
    ...unused.map((name) => prefix + name),
    ...[...tensors.keys()].filter((name) => !name.startsWith(prefix)),
  ];
  if (left.length > 0) {
    if (strict) failRange("options.architecture", "modules for all tensors", listed(left));
    notes.push(`left over, since no module takes them: ${listed(left)}`);
  }
  if (options.prefix === undefined && prefix !== "") {
    notes.push(`all names begin with ${show(prefix)}, which is left out`);
  }
  return { model, notes };
}

/**
 * Makes a float model of a safetensors file of anybody's, and an architecture.
 *
 * @param bytes A whole file. Tensors of other dtypes than F32 are rounded to it, which a note says.
 * @param options.architecture What the model is made of.
 * @param options.prefix What is left out of names.
 * @param options.strict Whether tensors that are left over are an error.
 * @throws {TypeError} If `bytes` is neither a buffer nor a view, or an option is of the wrong kind.
 * @throws {RangeError} If the file is malformed, or modules and tensors do not fit together: the
 * message names the module.
 *
 * @example
 * ```ts
 * import { importSafetensors, writeSafetensors } from "@splitgate/splitgate/safetensors";
 * import { assertEquals } from "@std/assert";
 * const weight = { data: Float64Array.of(0.5, 0.1), shape: [1, 2] };
 * const { model, notes } = importSafetensors(writeSafetensors([["module.fc.weight", weight]]), {
 *   architecture: { modules: [{ name: "fc", kind: "Linear" }] },
 * });
 * assertEquals([...model.stateDict().keys()], ["fc.weight"]);
 * assertEquals(notes, [
 *   '"module.fc.weight": 1 of 2 values of F64 rounded to float32',
 *   'all names begin with "module.", which is left out',
 * ]);
 * ```
 */
export function importSafetensors(
  bytes: BytesSource,
  options: ImportTensorsOptions,
): ImportedModel {
  return importTensors(parseSafetensors(bytes).tensors, options);
}
