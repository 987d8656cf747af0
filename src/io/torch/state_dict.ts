/**
 * Finding the state dict in a checkpoint, and listing what else is there.
 *
 * @module
 */
import type { BytesSource } from "../../core/bytes.ts";
import { checkOptions } from "../../core/check.ts";
import { checkBoolean, failRange, failType, show } from "../../core/errors.ts";
import { readCheckpoint, TorchTensor } from "./checkpoint.ts";
import { Global, Opaque } from "./pickle.ts";

/**
 * Options of {@linkcode readTorch}.
 *
 * @example
 * ```ts
 * import { readTorch, type ReadTorchOptions } from "@splitgate/splitgate/import/torch";
 * import { assertThrows } from "@std/assert";
 * const bytes = await Deno.readFile("tests/io/torch/files/checkpoint.pt");
 * const options: ReadTorchOptions = { key: "no such key" }; // where in a checkpoint to look
 * assertThrows(() => readTorch(bytes, options));
 * ```
 */
export interface ReadTorchOptions {
  /**
   * Path of the state dict in the saved value: keys joined by dots, `""` for the value itself. By
   * default the only state dict, or the one with a usual name (`state_dict`, `model_state`, ...).
   */
  readonly key?: string;
  /** Whether a value that only Python code could make is an error; false by default. */
  readonly strict?: boolean;
}

/**
 * A value of a checkpoint that is not a tensor of the model.
 *
 * @example
 * ```ts
 * import { readTorch, type TorchValue } from "@splitgate/splitgate/import/torch";
 * const bytes = await Deno.readFile("tests/io/torch/files/checkpoint.pt");
 * const others: readonly TorchValue[] = readTorch(bytes).others; // what is no tensor of it
 * for (const { path, what } of others) console.log(`${path}: ${what}`);
 * ```
 */
export interface TorchValue {
  /** Keys joined by dots. */
  readonly path: string;
  /** Short description. */
  readonly what: string;
  /** Whether it is opaque because only Python code could make it. */
  readonly opaque: boolean;
}

/**
 * The contents of a file of torch.save.
 *
 * @example
 * ```ts
 * import { readTorch, type TorchFile } from "@splitgate/splitgate/import/torch";
 * import { assertEquals } from "@std/assert";
 * const bytes = await Deno.readFile("tests/io/torch/files/checkpoint.pt");
 * const { format, key, tensors }: TorchFile = readTorch(bytes);
 * assertEquals(format, "zip"); // as torch writes since 1.6
 * console.log(`${tensors.size} tensors under ${key}`);
 * ```
 */
export interface TorchFile {
  /** "zip", or "legacy" as before torch 1.6. */
  readonly format: "zip" | "legacy";
  /** Path of the state dict: keys joined by dots; empty if it is the saved value itself. */
  readonly key: string;
  /** The state dict, in the file's order. */
  readonly tensors: Map<string, TorchTensor>;
  /** Everything else: optimizers, epochs, arguments. */
  readonly others: readonly TorchValue[];
}

/** Largest nesting depth of values. */
const MAX_DEPTH = 100;

/** Largest number of values in a checkpoint; a shared value counts once for each reference. */
const MAX_VISITS = 2 ** 20;

/** Largest number of listed values besides tensors. */
const MAX_LISTED = 10_000;

/** Usual names of state dicts in checkpoints, by priority. */
const KEYS = ["state_dict", "model_state_dict", "model_state", "model", "net", "network", "params"];

/** Keys of dictionaries whose tensors are no weights. */
const NO_WEIGHTS = /optim|schedul|scaler/i;

/** A tensor, and the outermost dictionary or module that contains it. */
interface Found {
  readonly path: string;
  readonly tensor: TorchTensor;
  readonly dictionary: string;
}

/** The values found in a checkpoint. */
class Survey {
  readonly tensors: Found[] = [];
  readonly others: TorchValue[] = [];
  /** The containers of the visited value: a pickle can have cycles. */
  readonly #around = new Set<unknown>();
  #visits = 0;

  #list(path: string, what: string, opaque: boolean): void {
    if (this.others.length < MAX_LISTED) this.others.push({ path, what, opaque });
  }

  /** @param dictionary The dictionary that contains it; null if there is none. */
  visit(value: unknown, path: string, dictionary: string | null, depth: number): void {
    if (depth > MAX_DEPTH) {
      failRange(`checkpoint ${path}`, `values ${MAX_DEPTH} deep`, "deeper ones");
    }
    // A value can be shared by any number of others.
    if (++this.#visits > MAX_VISITS) {
      failRange("checkpoint", `at most ${MAX_VISITS} values`, "more");
    }
    if (value instanceof TorchTensor) {
      this.tensors.push({ path, tensor: value, dictionary: dictionary ?? path });
      return;
    }
    if (value instanceof Global) return this.#list(path, value.name, true);
    if (typeof value !== "object" || value === null || ArrayBuffer.isView(value)) {
      return this.#list(path, ArrayBuffer.isView(value) ? "bytes" : show(value), false);
    }
    const opaque = value instanceof Opaque;
    if (!opaque && !(Symbol.iterator in value)) {
      return this.#list(path, "a storage without a tensor", false);
    }
    if (this.#around.has(value)) return;
    this.#around.add(value);
    if (opaque) this.#visitOpaque(value, path, dictionary, depth);
    else this.#visitEntries(value, path, dictionary, depth);
    this.#around.delete(value);
  }

  #visitEntries(value: object, path: string, dictionary: string | null, depth: number): void {
    const entries = value instanceof Map
      ? [...value]
      : [...(value as Iterable<unknown>)].map((each, i) => [i, each]);
    const own = value instanceof Map && [...value.values()].some((e) => e instanceof TorchTensor);
    const name = dictionary ?? (own ? path : null);
    if (entries.length === 0) this.#list(path, "nothing", false);
    for (const [key, each] of entries) {
      this.visit(each, path === "" ? `${key}` : `${path}.${key}`, name, depth + 1);
    }
  }

  /** Visits an object: its attributes, or a module's parameters, buffers and children. */
  #visitOpaque(
    { name, args, state, items }: Opaque,
    path: string,
    dictionary: string | null,
    depth: number,
  ): void {
    this.#list(path, name, true);
    const maps = state instanceof Map && state.get("_parameters") instanceof Map
      ? ["_parameters", "_buffers", "_modules"].map((key) => state.get(key))
      : [state, items, ...args];
    for (const map of maps) {
      if (!(map instanceof Map)) continue;
      for (const [key, each] of map) {
        if (typeof each !== "object" || each === null) continue;
        const at = path === "" ? `${key}` : `${path}.${key}`;
        this.visit(each, at, dictionary ?? path, depth + 1);
      }
    }
  }
}

/** The dictionary that holds the model. */
function choose(dictionaries: readonly string[]): string {
  if (dictionaries.length === 1) return dictionaries[0]!;
  if (dictionaries.length === 0) failRange("bytes", "tensors", "a checkpoint without any");
  if (dictionaries.includes("")) return "";
  for (const key of KEYS) {
    const found = dictionaries.filter((each) => each.split(".").at(-1) === key);
    if (found.length === 1) return found[0]!;
  }
  return failRange("options.key", `one of ${dictionaries.slice(0, 10).join(", ")}`, undefined);
}

/**
 * Reads a file of torch.save: finds its state dict and lists its other contents. Nothing is
 * executed: values that only Python code could make are listed as opaque. For saved modules and
 * TorchScript, parameters and buffers are returned.
 *
 * @param bytes A whole .pt, .pth, .bin or .ckpt file: a zip archive, or the form before torch 1.6.
 * @param options.key Path of the state dict.
 * @param options.strict Whether opaque values are an error.
 * @returns The tensors in the file's order; their data is decoded on access.
 * @throws {TypeError} If `bytes` is neither a buffer nor a view, or an option is of the wrong kind.
 * @throws {RangeError} If it is no such file, is malformed or expands too much, has no tensors, has
 * several state dicts without `key`, or has opaque values with `strict`.
 *
 * @example
 * ```ts
 * import { readTorch } from "@splitgate/splitgate/import/torch";
 * import { assertEquals } from "@std/assert";
 * const { tensors } = readTorch(await Deno.readFile("tests/io/torch/files/checkpoint.pt"));
 * assertEquals(tensors.get("fc.weight")!.shape.length, 2);
 * ```
 */
export function readTorch(bytes: BytesSource, options: ReadTorchOptions = {}): TorchFile {
  checkOptions("options", options, ["key", "strict"]);
  const { key: given, strict = false } = options;
  if (given !== undefined && typeof given !== "string") {
    failType("options.key", "a string", given);
  }
  checkBoolean("options.strict", strict);
  const { format, root } = readCheckpoint(bytes);
  const survey = new Survey();
  survey.visit(root, "", null, 0);
  const opaque = survey.others.find((other) => other.opaque);
  if (strict && opaque !== undefined) {
    failRange(`checkpoint ${opaque.path}`, "plain values, since it is strict", opaque.what);
  }
  const isWeight = ({ path }: Found) => !NO_WEIGHTS.test(path.split(".")[0]!);
  const weights = survey.tensors.filter(isWeight);
  const key = given ?? choose([...new Set(weights.map(({ dictionary }) => dictionary))]);
  const prefix = key === "" ? "" : `${key}.`;
  const tensors = new Map<string, TorchTensor>();
  const others: TorchValue[] = [...survey.others];
  for (const found of survey.tensors) {
    const { path, tensor } = found;
    if (path.startsWith(prefix) && (given !== undefined || isWeight(found))) {
      tensors.set(path.slice(prefix.length), tensor);
    } else if (others.length < MAX_LISTED) {
      others.push({ path, what: `a tensor [${tensor.shape.join(", ")}]`, opaque: false });
    }
  }
  if (tensors.size === 0) failRange("options.key", "a key below which tensors stand", key);
  return { format, key, tensors, others };
}
