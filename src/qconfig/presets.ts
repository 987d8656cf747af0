/**
 * Presets by name: torch's defaults, and the package's own for accuracy.
 *
 * @module
 */
import { failRange, failType } from "../core/errors.ts";
import { FixedQParamsObserver } from "../observer/fixed.ts";
import { MinMaxObserver } from "../observer/min_max.ts";
import { PlaceholderObserver } from "../observer/placeholder.ts";
import {
  defaultPerChannelWeightObserver,
  fbgemmQConfig,
  type QConfig,
  qnnpackQConfig,
  x86QConfig,
} from "./qconfig.ts";

/** A 16-bit range. */
function fixed16(
  scale: number,
  quantMin: number,
): ReturnType<typeof FixedQParamsObserver.withArgs> {
  return FixedQParamsObserver.withArgs({
    dtype: "qint32",
    scale,
    zeroPoint: 0,
    quantMin,
    quantMax: quantMin + 65535,
  });
}

/**
 * Symmetric integers of a number of bits, spread over the observed range.
 *
 * @param headRoom Whether to spread them over twice that range: inputs may be larger than in
 * calibration.
 */
function symmetric(
  bits: number,
  headRoom: boolean,
): ReturnType<typeof MinMaxObserver.withArgs> {
  const end = 2 ** (bits - 1);
  return MinMaxObserver.withArgs({
    dtype: "qint32",
    qscheme: "perTensorSymmetric",
    quantMin: -end,
    quantMax: end - 1,
    reduceRange: headRoom,
  });
}

/**
 * 8-bit weights (a scale a row, rounded against the calibration data), 16-bit gates and cell state,
 * and a hidden state of 8 bits in an LSTM, of 14 in a GRU. float32 inputs become 14-bit integers
 * over twice the calibrated range: no less accurate than float32 here, since the weights have 8
 * bits, and SIMD multiplies two 7-bit halves fast. Rows of an Embedding are projected in float32
 * once, and kept. Outputs of Linear stay float32.
 *
 * @example
 * ```ts
 * import { LSTM, prepare, tensor } from "@splitgate/splitgate";
 * import { convertToReference } from "@splitgate/splitgate/reference";
 * import { accurateQConfig } from "./presets.ts";
 * import { assertEquals } from "@std/assert";
 * const observed = prepare(new LSTM({ inputSize: 2, hiddenSize: 3 }), accurateQConfig);
 * observed.forward(tensor([0.1, -0.4, 0.9, 0.3], [2, 1, 2]));
 * const { nodes } = convertToReference(observed);
 * const gate = nodes.find(({ op, part }) => op === "quantize" && part === "forget_gate")!;
 * assertEquals([gate.dtype, gate.quantMin, gate.quantMax], ["qint32", 0, 65535]);
 * ```
 */
export const accurateQConfig: QConfig = Object.freeze({
  activation: PlaceholderObserver.withArgs({}),
  weight: defaultPerChannelWeightObserver,
  input: symmetric(14, true),
  initialState: "own",
  concatenation: "both",
  weightRounding: "calibrated",
  parts: Object.freeze({
    inputProjection: null,
    hiddenProjection: null,
    linearOutput: fixed16(2 ** -11, -32768),
    sigmoid: fixed16(2 ** -16, 0),
    resetState: symmetric(16, false),
    tanh: fixed16(2 ** -15, -32768),
    cellState: symmetric(16, false),
    cellTanh: fixed16(2 ** -15, -32768),
    stateChange: symmetric(16, false),
    hiddenState: MinMaxObserver.withArgs({ dtype: "quint8" }),
    // A GRU's hidden state is its only memory: each step rounds what it keeps anew.
    hy: symmetric(14, false),
    projection: MinMaxObserver.withArgs({ dtype: "quint8" }),
  }),
});

/**
 * {@linkcode accurateQConfig} with 16 bits of everything but weights: of float32 inputs and of the
 * hidden state. An Embedding's rows are weights: 16 bits of them (`embeddingBits`) make files of
 * text models up to a quarter larger, and no result better.
 *
 * @example
 * ```ts
 * import { LSTM, prepare, tensor } from "@splitgate/splitgate";
 * import { convertToReference } from "@splitgate/splitgate/reference";
 * import { int8x16QConfig } from "./presets.ts";
 * import { assertEquals } from "@std/assert";
 * const observed = prepare(new LSTM({ inputSize: 2, hiddenSize: 3 }), int8x16QConfig);
 * observed.forward(tensor([0.1, -0.4, 0.9, 0.3], [2, 1, 2]));
 * const { nodes } = convertToReference(observed);
 * const hidden = nodes.find(({ op, part }) => op === "quantize" && part === "ogate_cy")!;
 * assertEquals([hidden.quantMin, hidden.quantMax], [-32768, 32767]);
 * ```
 */
export const int8x16QConfig: QConfig = Object.freeze({
  ...accurateQConfig,
  input: symmetric(16, true),
  parts: Object.freeze({
    ...accurateQConfig.parts,
    hiddenState: symmetric(16, false),
    hy: symmetric(16, false),
    projection: symmetric(16, false),
  }),
});

/**
 * A preset's name. Editors complete the known names; any other string is allowed by the type and
 * checked at run time.
 *
 * @example
 * ```ts
 * import { getPreset, PRESET_NAMES, type PresetName } from "@splitgate/splitgate";
 * import { assert } from "@std/assert";
 * const preset: PresetName = "accurate"; // an editor completes it; any string can be given
 * assert(PRESET_NAMES.includes(preset));
 * getPreset(preset);
 * ```
 */
export type PresetName =
  | "fbgemm"
  | "x86"
  | "qnnpack"
  | "accurate"
  | "int8x16"
  | (string & Record<never, never>);

const PRESETS: ReadonlyMap<string, QConfig> = new Map([
  ["fbgemm", fbgemmQConfig],
  ["x86", x86QConfig],
  ["qnnpack", qnnpackQConfig],
  ["accurate", accurateQConfig],
  ["int8x16", int8x16QConfig],
]);

/**
 * The presets' names.
 *
 * @example
 * ```ts
 * import { getPreset, PRESET_NAMES } from "@splitgate/splitgate";
 * import { assertEquals } from "@std/assert";
 * assertEquals(PRESET_NAMES, ["fbgemm", "x86", "qnnpack", "accurate", "int8x16"]);
 * assertEquals(PRESET_NAMES.map((name) => getPreset(name).weightRounding ?? "nearest"), [
 *   "nearest",
 *   "nearest",
 *   "nearest",
 *   "calibrated",
 *   "calibrated",
 * ]);
 * ```
 */
export const PRESET_NAMES: readonly string[] = [...PRESETS.keys()];

/**
 * The preset to use unless there is a reason for another: the default of `prepare` and `quantize`.
 *
 * @example
 * ```ts
 * import { PRESET_NAMES, RECOMMENDED_PRESET } from "@splitgate/splitgate";
 * import { assert } from "@std/assert";
 * assert(PRESET_NAMES.includes(RECOMMENDED_PRESET));
 * ```
 */
export const RECOMMENDED_PRESET = "accurate";

/**
 * A preset by name: `fbgemm`, `x86`, `qnnpack` (torch's defaults), `accurate`, `int8x16`.
 *
 * @throws {TypeError} If the name is no string.
 * @throws {RangeError} If there is no such preset.
 *
 * @example
 * ```ts
 * import { convert, getPreset, LSTM, prepare, tensor } from "@splitgate/splitgate";
 * import { assertEquals } from "@std/assert";
 * const observed = prepare(new LSTM({ inputSize: 2, hiddenSize: 3 }), getPreset("accurate"));
 * observed.forward(tensor([0.1, -0.4, 0.9, 0.3], [2, 1, 2]));
 * assertEquals(convert(observed).outputSize, 3);
 * ```
 */
export function getPreset(name: PresetName): QConfig {
  if (typeof name !== "string") failType("name", "a string", name);
  return PRESETS.get(name) ?? failRange("name", PRESET_NAMES.join(", "), name);
}
