/**
 * What all float modules share: their tensors by PyTorch's names.
 *
 * @module
 */
import { isFloat32Array } from "../../kernels/numeric/typed_array.ts";
import { checkBuiltIn, show } from "../core/errors.ts";
import type { Tensor } from "../core/tensor.ts";

/** Largest number of faults in a message. */
const FAULTS = 20;

/**
 * A tensor to load: {@linkcode Tensor}, or an entry of a safetensors file.
 *
 * @example
 * ```ts
 * import { Linear } from "@splitgate/splitgate";
 * import type { StateDictEntry } from "@splitgate/splitgate/modules";
 * const weights = new Map<string, StateDictEntry>([
 *   ["weight", { data: Float32Array.of(1, 2, 3, 4), shape: [2, 2] }],
 *   ["bias", { data: Float32Array.of(0, 1), shape: [2] }],
 * ]);
 * new Linear({ inFeatures: 2, outFeatures: 2 }).loadStateDict(weights);
 * ```
 */
export interface StateDictEntry {
  /** A Float32Array; anything else is refused. */
  readonly data: unknown;
  /** Must equal the shape of the module's own tensor; row-major. */
  readonly shape: readonly number[];
}

/**
 * What `loadStateDict` checks of a tensor besides its shape.
 *
 * @example
 * ```ts
 * import { BatchNorm1d } from "@splitgate/splitgate";
 * import type { StateDictRule } from "@splitgate/splitgate/modules";
 * import { assertEquals } from "@std/assert";
 * const rules = new BatchNorm1d({ numFeatures: 2 }).stateDictRules();
 * const variance: StateDictRule = rules.get("running_var")!;
 * assertEquals(variance.min, 0);
 * ```
 */
export interface StateDictRule {
  /**
   * Whether PyTorch's state dict contains it although the module does not use it: it may have any
   * value, or be missing.
   */
  readonly unused?: boolean;
  /** The smallest value that it may hold; any by default. */
  readonly min?: number;
  /** Added to messages about a missing tensor, a wrong shape or a value that is too small. */
  readonly hint?: string;
}

/**
 * A float module.
 *
 * @example Weights through a safetensors file
 * ```ts
 * import { Linear, Module } from "@splitgate/splitgate";
 * import { parseSafetensors, writeSafetensors } from "@splitgate/splitgate/safetensors";
 * import { assert, assertEquals, assertThrows } from "@std/assert";
 * const from = new Linear({ inFeatures: 2, outFeatures: 3, seed: 1 });
 * const to = new Linear({ inFeatures: 2, outFeatures: 3, seed: 2 });
 * const { tensors } = parseSafetensors(writeSafetensors(from.stateDict()));
 * assert(to instanceof Module);
 * to.loadStateDict(tensors);
 * assertEquals(to.weight, from.weight);
 * tensors.delete("bias");
 * assertThrows(() => to.loadStateDict(tensors), RangeError, 'missing "bias" [3]');
 * ```
 */
export abstract class Module {
  /** PyTorch's name of its kind. */
  abstract readonly kind: string;

  /**
   * The tensors of this module and its children by PyTorch's names, in PyTorch's order. They are
   * the module's own memory, not copies.
   */
  abstract stateDict(): Map<string, Tensor>;

  /** Rules for some tensors, by name, besides their shapes. */
  stateDictRules(): ReadonlyMap<string, StateDictRule> {
    return new Map();
  }

  /**
   * Replaces the values of all tensors.
   *
   * @param tensors Exactly the names of {@linkcode Module.stateDict}, each float32 with the same
   * shape and finite: a state dict, or `tensors` of a safetensors file. Tensors of PyTorch's
   * modules that evaluation does not use (`num_batches_tracked` of a BatchNorm1d) are allowed, too.
   * @throws {TypeError} If `tensors` is no Map, or holds something that is no float32 tensor.
   * @throws {RangeError} If a tensor is missing, unexpected, of the wrong shape, not finite, or a
   * variance is negative. The message names the first twenty. On any error the module is unchanged.
   */
  loadStateDict(tensors: ReadonlyMap<string, StateDictEntry>): void {
    checkBuiltIn("tensors", tensors, "Map", "a Map of tensors");
    const own = this.stateDict();
    const rules = this.stateDictRules();
    const hintOf = (name: string) => {
      const hint = rules.get(name)?.hint;
      return hint === undefined ? "" : ` (${hint})`;
    };
    const faults: string[] = [];
    // Copied first: the tensors may be this module's own memory.
    const copies = new Map<Float32Array, Float32Array>();
    let wrongKind = false;
    for (const [name, { shape }] of own) {
      if (!tensors.has(name)) {
        faults.push(`missing ${show(name)} ${show(shape)}${hintOf(name)}`);
      }
    }
    for (const [name, entry] of tensors as Map<unknown, StateDictEntry | null | undefined>) {
      const expected = typeof name === "string" ? own.get(name) : undefined;
      const label = typeof name === "string" ? show(name) : `a key of type ${typeof name}`;
      if (expected === undefined && rules.get(name as string)?.unused) continue;
      if (expected === undefined) {
        faults.push(`unexpected ${label}`);
        continue;
      }
      const data = entry?.data;
      const shape = entry?.shape;
      const want = `${show(expected.shape)}${hintOf(name as string)}`;
      if (!isFloat32Array(data) || !Array.isArray(shape)) {
        wrongKind = true;
        faults.push(`${label} is not a tensor of F32 ${want}`);
      } else if (
        shape.length !== expected.shape.length || shape.some((n, i) => n !== expected.shape[i])
      ) {
        faults.push(`${label} has shape ${show(shape)}, expected ${want}`);
      } else if (data.length !== expected.data.length) {
        faults.push(
          `${label} has ${data.length} elements, expected ${expected.data.length} for ${want}`,
        );
      } else {
        const at = data.findIndex((value) => !Number.isFinite(value));
        if (at >= 0) faults.push(`${label} holds ${data[at]} at ${at}, expected finite numbers`);
        const { min = -Infinity } = rules.get(name as string) ?? {};
        const low = at >= 0 ? -1 : data.findIndex((value) => value < min);
        if (low >= 0) {
          const hint = hintOf(name as string);
          faults.push(`${label} holds ${data[low]} at ${low}, expected ${min} or more${hint}`);
        }
        copies.set(expected.data, data.slice());
      }
    }
    if (faults.length > 0) {
      const message = `tensors: expected the state dict of this ${this.constructor.name}, got ${
        faults.slice(0, FAULTS).join("; ")
      }${faults.length > FAULTS ? `; and ${faults.length - FAULTS} more` : ""}`;
      throw wrongKind ? new TypeError(message) : new RangeError(message);
    }
    for (const [target, copy] of copies) target.set(copy);
  }
}
