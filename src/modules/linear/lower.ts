/**
 * Lowering of Linear.
 *
 * @module
 */
import { rowOrder } from "../../../kernels/packed/lower.ts";
import { failRange } from "../../core/errors.ts";
import type { DynamicLinearProgram } from "../../runtime/kinds/dynamic_linear.ts";
import type { LinearProgram } from "../../runtime/kinds/linear.ts";
import type { QuantizedEnds } from "../kind.ts";
import { lowerProjector, packs, reluFloor } from "../lower_projector.ts";
import type { LinearModule } from "./data.ts";

/** Ports of a Linear. */
export function linearEnds({ weight, input, output }: LinearModule): QuantizedEnds {
  return {
    inputs: [{ size: weight.inFeatures, qparams: input }],
    output: { size: weight.outFeatures, qparams: output },
    batchFirst: null,
  };
}

/** Lowers a dynamic Linear. */
export function lowerDynamicLinear(linear: LinearModule): DynamicLinearProgram {
  const { engine, weight, bias, relu = false } = linear;
  const { inputs, output } = linearEnds(linear);
  return { kind: "DynamicLinear", inputs, output, engine, weight, bias, relu };
}

/**
 * Lowers a static Linear.
 *
 * @throws {RangeError} If its input has more than 24 bits.
 */
export function lowerLinear(name: string, linear: LinearModule): LinearProgram {
  const { engine, weight, bias, input, relu = false } = linear;
  if (!packs(input)) {
    const range = `${input!.quantMin}..${input!.quantMax}`;
    failRange(`${name}.input`, "parameters of at most 24 bits", range);
  }
  const { inputs, output } = linearEnds(linear);
  const to = relu && output.qparams !== null ? reluFloor(output.qparams) : output.qparams;
  const order = rowOrder(weight.outFeatures);
  const projector = lowerProjector({ engine, weight, bias, order }, input, [to]);
  return { kind: "Linear", inputs, output, projector, relu };
}
