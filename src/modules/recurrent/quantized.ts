/**
 * Shared by quantized recurrent modules: their data, checked and copied.
 *
 * @module
 */
import type { Engine } from "../../../kernels/ops/linear.ts";
import { copyArray } from "../../../kernels/numeric/typed_array.ts";
import { type Cell, gateCount, ofPart } from "../../cells/cell.ts";
import { checkGiven, failRange, failType } from "../../core/errors.ts";
import type { PerTensorQParams } from "../../core/qparams.ts";
import { copyWeight } from "../copy.ts";
import { type QuantizedCell, stateQParams } from "./cell.ts";
import { checkRecurrent } from "./check.ts";
import { type RecurrentModule, stateSize } from "./data.ts";

/** Constructor data of every quantized recurrent module. */
export type QuantizedRecurrentOptions<C extends QuantizedCell = QuantizedCell> =
  & Omit<RecurrentModule, "kind" | "cell" | "projSize" | "cells">
  & { readonly cells: readonly (readonly C[])[] };

/** Copies of cells with their own arrays. */
function copyCells<C extends QuantizedCell>(
  cells: readonly (readonly C[])[],
): readonly (readonly C[])[] {
  if (!Array.isArray(cells) || !cells.every(Array.isArray)) {
    failType("cells", "an array of arrays", cells);
  }
  return cells.map((layer) =>
    layer.map((cell) => ({
      ...cell,
      weightIh: copyWeight(cell.weightIh),
      weightHh: copyWeight(cell.weightHh),
      weightHr: copyWeight(cell.weightHr),
      biasIh: copyArray(cell.biasIh),
      biasHh: copyArray(cell.biasHh),
    }))
  );
}

/** A quantized recurrent module. */
export abstract class QuantizedRecurrent<C extends QuantizedCell = QuantizedCell>
  implements RecurrentModule {
  /** Name of the kind. */
  abstract readonly kind: string;
  /** Width of a step of the input. */
  readonly inputSize: number;
  /** Width of each gate, and of the hidden state unless it is projected. */
  readonly hiddenSize: number;
  /** Layers above each other. */
  readonly numLayers: number;
  /** Whether cells have biases. */
  readonly bias: boolean;
  /** Whether `forward` and sessions take and give [batch, steps, ...], not [steps, batch, ...]. */
  readonly batchFirst: boolean;
  /** Whether each layer has a backward direction: then it runs whole sequences only. */
  readonly bidirectional: boolean;
  /** Whose rounding it has. */
  readonly engine: Engine;
  /** Whether it runs with split gates by default. The results are the same. */
  readonly splitGates: boolean;
  /** Parameters of the input; null takes float32 input. */
  readonly input: PerTensorQParams | null;
  /**
   * Whether initial and final states have torch's parameters; otherwise each has its own cell's.
   */
  readonly torchInitialState: boolean;
  declare readonly stateInput?: NonNullable<RecurrentModule["stateInput"]>;
  /** Cells by layer and direction. */
  readonly cells: readonly (readonly C[])[];
  /** Whether inputs and hidden states are quantized at each call, by their own range. */
  readonly dynamic: boolean;

  /** Copies the data; subclasses call `check` after setting their own. */
  constructor(options: QuantizedRecurrentOptions<C>) {
    checkGiven(options);
    this.inputSize = options.inputSize;
    this.hiddenSize = options.hiddenSize;
    this.numLayers = options.numLayers;
    this.bias = options.bias;
    this.batchFirst = options.batchFirst;
    this.bidirectional = options.bidirectional;
    this.engine = options.engine;
    this.splitGates = options.splitGates;
    this.input = options.input;
    this.torchInitialState = options.torchInitialState;
    if (options.stateInput !== undefined) this.stateInput = options.stateInput;
    this.cells = copyCells(options.cells);
    this.dynamic = options.dynamic ?? false;
  }

  /** The dataflow of its cells. @internal */
  abstract get cell(): Cell;

  /**
   * Parameters of the output: the last layer's hidden state, forward direction (torch.cat keeps the
   * first's).
   */
  get output(): PerTensorQParams | null {
    return stateQParams(this.cell, this.cells[this.numLayers - 1]![0]!);
  }

  /** Requires that the cells suit the sizes and each other. */
  protected check(): void {
    const { kind, cell, cells, inputSize, hiddenSize, numLayers, bidirectional } = this;
    const { projSize = 0 }: RecurrentModule = this;
    const size = stateSize(this);
    const directions = bidirectional ? 2 : 1;
    if (this.dynamic) {
      if (projSize > 0) failRange("projSize", `0, since the ${kind} is dynamic`, projSize);
      const all = cells.flat().flatMap(({ parts }) => Object.values(parts).flat());
      for (const given of [this.input, ...this.stateInput ?? [], ...all]) {
        if (given !== null) failRange("parts", `null, since the ${kind} is dynamic`, given);
      }
    }
    if (cells.length !== numLayers) failRange("cells", `${numLayers} layers`, cells.length);
    cells.forEach((layer, l) => {
      if (layer.length !== directions) {
        failRange(`cells[${l}]`, `${directions} directions`, layer.length);
      }
      layer.forEach(({ weightIh, weightHh, weightHr, parts }, d) => {
        const at = `cells[${l}][${d}]`;
        const width = l === 0 ? inputSize : size * directions;
        const rows = cell.gates.length * hiddenSize;
        const fits = (
          name: string,
          rows: number,
          columns: number,
          weight: typeof weightIh | undefined,
        ): void => {
          const { outFeatures, inFeatures } = weight ?? {};
          if (outFeatures !== rows || inFeatures !== columns) {
            failRange(`${at}.${name}`, `[${rows}, ${columns}]`, [outFeatures, inFeatures]);
          }
        };
        fits("weightIh", rows, width, weightIh);
        fits("weightHh", rows, size, weightHh);
        if ((weightHr !== null) !== projSize > 0 || (parts.proj !== undefined) !== projSize > 0) {
          failRange(
            `${at}.weightHr`,
            projSize > 0 ? "a weight and the part proj" : "null",
            weightHr,
          );
        }
        if (weightHr !== null) fits("weightHr", projSize, hiddenSize, weightHr);
        for (const part of cell.parts) {
          const { length } = ofPart(parts, part.name);
          const count = gateCount(cell, part);
          if (length !== count) failRange(`${at}.parts.${part.name}`, `${count} qparams`, length);
        }
      });
    });
    checkRecurrent(kind, this, this.input);
    if (this.stateInput !== undefined) checkRecurrent(kind, this, this.input, this.stateInput);
  }
}
