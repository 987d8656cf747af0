/**
 * The part of the kind interface shared by recurrent modules.
 *
 * @module
 */
import { gateSuffix, ofPart, type PartName, rowSpan } from "../../cells/cell.ts";
import { failRange } from "../../core/errors.ts";
import type { PerTensorQParams } from "../../core/qparams.ts";
import { shapeSize, type Tensor } from "../../core/tensor.ts";
import type { NodeProgram, RunningKind } from "../../runtime/kind.ts";
import { checkDynamic } from "../dynamic.ts";
import {
  failWidth,
  type FloatCall,
  type InitialState,
  type Kind,
  type ObserveContext,
} from "../kind.ts";
import type { ModuleReader } from "../file.ts";
import { inputObserved, inputObserver, requiredQConfig } from "../observing.ts";
import { type RecurrentSizes, recurrentSizes } from "../shapes.ts";
import { weightObserver } from "../rounding/weights.ts";
import { convertCells, rowsToRound, tableProjections } from "./convert.ts";
import { cellIndices, cellName, recurrentEnds, type RecurrentSource } from "./data.ts";
import { writeRecurrent } from "./file.ts";
import { fitRecurrent } from "./fit.ts";
import type { FloatRecurrent } from "./float.ts";
import { completeRecurrent, type RecurrentProgram } from "./lower.ts";
import { ObservedRecurrent } from "./observed.ts";
import type { QuantizedRecurrent, QuantizedRecurrentOptions } from "./quantized.ts";
import { referenceRecurrent } from "./reference.ts";
import { planSequence, type RecurrentForwardOptions } from "./sequence.ts";

/** The differences between kinds of recurrent modules. */
export interface RecurrentAnswers<F extends FloatRecurrent, Q extends QuantizedRecurrent> {
  /** PyTorch's name. */
  readonly name: string;
  /** Number of gates of a cell. */
  readonly gates: number;
  /** Names of the options for what its cells compute. */
  readonly functionOptions: readonly string[];
  /** Those of a module that differ from the defaults. */
  functionsOf(module: F | Q): object;
  /** Makes a float module of these options and sizes. */
  create(options: Readonly<Record<string, unknown>>, sizes: RecurrentSizes): F;
  /** Runs the float module. */
  forward(
    module: F,
    x: Tensor,
    state: InitialState | undefined,
    options: RecurrentForwardOptions,
  ): Tensor;
  /** Why a module cannot be quantized dynamically; null where it can. */
  staticOnly(
    module: F,
  ): { readonly option: string; readonly expected: string; readonly got: unknown } | null;
  /** Makes the quantized module from converted cells and the float module's other fields. */
  quantized(module: F, options: QuantizedRecurrentOptions): Q;
  /** Makes a quantized module from data. */
  with(quantized: Q, changed: Partial<QuantizedRecurrentOptions>): Q;
  /** Further data that its results depend on, in a fixed order, for fingerprints. */
  fingerprint(quantized: Q): readonly unknown[];
  /** Running halves, static and dynamic. */
  readonly running: readonly [RunningKind<never>, RunningKind<never>];
  /** Lowers it. */
  lower(source: RecurrentSource<Q>): RecurrentProgram;
  /** Lowers a dynamic module. */
  lowerDynamic(quantized: Q): NodeProgram;
  /** Reads a module from a file. */
  read(file: ModuleReader): Q;
}

function optionsOf({ lengths }: FloatCall): RecurrentForwardOptions {
  return lengths === null ? {} : { lengths };
}

/** Bytes of one gate's projected input, per unit and direction: float32. */
const FOLDED_GATE_BYTES = 4;

/** Given states as an array, in the cell's order; a module with one state takes a single tensor. */
function statesOf(state: InitialState | undefined): readonly Tensor[] | undefined {
  return state === undefined || Array.isArray(state) ? state as Tensor[] : [state as Tensor];
}

/** A kind of recurrent modules. */
export function recurrentKind<
  F extends FloatRecurrent,
  O extends ObservedRecurrent<F>,
  Q extends QuantizedRecurrent,
>(answers: RecurrentAnswers<F, Q>): Kind<F, O, Q> {
  const { name, lower, lowerDynamic } = answers;
  const observe = (module: F, context: ObserveContext): O => {
    const qconfig = requiredQConfig(context);
    const { name, inputs: [given], splitGates, tableRows, tableRounded, fit } = context;
    weightObserver(`${name}.weight`, qconfig.weight);
    if (qconfig.dynamic) {
      checkDynamic(name, qconfig, fit);
      const fault = answers.staticOnly(module);
      if (fault !== null) failRange(`${name}.${fault.option}`, fault.expected, fault.got);
    }
    const input = inputObserver(qconfig, given!, tableRows !== null);
    const tokens = tableRounded ? tableRows : null;
    const observed = new ObservedRecurrent(module, qconfig, input, splitGates, tokens);
    if (fit !== null) fitRecurrent(fit, name, observed, inputObserved(input, given!));
    return observed as O;
  };
  return {
    name,
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
    options: ["batchFirst", ...answers.functionOptions],
    optionsOf: (module) => ({ batchFirst: module.batchFirst, ...answers.functionsOf(module) }),
    create: (options, shapes) => answers.create(options, recurrentSizes(shapes, answers.gates)),
    forward: (module, [x], call) =>
      answers.forward(module, x as Tensor, call.state, optionsOf(call)),

    parts: ({ cell }) => cell.parts,
    *innerObservers({ module: { cell }, cells, splitGates, state }) {
      for (const [i, { name }] of cell.states.entries()) {
        const observer = state?.[i];
        if (observer?.seen) yield [`${name}0`, observer];
      }
      for (const [l, layer] of cells.entries()) {
        for (const [d, { observers }] of layer.entries()) {
          const at = cellName(l, d);
          for (const { name, gated } of cell.parts) {
            const split = gated && splitGates;
            const each = ofPart(observers, name);
            for (const [g, observer] of (split ? each : each.slice(0, 1)).entries()) {
              const suffix = gateSuffix(cell, split ? g : -1);
              if (observer !== null) yield [`${at}.${name}${suffix}`, observer];
            }
          }
          for (const { name } of cell.parts) {
            for (const [i, observer] of observers.inputs?.[name]?.entries() ?? []) {
              if (observer !== null) yield [`${at}.${name}.inputs[${i}]`, observer];
            }
          }
        }
      }
    },
    cells: {
      parts: ({ module }) => module.cell.parts,
      observers({ cells }, cell, part) {
        const [l, d] = cellIndices(cell);
        return ofPart(cells[l]![d]!.observers, part as PartName).filter((each) => each !== null);
      },
      withQParams: (quantized, qparams) =>
        answers.with(quantized, {
          cells: quantized.cells.map((layer, l) =>
            layer.map((own, d) => {
              const parts: Record<string, unknown> = { ...own.parts };
              for (const part of quantized.cell.parts) {
                const given = ofPart<PerTensorQParams | null>(own.parts, part.name);
                const chosen = qparams(cellName(l, d), part, given);
                parts[part.name] = part.gated ? chosen : chosen[0];
              }
              return { ...own, parts };
            })
          ),
        }),
    },
    observe,
    check({ module }, [x], call) {
      planSequence(module, x as Tensor, statesOf(call.state), optionsOf(call));
      const shape = [...x!.shape.slice(0, -1), module.outputSize];
      return { data: new Float32Array(shapeSize(shape)), shape };
    },
    watch: (observed, [x], call) =>
      observed.forward(x as Tensor, statesOf(call.state), optionsOf(call), call.tokens[0])[0],

    *convert(observed, context) {
      return answers.quantized(observed.module, yield* convertCells(observed, context));
    },
    rowsToRound,
    tableProjections,
    withInputs: (quantized, [input]) => answers.with(quantized, { input: input! }),
    ends: (quantized) => ({
      ...recurrentEnds(quantized),
      looksAhead: quantized.bidirectional,
      batchFirst: quantized.batchFirst,
    }),
    fingerprint: answers.fingerprint,

    running: answers.running,
    lower: (_name, quantized) =>
      quantized.dynamic
        ? lowerDynamic(quantized)
        : lower({ module: quantized, input: quantized.input, tokens: null }),
    complete: (program) =>
      program.kind === name ? completeRecurrent(program as RecurrentProgram) : program,
    foldedBytes: ({ dynamic, hiddenSize, cell, cells }, count) =>
      dynamic
        ? null
        : count * hiddenSize * cell.gates.length * FOLDED_GATE_BYTES * cells[0]!.length,
    lowerTokens: (_name, quantized, tokens, rounded) =>
      lower({ module: quantized, input: rounded ? quantized.input : null, tokens }),

    ops: {},
    reference(quantized, name, [value], builder) {
      if (quantized.dynamic) {
        const expected = "no dynamic module: its integers differ from call to call";
        failRange(`modules.${name}`, expected, "one");
      }
      const input = builder.convert(value!, quantized.input, { module: name }, `${name}.input`);
      return referenceRecurrent(quantized, name, input, builder);
    },
    floatWeight({ module: { cell }, cells }, { cell: at, part: name, gate }) {
      const [l, d] = cellIndices(at!);
      const { weights } = cells[l]![d]!;
      const part = cell.parts.find((part) => part.name === name)!;
      const span = rowSpan(cell, part, gate ?? -1);
      if (span === null) return weights.weightHr!;
      const whole = part.weight === "ih" ? weights.weightIh : weights.weightHh;
      const each = whole.length / cell.gates.length;
      return whole.subarray(span[0] * each, span[1] * each);
    },

    write: (quantized, file) => writeRecurrent(quantized, file, answers.functionsOf(quantized)),
    read: answers.read,
  };
}
