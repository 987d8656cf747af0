/**
 * LSTM, to the rest of the package.
 *
 * @module
 */
import {
  FUNCTION_OPTIONS,
  functionOptions,
  functionsOf,
  hasLSTMFunctions,
} from "../../cells/functions.ts";
import { GATES, lstmParts, type PartName } from "../../cells/lstm_parts.ts";
import { failRange } from "../../core/errors.ts";
import type { PerTensorQParams } from "../../core/qparams.ts";
import { shapeSize, type Tensor } from "../../core/tensor.ts";
import { dynamicLSTM } from "../../runtime/kinds/dynamic_lstm.ts";
import { lstm as running, type LSTMProgram } from "../../runtime/kinds/lstm.ts";
import { checkDynamic } from "../dynamic.ts";
import type { Observer } from "../../observer/observer.ts";
import {
  type CellsOf,
  failWidth,
  type FloatCall,
  type Kind,
  type ObserveContext,
} from "../kind.ts";
import { inputObserved, inputObserver, requiredQConfig } from "../observing.ts";
import { recurrentSizes } from "../shapes.ts";
import { weightObserver } from "../rounding/weights.ts";
import { convertLSTM, rowsToRound, suffixOf, tableProjections } from "./convert.ts";
import { lstmEnds } from "./data.ts";
import { readLSTM, writeLSTM } from "./file.ts";
import { fitLSTM } from "./fit.ts";
import { LSTM } from "./float.ts";
import { completeLSTM, lowerDynamicLSTM, lowerLSTM } from "./lower.ts";
import { ObservedLSTM } from "./observed.ts";
import { QuantizedLSTM } from "./quantized.ts";
import { referenceLSTM } from "./reference.ts";
import { type LSTMForwardOptions, planSequence } from "./sequence.ts";

/** Bytes of a token's projected input, of each unit and direction: four gates in float32. */
const FOLDED_UNIT_BYTES = 16;

function optionsOf({ lengths }: FloatCall): LSTMForwardOptions {
  return lengths === null ? {} : { lengths };
}

function observe(module: LSTM, context: ObserveContext): ObservedLSTM {
  const qconfig = requiredQConfig(context);
  const { name, inputs: [given], splitGates, tableRows, tableRounded, fit } = context;
  weightObserver(`${name}.weight`, qconfig.weight);
  if (qconfig.dynamic) {
    checkDynamic(name, qconfig, fit);
    if (module.projSize > 0) {
      failRange(`${name}.projSize`, "0, since the LSTM is dynamic", module.projSize);
    }
  }
  const input = inputObserver(qconfig, given!, tableRows !== null);
  const observed = new ObservedLSTM(
    module,
    qconfig,
    input,
    splitGates,
    tableRounded ? tableRows : null,
  );
  if (fit !== null) fitLSTM(fit, name, observed, inputObserved(input, given!));
  return observed;
}

/** Layer and direction that PyTorch calls `l0` or `l0_reverse`. */
function indicesOf(cell: string): readonly [layer: number, direction: number] {
  const [, layer, reverse] = /^l(\d+)(_reverse)?$/.exec(cell)!;
  return [Number(layer), reverse === undefined ? 0 : 1];
}

const lstmCells: CellsOf<ObservedLSTM, QuantizedLSTM> = {
  parts: ({ lstm }) => lstmParts(lstm.projSize > 0, lstm),
  observers({ cells }, cell, part) {
    const [l, d] = indicesOf(cell);
    const observer = cells[l]![d]!.observers[part as PartName];
    return [observer].flat() as Observer[];
  },
  withQParams: (lstm, qparams) =>
    new QuantizedLSTM({
      ...lstm,
      cells: lstm.cells.map((layer, l) =>
        layer.map((cell, d) => {
          const parts: Record<string, unknown> = { ...cell.parts };
          for (const part of lstmParts(lstm.projSize > 0, lstm)) {
            const own = cell.parts[part.name];
            const given = [own].flat() as (PerTensorQParams | null)[];
            const chosen = qparams(`l${l}${d === 1 ? "_reverse" : ""}`, part, given);
            parts[part.name] = Array.isArray(own) ? chosen : chosen[0];
          }
          return { ...cell, parts: parts as unknown as typeof cell.parts };
        })
      ),
    }),
};

/** LSTM: any number of layers in one or both directions. */
export const lstmKind: Kind<LSTM, ObservedLSTM, QuantizedLSTM> = {
  name: "LSTM",
  time: "sequence",
  inputs: 1,
  hasState: true,
  hasWeight: true,

  inputSize: ({ inputSize }) => inputSize,
  outputSize(name, { inputSize, outputSize }, [given]) {
    if (given !== inputSize) failWidth(name, given!, inputSize);
    return outputSize;
  },
  batchFirst: ({ batchFirst }) => batchFirst,
  givesHidden: ({ bidirectional }) => bidirectional ? 2 : 1,
  options: ["batchFirst", ...FUNCTION_OPTIONS],
  optionsOf: (lstm) => ({ batchFirst: lstm.batchFirst, ...functionOptions(lstm) }),
  create: (options, shapes) => new LSTM({ ...options, ...recurrentSizes(shapes, GATES.length) }),
  forward: (module, [x], call) => module.forward(x as Tensor, call.state, optionsOf(call))[0],

  parts: (lstm) => lstmParts(lstm.projSize > 0, lstm),
  *innerObservers({ cells, splitGates, state }) {
    for (const [i, name] of ["h0", "c0"].entries()) {
      if (state?.[i]?.seen) yield [name, state[i]];
    }
    for (const [l, layer] of cells.entries()) {
      for (const [d, { observers: { inputs = {}, ...outputs } }] of layer.entries()) {
        const cell = suffixOf(l, d);
        for (const [part, own] of Object.entries(outputs)) {
          const each = [own].flat() as (Observer | null)[];
          for (const [g, observer] of (splitGates ? each : each.slice(0, 1)).entries()) {
            const gate = each.length > 1 && splitGates ? `.${GATES[g]}` : "";
            if (observer !== null) yield [`${cell}.${part}${gate}`, observer];
          }
        }
        for (const [part, own] of Object.entries(inputs)) {
          for (const [i, observer] of own.entries()) {
            if (observer !== null) yield [`${cell}.${part}.inputs[${i}]`, observer];
          }
        }
      }
    }
  },
  cells: lstmCells,
  observe,
  check({ lstm }, [x], call) {
    planSequence(lstm, x as Tensor, call.state, optionsOf(call));
    const shape = [...x!.shape.slice(0, -1), lstm.outputSize];
    return { data: new Float32Array(shapeSize(shape)), shape };
  },
  watch: (observed, [x], call) =>
    observed.forward(x as Tensor, call.state, optionsOf(call), call.tokens[0])[0],

  convert: convertLSTM,
  rowsToRound,
  tableProjections,
  withInputs: (lstm, [input]) => new QuantizedLSTM({ ...lstm, input: input! }),
  ends: (lstm) => ({
    ...lstmEnds(lstm),
    looksAhead: lstm.bidirectional,
    batchFirst: lstm.batchFirst,
  }),
  fingerprint: (lstm) => [
    lstm.engine,
    lstm.hiddenSize,
    lstm.projSize,
    lstm.input,
    lstm.torchInitialState,
    lstm.dynamic,
    lstm.cells,
    ...hasLSTMFunctions(lstm) ? [] : [functionsOf(lstm)],
  ],

  running: [running, dynamicLSTM],
  lower: (_name, lstm) =>
    lstm.dynamic
      ? lowerDynamicLSTM(lstm)
      : lowerLSTM({ module: lstm, input: lstm.input, tokens: null }),
  complete: (program, vocabulary) =>
    program.kind === "LSTM" ? completeLSTM(program as LSTMProgram, vocabulary) : program,
  foldedBytes: ({ dynamic, hiddenSize, cells }, count) =>
    dynamic ? null : count * hiddenSize * FOLDED_UNIT_BYTES * cells[0]!.length,
  lowerTokens: (_name, lstm, tokens, rounded) =>
    lowerLSTM({ module: lstm, input: rounded ? lstm.input : null, tokens }),

  ops: {},
  reference(lstm, name, [value], builder) {
    if (lstm.dynamic) {
      const expected = "no dynamic module: its integers differ from call to call";
      failRange(`modules.${name}`, expected, "one");
    }
    const input = builder.convert(value!, lstm.input, { module: name }, `${name}.input`);
    return referenceLSTM(lstm, name, input, builder);
  },
  floatWeight({ cells }, { cell, part, gate }) {
    const [l, d] = indicesOf(cell!);
    const { weights } = cells[l]![d]!;
    const whole = part === "igates"
      ? weights.weightIh
      : part === "hgates"
      ? weights.weightHh
      : weights.weightHr!;
    if (gate === undefined) return whole;
    return whole.subarray(gate * whole.length / 4, (gate + 1) * whole.length / 4);
  },

  write: writeLSTM,
  read: readLSTM,
};
