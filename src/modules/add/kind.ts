/**
 * Add as a kind of module. Of integers it is torch's quantized::add, in either rounding family.
 *
 * @module
 */
import type { FixedPointAdd } from "../../../kernels/ops/elementwise.ts";
import type { Engine } from "../../../kernels/ops/linear.ts";
import { addsInFixedPoint, fixedPointAdd } from "../../../kernels/packed/lower.ts";
import { MAX_SIZE } from "../../core/check.ts";
import { checkInteger, failRange } from "../../core/errors.ts";
import type { Tensor } from "../../core/tensor.ts";
import { add as running, type AddProgram } from "../../runtime/kinds/add.ts";
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
import type { Kind, Value } from "../kind.ts";
import { observeRows } from "../observing.ts";
import { Add } from "./float.ts";

/** A quantized sum as plain data. */
export interface AddModule extends JoinModule {
  /** Whose rounding it has. */
  readonly engine: Engine;
}

/** Constants of qnnpack's addition; null for other arithmetic. */
function fixedPoint(name: string, engine: Engine, ports: JoinPorts): FixedPointAdd | null {
  const { inputs: [a, b], output } = ports;
  return addsInFixedPoint(engine, a!.qparams, b!.qparams, output)
    ? fixedPointAdd(name, a!.qparams!, b!.qparams!, output!)
    : null;
}

/** Checks the parameters of a sum, including qnnpack's limits on scales. */
function addModule(name: string, engine: Engine, ports: JoinPorts): AddModule {
  const [size, ...others] = ports.inputs.map((input) => input.size);
  checkInteger(`${name}.inputs[0]`, size, 1, MAX_SIZE);
  if (others.length !== 1 || others[0] !== size) {
    failRange(`${name}.inputs`, "two of one width", [size, ...others]);
  }
  checkJoin(name, ports);
  fixedPoint(name, engine, ports);
  return { kind: "Add", engine, ...ports };
}

const sizeOf = ({ inputs }: JoinPorts) => inputs[0]!.size;

const sum = (module: Add, [a, b]: readonly Value[]) => module.forward(a as Tensor, b as Tensor);

/** Add: the sum of two values. */
export const addKind: Kind<Add, ObservedJoin<Add>, AddModule> = {
  name: "Add",
  time: "row",
  inputs: 2,
  hasState: false,
  hasWeight: false,
  hasFamily: true,

  options: [],
  create: () => new Add(),
  inputSize: () => undefined,
  outputSize(name, _module, [a, b]) {
    if (a === null || b === null) failRange(name, "inputs of values", "token ids");
    if (a !== b) failRange(name, "two inputs of one width", `widths ${a} and ${b}`);
    return a!;
  },
  batchFirst: () => null,
  forward: sum,

  parts: () => [],
  observe: (module, context) => observeJoin(module, context, "add"),
  check: ({ module }, inputs) => sum(module, inputs),
  watch: ({ module, output }, inputs, { rows }) => observeRows(output, sum(module, inputs), rows),

  convert: (observed, context) =>
    addModule(
      context.name,
      observed.qconfig?.engine ?? "fbgemm",
      convertJoin(observed, context),
    ),
  withInputs: (module, given) => addModule("Add", module.engine, withJoinInputs(module, given)),
  ends: (module) => joinEnds(module, sizeOf(module)),
  fingerprint: ({ engine, inputs, output }) => [engine, inputs, output],

  running: [running],
  lower(name, module): AddProgram {
    const { inputs, output } = joinEnds(module, sizeOf(module));
    return { kind: "Add", inputs, output, fixedPoint: fixedPoint(name, module.engine, module) };
  },

  ops: {},
  reference: (module, name, values, builder) =>
    referenceJoin(module, name, values, builder, { op: "add", width: sizeOf(module) }),

  write: (module, file) => ({ engine: module.engine, ...writeJoin(module, file) }),
  read: (file) => addModule(file.name, file.engine("engine"), readJoin(file)),
};
