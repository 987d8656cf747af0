/**
 * LogSoftmax as a kind of module.
 *
 * @module
 */
import { logSoftmaxFloat32 } from "../../../kernels/ops/softmax.ts";
import { logSoftmax } from "../../runtime/kinds/log_softmax.ts";
import { activationKind } from "../activation.ts";
import { LogSoftmax } from "./float.ts";

/** LogSoftmax: the logarithm of Softmax, always in float32. */
export const logSoftmaxKind = activationKind<LogSoftmax, Record<never, never>>({
  name: "LogSoftmax",
  op: "log_softmax",
  output: "float32",
  running: logSoftmax,
  make: () => new LogSoftmax(),
  details: () => ({}),
  compute: (_details, x, out, width) => logSoftmaxFloat32(x, out, width),
  program: () => ({}),
  write: () => ({}),
  read: () => ({}),
});
