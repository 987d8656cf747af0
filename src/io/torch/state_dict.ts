/**
 * The state dict of a checkpoint: wherever it stands, and what stands beside it.
 *
 * @module
 */
import type { BytesSource } from "../../core/bytes.ts";
import { checkOptions } from "../../core/check.ts";
import { checkBoolean, failRange, failType, show } from "../../core/errors.ts";
import { readCheckpoint, TorchTensor } from "./checkpoint.ts";
import { Global, Opaque } from "./pickle.ts";

/** Options of {@linkcode readTorch}. */
export interface ReadTorchOptions {
  /**
   * Where the state dict stands in what was saved: keys joined by dots, `""` for all of it. By
   * default the one that there is, or that of a usual name (`state_dict`, `model_state`, ...).
   */
  readonly key?: string;
  /** Whether a value that only calling Python code could make is an error; false by default. */
  readonly strict?: boolean;
}

/** Something of a checkpoint that is no tensor of the model. */
export interface TorchValue {
  /** Keys joined by dots. */
  readonly path: string;
  /** What it is, in a few words. */
  readonly what: string;
  /** Whether it was left as it is because only calling Python code could make it. */
  readonly opaque: boolean;
}

/** What a file of torch.save holds. */
export interface TorchFile {
  /** "zip", or "legacy" as before torch 1.6. */
  readonly format: "zip" | "legacy";
  /** Where the state dict stands: keys joined by dots; empty if it is all of the file. */
  readonly key: string;
  /** The state dict, in its order. */
  readonly tensors: Map<string, TorchTensor>;
  /** What else there is: optimizers, epochs, arguments. */
  readonly others: readonly TorchValue[];
}

/** How deep values may stand in each other. */
const MAX_DEPTH = 100;

/** How many values a checkpoint may have, one of them as often as it stands somewhere. */
const MAX_VISITS = 2 ** 20;

/** Values of a checkpoint besides its tensors that are listed. */
const MAX_LISTED = 10_000;

/** What state dicts are called in checkpoints, the first of these that is there. */
const KEYS = ["state_dict", "model_state_dict", "model_state", "model", "net", "network", "params"];

/** Keys below which tensors are no weights. */
const NO_WEIGHTS = /optim|schedul|scaler/i;

/** A tensor, and the outermost dictionary or module that it stands in. */
interface Found {
  readonly path: string;
  readonly tensor: TorchTensor;
  readonly dictionary: string;
}

/** Everything in a checkpoint. */
class Survey {
  readonly tensors: Found[] = [];
  readonly others: TorchValue[] = [];
  /** What the value that is visited stands in: a pickle can hold circles. */
  readonly #around = new Set<unknown>();
  #visits = 0;

  #list(path: string, what: string, opaque: boolean): void {
    if (this.others.length < MAX_LISTED) this.others.push({ path, what, opaque });
  }

  /** @param dictionary The one that it stands in; null if it is in none. */
  visit(value: unknown, path: string, dictionary: string | null, depth: number): void {
    if (depth > MAX_DEPTH) {
      failRange(`checkpoint ${path}`, `values ${MAX_DEPTH} deep`, "deeper ones");
    }
    // A value can stand in any number of others.
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
    if (this.#around.has(value)) return;
    this.#around.add(value);
    if (value instanceof Opaque) this.#visitOpaque(value, path, dictionary, depth);
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

  /** An object: its attributes, or the parameters, buffers and children of a module. */
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
 * Reads a file of torch.save: its state dict, wherever that stands, and what stands beside it.
 * Nothing of it is executed: what only calling Python code could make is listed as opaque. Saved
 * modules and TorchScript give their parameters and buffers.
 *
 * @param bytes A whole .pt, .pth, .bin or .ckpt file: a zip archive, or the form before torch 1.6.
 * @param options.key Where the state dict stands.
 * @param options.strict Whether opaque values are an error.
 * @returns The tensors in the file's order; their data is read when it is asked for.
 * @throws {TypeError} If `bytes` is neither a buffer nor a view, or an option is of the wrong kind.
 * @throws {RangeError} If the file is no such file, malformed or too large for its length, there
 * are no tensors, several state dicts and no key, or it is opaque in strict mode.
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
