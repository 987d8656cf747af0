/**
 * The observed form of kinds without an integer weight: inputs keep their parameters, and the
 * output has an observer if it is quantized.
 *
 * @module
 */
import type { Tensor } from "../core/tensor.ts";
import type { Observer } from "../observer/observer.ts";
import type { BackendOp } from "../qconfig/backend.ts";
import type { QConfig } from "../qconfig/qconfig.ts";
import { supports } from "./fit_backend.ts";
import type { Kind, ObservedModule } from "./kind.ts";
import type { Module } from "./module.ts";
import { observeRows, outputObserver } from "./observing.ts";

/** A float module that takes a float32 tensor and gives one. */
export interface TensorModule extends Module {
  forward(x: Tensor): Tensor;
}

/**
 * A float module whose inputs keep their parameters: for integer inputs its output is quantized and
 * observed.
 *
 * @example
 * ```ts
 * import { getPreset, LayerNorm, Linear, prepare, Sequential, tensor } from "@splitgate/splitgate";
 * import type { ObservedValues } from "./observed_values.ts";
 * import { assert } from "@std/assert";
 * const linear = new Linear({ inFeatures: 2, outFeatures: 3 });
 * const norm = new LayerNorm({ normalizedShape: 3 });
 * const observed = prepare(new Sequential({ linear, norm }), getPreset("fbgemm"));
 * observed.forward(tensor([1, 5], [1, 2]));
 * const { output } = observed.modules.get("norm") as ObservedValues<LayerNorm>;
 * assert(output!.seen);
 * ```
 */
export class ObservedValues<F extends TensorModule = TensorModule> implements ObservedModule {
  /** Name of the kind. */
  readonly kind: string;
  /** A copy of the module, independent of the original. */
  readonly module: F;
  /** Source of the observer; null: it stays float32. */
  readonly qconfig: QConfig | null;
  /** "previous" if it takes integers, "float" if it takes float32. */
  readonly input: "previous" | "float";
  /** The output's observer; null: the output stays float32. */
  readonly output: Observer | null;

  /** Called by `prepare`. */
  constructor(module: F, qconfig: QConfig | null, output: Observer | null) {
    this.kind = module.kind;
    this.module = module;
    this.qconfig = qconfig;
    this.input = output === null ? "float" : "previous";
    this.output = output;
  }
}

/** The answers of a kind whose observed form is {@linkcode ObservedValues}. */
type ValuesAnswers<F extends TensorModule> = Pick<
  Kind<F, ObservedValues<F>>,
  "parts" | "observe" | "check" | "watch"
>;

/**
 * What a kind whose observed form is {@linkcode ObservedValues} answers. @param op What a target is
 * asked about.
 */
export function observedValues<F extends TensorModule>(op: BackendOp): ValuesAnswers<F> {
  return {
    parts: () => [],
    observe(module, { name, qconfig, inputs: [given], fit }) {
      const observer = qconfig === null || given === null ? null : outputObserver(qconfig);
      const runs = observer === null || fit === null ||
        supports(fit, name, op, { inputs: [given!], output: observer });
      return new ObservedValues(module, qconfig, runs ? observer : null);
    },
    check: ({ module }, [x]) => module.forward(x as Tensor),
    watch: ({ module, output }, [x], { rows }) =>
      observeRows(output, module.forward(x as Tensor), rows),
  };
}
