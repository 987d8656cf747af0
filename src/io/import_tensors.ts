/**
 * A float model from named tensors and an architecture: shared by importers of files without a
 * graph.
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

/**
 * Options of importers of files without a graph.
 *
 * @example
 * ```ts
 * import {
 *   importSafetensors,
 *   type ImportTensorsOptions,
 *   writeSafetensors,
 * } from "@splitgate/splitgate/safetensors";
 * const options: ImportTensorsOptions = {
 *   architecture: { modules: [{ name: "out", kind: "Linear" }] },
 *   prefix: "model.", // left out of the tensors' names
 * };
 * const weight = { data: Float32Array.of(1, 2), shape: [1, 2] };
 * importSafetensors(writeSafetensors([["model.out.weight", weight]]), options);
 * ```
 */
export interface ImportTensorsOptions {
  /** The architecture of the model: JSON text, or the parsed value. */
  readonly architecture: string | Architecture;
  /**
   * Prefix of the model's tensors, which is removed from their names; tensors without it are not
   * used. By default `module.`, `model.` and `_orig_mod.`, if all names begin with it; `""` removes
   * nothing.
   */
  readonly prefix?: string;
  /** Whether unused tensors are an error rather than a note; false by default. */
  readonly strict?: boolean;
}

/** Prefixes that data parallelism, trainers and torch.compile add to all names. */
const WRAPPERS = ["module.", "model.", "_orig_mod."];

/** Largest number of names in a message. */
const LISTED = 10;

/** Joins names for a sentence. */
export function listed(names: readonly string[]): string {
  const more = names.length > LISTED ? ` and ${names.length - LISTED} more` : "";
  return names.slice(0, LISTED).map(show).join(", ") + more;
}

/** The wrappers' prefix of all names. */
export function commonPrefix(names: readonly string[]): string {
  let prefix = "";
  for (;;) {
    const next = WRAPPERS.find((each) => names.every((name) => name.startsWith(prefix + each)));
    if (next === undefined || names.length === 0) return prefix;
    prefix += next;
  }
}

/**
 * Makes a float model from tensors and an architecture. Only tensors that a module uses are
 * converted to float32.
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
 * Makes a float model from any safetensors file and an architecture.
 *
 * @param bytes A whole file. Tensors of other dtypes than F32 are rounded to it, with a note if
 * values change.
 * @param options.architecture The architecture of the model.
 * @param options.prefix The prefix to remove from names.
 * @param options.strict Whether unused tensors are an error.
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
