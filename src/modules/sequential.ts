/**
 * Float modules one after the other.
 *
 * @module
 */
import { failRange, failType } from "../core/errors.ts";
import type { Tensor, TokenTensor } from "../core/tensor.ts";
import { Embedding } from "./embedding/float.ts";
import { Linear } from "./linear/float.ts";
import { LSTM } from "./lstm/float.ts";
import { Module } from "./module.ts";

/** What a {@linkcode Sequential} is made of. */
export type SequentialChild = Linear | Embedding | LSTM | Sequential;

/**
 * Modules one after the other, by name, like torch.nn.Sequential of an OrderedDict. Of an {@linkcode LSTM} inside only
 * the output is passed on.
 *
 * @example
 * ```ts
 * import { Embedding, Generator, Linear, LSTM, Sequential, tokens } from "@splitgate/splitgate";
 * import { assertEquals } from "@std/assert";
 * const seed = new Generator(0);
 * const model = new Sequential({
 *   embedding: new Embedding({ numEmbeddings: 10, embeddingDim: 4, seed }),
 *   lstm: new LSTM({ inputSize: 4, hiddenSize: 3, bidirectional: true, seed }),
 *   out: new Linear({ inFeatures: 6, outFeatures: 2, seed }),
 * });
 * assertEquals(model.forward(tokens([1, 2, 3], [3, 1])).shape, [3, 1, 2]);
 * assertEquals([...model.stateDict().keys()].at(-1), "out.bias");
 * ```
 */
export class Sequential extends Module {
  /** The modules by name, in the order in which they run. */
  readonly children: ReadonlyMap<string, SequentialChild>;

  /**
   * Puts modules behind each other; they are kept, not copied.
   *
   * @param children Modules by name, in order; mind that JavaScript puts names that are integers first.
   * @throws {TypeError} If a child is no such module.
   * @throws {RangeError} If there is none, a name is empty or has a dot, or a child does not take the width that the
   * one before it gives.
   */
  constructor(children: Readonly<Record<string, SequentialChild>>) {
    super();
    if (typeof children !== "object" || children === null) {
      failType("children", "an object of modules", children);
    }
    this.children = new Map(Object.entries(children));
    if (this.children.size === 0) failRange("children", "at least one module", "none");
    let last = "";
    let width: number | undefined;
    for (const [name, child] of this.children) {
      if (name === "" || name.includes(".")) {
        failRange("children", "names that are not empty and have no dot", name);
      }
      const takes = inputWidth(`children.${name}`, child);
      if (last !== "" && takes !== width) {
        failRange(
          `children.${name}`,
          `a module that takes the width ${width} of ${last}`,
          takes ?? "token ids",
        );
      }
      last = name;
      width = outputWidth(child);
    }
  }

  /** The children's tensors, each name preceded by the child's and a dot. */
  override stateDict(): Map<string, Tensor> {
    const tensors = new Map<string, Tensor>();
    for (const [prefix, child] of this.children) {
      for (const [name, value] of child.stateDict()) tensors.set(`${prefix}.${name}`, value);
    }
    return tensors;
  }

  /**
   * Runs the children in order, each LSTM from a zero state.
   *
   * @param x What the first child takes.
   * @returns What the last child gives.
   * @throws {TypeError | RangeError} If a child refuses its input.
   */
  forward(x: Tensor | TokenTensor): Tensor {
    // Each child checks its input's kind.
    let value = x as Tensor;
    for (const child of this.children.values()) {
      value = child instanceof LSTM
        ? child.forward(value)[0]
        : child.forward(value as Tensor & TokenTensor);
    }
    return value;
  }
}

/** Last dimension of what a module takes; undefined for token ids. */
function inputWidth(name: string, child: SequentialChild): number | undefined {
  if (child instanceof Linear) return child.inFeatures;
  if (child instanceof LSTM) return child.inputSize;
  if (child instanceof Embedding) return undefined;
  if (child instanceof Sequential) return inputWidth(name, child.children.values().next().value!);
  failType(name, "a Linear, Embedding, LSTM or Sequential", child);
}

/** Last dimension of what a module gives. */
function outputWidth(child: SequentialChild): number {
  if (child instanceof Linear) return child.outFeatures;
  if (child instanceof LSTM) return child.outputSize;
  if (child instanceof Embedding) return child.embeddingDim;
  return outputWidth([...child.children.values()].at(-1)!);
}
