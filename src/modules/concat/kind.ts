/**
 * Concat as a kind of module. Of integers it is torch's quantized::cat: each is dequantized, and
 * quantized to the output's parameters.
 *
 * @module
 */
import { MAX_SIZE } from "../../core/check.ts";
import { checkInteger, failRange } from "../../core/errors.ts";
import type { Tensor } from "../../core/tensor.ts";
import { concat as running } from "../../runtime/kinds/concat.ts";
import {
  checkJoin,
  convertJoin,
  joinEnds,
  type JoinModule,
  type JoinPorts,
  type ObservedJoin,
  observeJoin,
  readJoin,
  referenceJoin,
  withJoinInputs,
  writeJoin,
} from "../join.ts";
import type { Kind } from "../kind.ts";
import { observeRows } from "../observing.ts";
import { Concat } from "./float.ts";

function widthOf({ inputs }: JoinPorts): number {
  return inputs.reduce((sum, { size }) => sum + size, 0);
}

/** Checks the parameters of a concatenation. */
function concatModule(name: string, ports: JoinPorts): JoinModule {
  ports.inputs.forEach(({ size }, i) => checkInteger(`${name}.inputs[${i}]`, size, 1, MAX_SIZE));
  checkInteger(`${name}'s width`, widthOf(ports), 2, MAX_SIZE);
  checkJoin(name, ports);
  return { kind: "Concat", ...ports };
}

/** Concat: features side by side. */
export const concatKind: Kind<Concat, ObservedJoin<Concat>, JoinModule> = {
  name: "Concat",
  time: "row",
  inputs: "many",
  hasState: false,
  hasWeight: false,

  options: [],
  create: () => new Concat(),
  inputSize: () => undefined,
  outputSize(name, _module, given) {
    if (given.includes(null)) failRange(name, "inputs of values", "token ids");
    return (given as readonly number[]).reduce((sum, size) => sum + size, 0);
  },
  batchFirst: () => null,
  forward: (module, inputs) => module.forward(inputs as readonly Tensor[]),

  parts: () => [],
  observe: (module, context) => observeJoin(module, context, "concat"),
  check: ({ module }, inputs) => module.forward(inputs as readonly Tensor[]),
  watch: ({ module, output }, inputs, { rows }) =>
    observeRows(output, module.forward(inputs as readonly Tensor[]), rows),

  convert: (observed, context) => concatModule(context.name, convertJoin(observed, context)),
  withInputs: (module, given) => concatModule("Concat", withJoinInputs(module, given)),
  ends: (module) => joinEnds(module, widthOf(module)),
  fingerprint: ({ inputs, output }) => [inputs, output],

  running: [running],
  lower(_name, module) {
    const { inputs, output } = joinEnds(module, widthOf(module));
    return { kind: "Concat", inputs, output };
  },

  ops: {},
  reference: (module, name, values, builder) =>
    referenceJoin(module, name, values, builder, { op: "concat", width: widthOf(module) }),

  write: writeJoin,
  read: (file) => concatModule(file.name, readJoin(file)),
};
