/**
 * The observed linear layer.
 *
 * @module
 */
import type { Linear } from "../nn/linear.ts";
import type { Observer } from "../observer/observer.ts";
import type { QConfig } from "../qconfig/qconfig.ts";
import type { Tensor } from "../tensor.ts";
import type { InputObserver } from "./observed_model.ts";

/** A float linear layer whose output, and input where it comes as float32, are observed. */
export class ObservedLinear {
  /** The layer: a copy, so that what happens to the original does not matter. */
  readonly linear: Linear;
  readonly qconfig: QConfig;
  readonly input: InputObserver;
  /** null: the output stays float32. */
  readonly output: Observer | null;

  /** Use `prepare`. */
  constructor(linear: Linear, qconfig: QConfig, input: InputObserver) {
    const output = qconfig.activation();
    this.linear = linear;
    this.qconfig = qconfig;
    this.input = input;
    this.output = output.dtype === undefined ? null : output;
  }

  /** The float layer's output. What shows it to the observer is the model, which knows which rows are padding. */
  forward(x: Tensor): Tensor {
    return this.linear.forward(x);
  }
}
