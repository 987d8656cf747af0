/**
 * Flatten as a kind of module.
 *
 * @module
 */
import { MAX_SIZE } from "../../core/check.ts";
import { checkInteger, failRange } from "../../core/errors.ts";
import type { PerTensorQParams } from "../../core/qparams.ts";
import type { Tensor } from "../../core/tensor.ts";
import type { Observer } from "../../observer/observer.ts";
import type { QConfig } from "../../qconfig/qconfig.ts";
import { flatten as running, type FlattenProgram } from "../../runtime/kinds/flatten.ts";
import { checkValues } from "../check.ts";
import { failWidth, type InputObserver, type Kind, type ObservedModule } from "../kind.ts";
import type { QuantizedModule } from "../kind.ts";
import { takenAsGiven } from "../observing.ts";
import { lengthsOption } from "../pool.ts";
import { Flatten, type FlattenOptions, type FlattenOrder, flattenRows } from "./float.ts";

/** A Flatten in an observed model. It needs no observer of its own, since its input is observed. */
export interface ObservedFlatten extends ObservedModule {
  readonly module: Flatten;
  /** Values a step. */
  readonly size: number;
  readonly input: InputObserver;
  readonly output: Observer | null;
  readonly qconfig: QConfig | null;
}

/** A quantized Flatten as plain data. */
export interface FlattenModule extends QuantizedModule, FlattenOrder {
  /** Values a step. */
  readonly size: number;
  /** Parameters of its input and output; null: float32. */
  readonly qparams: PerTensorQParams | null;
  /** Whether sequences are [batch, steps, ...]. */
  readonly batchFirst: boolean;
}

function checked(name: string, data: Omit<FlattenModule, "kind">): FlattenModule {
  const { size, steps, qparams } = data;
  checkInteger(`${name}.size`, size, 1, MAX_SIZE);
  checkInteger(`${name}.steps`, steps, 1, MAX_SIZE);
  if (size * steps > MAX_SIZE) failRange(`${name}.steps`, `at most ${MAX_SIZE} values`, steps);
  checkValues(`${name}.qparams`, qparams);
  return { ...data, kind: "Flatten" };
}

function lower({ size, steps, stepsFirst, qparams }: FlattenModule): FlattenProgram {
  return {
    kind: "Flatten",
    inputs: [{ size, qparams }],
    output: { size: size * steps, qparams },
    steps,
    stepsFirst,
  };
}

/** Flatten: every step of a sequence in one row. */
export const flattenKind: Kind<Flatten, ObservedFlatten, FlattenModule> = {
  name: "Flatten",
  time: "end",
  inputs: 1,
  hasState: false,
  hasWeight: false,

  options: ["steps", "stepsFirst", "batchFirst"],
  create: (options) => new Flatten(options as unknown as FlattenOptions),
  inputSize: () => undefined,
  outputSize(name, { steps }, [given]) {
    if (given === null) failWidth(name, 1, null);
    return given! * steps;
  },
  batchFirst: ({ batchFirst }) => batchFirst,
  forward: (module, [x], call) => module.forward(x as Tensor, lengthsOption(call)),

  parts: () => [],
  observe: (module, { inputs: [given], sizes: [size], qconfig }) => ({
    kind: "Flatten",
    module,
    size: size!,
    input: takenAsGiven(given!),
    output: given!,
    qconfig,
  }),
  check: ({ module }, [x], call) => module.forward(x as Tensor, lengthsOption(call)),
  watch: ({ module }, [x], call) => module.forward(x as Tensor, lengthsOption(call)),

  convert: ({ module: { steps, stepsFirst, batchFirst }, size }, { name, given: [qparams] }) =>
    checked(name, { size, steps, stepsFirst, batchFirst, qparams: qparams! }),
  withInputs: (quantized, [qparams]) => checked("Flatten", { ...quantized, qparams: qparams! }),
  ends(quantized) {
    const { inputs, output } = lower(quantized);
    return { inputs, output, looksAhead: true, batchFirst: quantized.batchFirst };
  },
  fingerprint: ({ size, steps, stepsFirst, qparams }) => [size, steps, stepsFirst, qparams],

  running: [running],
  lower: (_name, quantized) => lower(quantized),

  ops: {
    flatten: {
      inputs: 1,
      endsTime: true,
      width: ({ constants }, [given]) => given! * (constants!.steps as number),
      compute({ constants }, [x], layout) {
        const order = constants as unknown as FlattenOrder;
        if (layout.steps !== order.steps || layout.lengths?.some((n) => n !== order.steps)) {
          failRange("x.shape", `${order.steps} steps, as Flatten has`, layout.steps);
        }
        return flattenRows(x as Float32Array, order, layout);
      },
    },
  },
  reference({ size, steps, stepsFirst, qparams }, name, [value], builder) {
    const owner = { module: name };
    const { float } = builder.convert(value!, qparams, owner, `${name}.input`);
    const constants = { steps, stepsFirst };
    const width = size * steps;
    const node = { name, op: "flatten", inputs: [float], width, constants, ...owner };
    return builder.operation(node, owner, qparams);
  },

  write: ({ size, steps, stepsFirst, qparams, batchFirst }, file) => ({
    size,
    steps,
    qparams: file.qparams(qparams),
    ...stepsFirst && { stepsFirst },
    ...batchFirst && { batchFirst },
  }),
  read: (file) =>
    checked(file.name, {
      size: file.field("size") as number,
      steps: file.field("steps") as number,
      qparams: file.qparams("qparams", file.field("qparams")),
      stepsFirst: file.option("stepsFirst"),
      batchFirst: file.option("batchFirst"),
    }),
};
