/**
 * Softmax as a kind of module.
 *
 * @module
 */
import type { Engine } from "../../../kernels/ops/linear.ts";
import { softmaxEngine, softmaxFloat32 } from "../../../kernels/ops/softmax.ts";
import { dtypeRange } from "../../core/dtype.ts";
import { softmax } from "../../runtime/kinds/softmax.ts";
import { type ActivationData, activationKind } from "../activation.ts";
import { Softmax } from "./float.ts";

/** What a quantized Softmax computes. */
interface SoftmaxDetails {
  /** Whose rounding it has. */
  readonly engine: Engine;
}

/**
 * Whether torch uses qnnpack's fixed point, which depends on the dtype alone, since torch's tensors
 * have no restricted range.
 */
function inFixedPoint({ input, output, details }: ActivationData<SoftmaxDetails>): boolean {
  if (input?.dtype !== "quint8" || output?.dtype !== "quint8") return false;
  const [quantMin, quantMax] = dtypeRange("quint8");
  const whole = { quantMin, quantMax };
  return softmaxEngine(details.engine, { ...input, ...whole }, output) === "qnnpack";
}

/** Softmax: positive numbers of sum 1, with fixed parameters. */
export const softmaxKind = activationKind<Softmax, SoftmaxDetails>({
  name: "Softmax",
  op: "softmax",
  backendOp: "softmax",
  output: [0, 1],
  running: softmax,
  make: () => new Softmax(),
  details: (_module, engine) => ({ engine }),
  compute: (_details, x, out, width) => softmaxFloat32(x, out, width),
  program: (data) => ({ fixedPoint: inFixedPoint(data) }),
  write: ({ engine }) => ({ engine }),
  read: (file) => ({ engine: file.engine("engine") }),
});
