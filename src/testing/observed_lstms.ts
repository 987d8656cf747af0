// Arbitraries for the tests of observed, reference and quantized modules.
import fc from "fast-check";
import type { Arbitrary } from "./arbitrary.ts";
import { FixedQParamsObserver } from "../observer/fixed.ts";
import { Generator } from "../core/generator.ts";
import { LSTM, type LSTMOptions } from "../modules/lstm/float.ts";
import { MinMaxObserver } from "../observer/min_max.ts";
import type { ObserverFactory } from "../observer/observer.ts";
import type { PartObserver, PartObservers } from "../qconfig/qconfig.ts";
import type { PartSlot } from "../cells/names.ts";
import type { Tensor } from "../core/tensor.ts";
import { lstmCell } from "../cells/lstm_parts.ts";
import { lstmOptions, random } from "./float_lstms.ts";

/** The range of values that a slot's fixed qparams cover. */
const SPAN: Record<PartSlot, [number, number]> = {
  inputProjection: [-8, 8],
  hiddenProjection: [-8, 8],
  linearOutput: [-12, 12],
  sigmoid: [0, 1],
  resetState: [-4, 4],
  tanh: [-1, 1],
  cellState: [-6, 6],
  cellTanh: [-1, 1],
  stateChange: [-2, 2],
  hiddenState: [-1, 1],
  projection: [-2, 2],
};

/** An observer factory of a dtype: calibrated, or fixed for the slot's range. */
function observersOf(
  slot: PartSlot,
  bits: 8 | 16 | 32,
  signed: boolean,
  fixed: boolean,
): ObserverFactory {
  const [min, max] = SPAN[slot];
  const half = 2 ** (Math.min(bits, 24) - 1);
  const dtype = bits > 8 ? "qint32" as const : signed ? "qint8" as const : "quint8" as const;
  const quantMin = signed ? -half : 0;
  const quantMax = quantMin + 2 * half - 1;
  const range = bits === 32 ? {} : { quantMin, quantMax };
  if (fixed) {
    const scale = (max - min) / (2 * half - 1);
    const zeroPoint = Math.min(Math.max(quantMin - Math.round(min / scale), quantMin), quantMax);
    return FixedQParamsObserver.withArgs({
      dtype,
      scale,
      zeroPoint: bits === 32 ? 0 : zeroPoint,
      ...range,
    });
  }
  // In the full range of qint32 an affine zero point is meaningless.
  return MinMaxObserver.withArgs({
    dtype,
    ...range,
    ...(bits === 32 ? { qscheme: "perTensorSymmetric" } : {}),
  });
}

/**
 * An observer of a slot with one of the given widths in bits; 0 for none.
 *
 * @example
 * ```ts
 * import fc from "fast-check";
 * import { slotObserver } from "@splitgate/splitgate/testing";
 * import { assertEquals } from "@std/assert";
 * const [observer] = fc.sample(slotObserver("cellState", [8]), { numRuns: 1, seed: 1 });
 * assertEquals(observer !== null, true);
 * ```
 */
export function slotObserver(
  slot: PartSlot,
  widths: readonly (0 | 8 | 16 | 32)[],
): Arbitrary<ObserverFactory | null> {
  return fc.record({ bits: fc.constantFrom(...widths), signed: fc.boolean(), fixed: fc.boolean() })
    .map(({ bits, signed, fixed }) => bits === 0 ? null : observersOf(slot, bits, signed, fixed));
}

const SLOTS = Object.keys(SPAN) as PartSlot[];

/**
 * The given observers without those for slots that the LSTM does not have.
 *
 * @example
 * ```ts
 * import { LSTM } from "@splitgate/splitgate";
 * import { ownParts } from "@splitgate/splitgate/testing";
 * import { assertEquals } from "@std/assert";
 * const lstm = new LSTM({ inputSize: 2, hiddenSize: 3, cellActivation: "linear" });
 * // Nothing is computed of its cell state.
 * assertEquals(Object.keys(ownParts(lstm, { cellTanh: null, cellState: null })), ["cellState"]);
 * ```
 */
export function ownParts<T extends PartObservers>(lstm: LSTM, parts: T): PartObservers {
  const own = lstmCell(false, lstm).parts.map(({ slot }) => slot as string);
  return Object.fromEntries(Object.entries(parts).filter(([slot]) => own.includes(slot)));
}

/**
 * Observers for every slot of an LSTM except its projection, with the given widths in bits.
 *
 * @example
 * ```ts
 * import fc from "fast-check";
 * import { LSTM } from "@splitgate/splitgate";
 * import { partObservers } from "@splitgate/splitgate/testing";
 * import { assertEquals } from "@std/assert";
 * const lstm = new LSTM({ inputSize: 2, hiddenSize: 3 });
 * const [parts] = fc.sample(partObservers([8, 16], false, lstm), { numRuns: 1, seed: 1 });
 * assertEquals("cellState" in parts!, true);
 * ```
 */
export function partObservers(
  widths: readonly (0 | 8 | 16 | 32)[],
  splitGates: boolean,
  lstm: LSTM,
): Arbitrary<PartObservers> {
  const one = Object.fromEntries(
    SLOTS.filter((slot) => slot !== "projection").map(
      (slot): [string, Arbitrary<PartObserver>] => {
        const each = slotObserver(slot, widths);
        const gated = slot === "inputProjection" || slot === "hiddenProjection" ||
          slot === "linearOutput";
        return [
          slot,
          gated && splitGates ? fc.oneof(each, fc.tuple(each, each, each, each)) : each,
        ];
      },
    ),
  );
  return fc.record(one).map((parts) => ownParts(lstm, parts as PartObservers));
}

/**
 * An LSTM with input.
 *
 * @example
 * ```ts
 * import fc from "fast-check";
 * import { type FloatLSTMCase, floatLSTMCases } from "@splitgate/splitgate/testing";
 * import { assertEquals } from "@std/assert";
 * const [drawn]: FloatLSTMCase[] = fc.sample(floatLSTMCases, { numRuns: 1, seed: 1 });
 * const { lstm, x, steps, batch } = drawn!;
 * assertEquals(x.data.length, steps * batch * lstm.inputSize);
 * ```
 */
export interface LSTMCase {
  /** The options it was made with. */
  readonly options: LSTMOptions;
  /** The float module. */
  readonly lstm: LSTM;
  /** Its input. */
  readonly x: Tensor;
  /** Its initial state; undefined for zeros. */
  readonly state: [Tensor, Tensor] | undefined;
  /** Number of steps of each row; undefined if every row has all steps. */
  readonly lengths: number[] | undefined;
  /** Steps of the input. */
  readonly steps: number;
  /** Rows of the input. */
  readonly batch: number;
  /** Source of further random values. */
  readonly generator: Generator;
}

/**
 * LSTMs of every kind, with weights large enough for gates to saturate, with or without lengths and
 * an initial state.
 *
 * @example
 * ```ts
 * import fc from "fast-check";
 * import { floatLSTMCases } from "@splitgate/splitgate/testing";
 * import { assertEquals } from "@std/assert";
 * const [drawn] = fc.sample(floatLSTMCases, { numRuns: 1, seed: 1 });
 * assertEquals(drawn!.steps >= 0, true);
 * ```
 */
export const lstmCases: Arbitrary<LSTMCase> = fc.record({
  options: lstmOptions,
  steps: fc.constantFrom(1, 2, 5),
  batch: fc.integer({ min: 1, max: 3 }),
  given: fc.boolean(),
  ragged: fc.boolean(),
}).map(({ options, steps, batch, given, ragged }) => {
  const lstm = new LSTM(options);
  const generator = new Generator(((options.seed as number) ^ 1) >>> 0);
  for (const layer of lstm.cells) {
    for (const { weightIh, weightHh } of layer) {
      for (const weight of [weightIh, weightHh]) {
        weight.forEach((value, i) => weight[i] = 2 * value);
      }
    }
  }
  const outer = [lstm.numLayers * lstm.numDirections, batch];
  const { hiddenSize, projSize } = lstm;
  const x = random(generator, [
    ...(lstm.batchFirst ? [batch, steps] : [steps, batch]),
    lstm.inputSize,
  ]);
  const state: [Tensor, Tensor] | undefined = given
    ? [
      random(generator, [...outer, projSize || hiddenSize], 1),
      random(generator, [...outer, hiddenSize]),
    ]
    : undefined;
  const lengths = ragged
    ? Array.from({ length: batch }, (_, b) => 1 + (b * 3 + 1) % steps)
    : undefined;
  return { options, lstm, x, state, lengths, steps, batch, generator };
});
