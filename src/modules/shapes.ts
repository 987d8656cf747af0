/**
 * Shapes of the tensors for which a float module is made. They may come from a hostile file: a kind
 * that allocates more than these tensors hold must check them first.
 *
 * @module
 */
import { failRange } from "../core/errors.ts";

/** Shapes of a module's tensors by PyTorch's names. */
export class TensorShapes {
  readonly #shapes: ReadonlyMap<string, readonly number[]>;

  /** Looks up shapes by tensor names within a module. */
  constructor(shapes: ReadonlyMap<string, readonly number[]>) {
    this.#shapes = shapes;
  }

  /** Whether there is such a tensor. */
  has(key: string): boolean {
    return this.#shapes.has(key);
  }

  /**
   * The shape of a tensor.
   *
   * @param sizes Its sizes; undefined ones may be any positive integer.
   * @throws {RangeError} If there is no such tensor, or it has another shape.
   */
  of(key: string, ...sizes: (number | undefined)[]): readonly number[] {
    const shape = this.#shapes.get(key);
    const fits = shape !== undefined && shape.length === sizes.length &&
      shape.every((size, i) => size > 0 && size === (sizes[i] ?? size));
    if (!fits) {
      const expected = `a tensor [${sizes.map((size) => size ?? "any").join(", ")}]`;
      failRange(key, expected, shape === undefined ? "none" : [...shape]);
    }
    return shape!;
  }
}

/** Sizes of a recurrent module, derived from the shapes of its tensors. */
export interface RecurrentSizes {
  readonly inputSize: number;
  readonly hiddenSize: number;
  readonly numLayers: number;
  readonly bias: boolean;
  readonly bidirectional: boolean;
  /** 0 where the hidden state is not projected. */
  readonly projSize: number;
}

/**
 * Derives the sizes of a recurrent module and checks all its tensors: 4 gates for an LSTM, 3 for a
 * GRU.
 *
 * @throws {RangeError} If a tensor is missing or of another shape.
 */
export function recurrentSizes(shapes: TensorShapes, gates: number): RecurrentSizes {
  const [rows, inputSize] = shapes.of("weight_ih_l0", undefined, undefined);
  const hiddenSize = rows! / gates;
  if (!Number.isInteger(hiddenSize)) {
    failRange("weight_ih_l0", `a multiple of ${gates} rows, one block a gate`, rows);
  }
  const bias = shapes.has("bias_ih_l0");
  const bidirectional = shapes.has("weight_ih_l0_reverse");
  const projSize = shapes.has("weight_hr_l0")
    ? shapes.of("weight_hr_l0", undefined, hiddenSize)[0]!
    : 0;
  const width = projSize || hiddenSize;
  const suffixes = bidirectional ? ["", "_reverse"] : [""];
  let numLayers = 0;
  for (let size = inputSize!; numLayers === 0 || shapes.has(`weight_ih_l${numLayers}`);) {
    for (const suffix of suffixes) {
      const at = `l${numLayers}${suffix}`;
      shapes.of(`weight_ih_${at}`, rows, size);
      shapes.of(`weight_hh_${at}`, rows, width);
      if (projSize > 0) shapes.of(`weight_hr_${at}`, projSize, hiddenSize);
    }
    size = width * suffixes.length;
    numLayers++;
  }
  return { inputSize: inputSize!, hiddenSize, numLayers, bias, bidirectional, projSize };
}
