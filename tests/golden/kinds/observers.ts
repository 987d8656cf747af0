/**
 * observers: what each observer keeps and the qparams it gives.
 *
 * @module
 */
import { FixedQParamsObserver } from "../../../src/observer/fixed.ts";
import { HistogramObserver } from "../../../src/observer/histogram.ts";
import { MinMaxObserver } from "../../../src/observer/min_max.ts";
import { MovingAverageMinMaxObserver } from "../../../src/observer/moving_average.ts";
import type { Observer, QScheme, UniformObserver } from "../../../src/observer/observer.ts";
import {
  MovingAveragePerChannelMinMaxObserver,
  PerChannelMinMaxObserver,
  PerChannelObserver,
} from "../../../src/observer/per_channel.ts";
import { PlaceholderObserver } from "../../../src/observer/placeholder.ts";
import type { Check, Row } from "../check.ts";
import type { Kind } from "../kind.ts";
import type { Field } from "../read.ts";

const CLASSES = {
  MinMaxObserver,
  MovingAverageMinMaxObserver,
  PerChannelMinMaxObserver,
  MovingAveragePerChannelMinMaxObserver,
  HistogramObserver,
  FixedQParamsObserver,
  PlaceholderObserver,
} as const;

type ClassName = keyof typeof CLASSES;

const ROWS = Object.fromEntries(
  Object.keys(CLASSES).map((
    name,
  ) => [name, { operation: name, torch: `torch.ao.quantization.${name}` }]),
) as Record<ClassName, Row>;

const SCHEMES: Record<string, QScheme> = {
  per_tensor_affine: "perTensorAffine",
  per_tensor_symmetric: "perTensorSymmetric",
  per_channel_affine: "perChannelAffine",
  per_channel_symmetric: "perChannelSymmetric",
  per_channel_affine_float_qparams: "perChannelAffineFloatQParams",
};

const ARGUMENTS: Record<string, string> = {
  quant_min: "quantMin",
  quant_max: "quantMax",
  reduce_range: "reduceRange",
  eps: "eps",
  ch_axis: "chAxis",
  averaging_constant: "averagingConstant",
  bins: "bins",
  upsample_rate: "upsampleRate",
  scale: "scale",
  zero_point: "zeroPoint",
};

/** Makes the observer that a case names, with its arguments. */
export function makeObserver(name: ClassName, golden: Field): Observer {
  const options: Record<string, unknown> = {};
  const args = golden.get("args");
  for (const key of args.keys()) {
    options[ARGUMENTS[key] ?? args.fail(`arguments among ${Object.keys(ARGUMENTS)}`)] =
      args.get(key).value;
  }
  if (name !== "PlaceholderObserver") options.dtype = golden.get("dtype").dtype();
  else if (golden.get("dtype").string() !== "float32") {
    golden.get("dtype").fail("float32 of a placeholder");
  }
  const scheme = golden.maybe("qscheme");
  if (scheme !== null) {
    options.qscheme = SCHEMES[scheme.string()] ?? scheme.fail(Object.keys(SCHEMES).join(" or "));
  }
  return new (CLASSES[name] as new (options: never) => Observer)(options as never);
}

function numbers(value: number | Float32Array | undefined): ArrayLike<number> {
  return value === undefined ? [] : typeof value === "number" ? [value] : value;
}

function run(golden: Field, check: Check): void {
  const name = golden.get("observer").oneOf(...Object.keys(CLASSES) as ClassName[]);
  const observer = makeObserver(name, golden);
  const row = ROWS[name];
  const inputs = golden.maybe("inputs")?.list().map((input) => input.tensor()) ?? [];
  for (const { data, shape } of inputs) observer.observe(data, shape);

  if (golden.has("error")) {
    let refused = false;
    try {
      observer.calculateQParams();
    } catch {
      refused = true;
    }
    check.one(row, "either", "error", refused ? 1 : 0, 1);
    return;
  }
  const float = observer instanceof PerChannelObserver &&
    observer.qscheme === "perChannelAffineFloatQParams";
  const qparams = float
    ? observer.calculateFloatQParams({ allowUnseen: true })
    : observer.calculateQParams({ allowUnseen: true });
  const scales = "scales" in qparams ? qparams.scales : [qparams.scale];
  const zeroPoints = "scales" in qparams ? qparams.zeroPoints : [qparams.zeroPoint];
  check.floats(row, "either", "scale", scales, golden.get("scale").floats());
  const torchPoints = golden.get("zero_point");
  check.integers(
    row,
    "either",
    "zero_point",
    zeroPoints,
    float ? torchPoints.floats() : torchPoints.integers(),
  );
  if (golden.has("effective_quant_min")) {
    const { quantMin, quantMax } = observer as UniformObserver;
    check.one(
      row,
      "either",
      "effective_quant_min",
      quantMin,
      golden.get("effective_quant_min").integer(),
    );
    check.one(
      row,
      "either",
      "effective_quant_max",
      quantMax,
      golden.get("effective_quant_max").integer(),
    );
  }
  if (golden.has("min_val")) {
    check.floats(
      row,
      "either",
      "min_val",
      numbers(observer.minVal),
      golden.get("min_val").floats(),
    );
    check.floats(
      row,
      "either",
      "max_val",
      numbers(observer.maxVal),
      golden.get("max_val").floats(),
    );
  }
  if (!(observer instanceof HistogramObserver) || inputs.length === 0) return;
  const histogram = new Float32Array(observer.bins);
  const nonzero = golden.get("histogram_nonzero");
  const counts = nonzero.get("count").floats();
  nonzero.get("index").integers(counts.length).forEach((bin, i) => {
    if (bin < 0 || bin >= histogram.length) {
      nonzero.get("index").fail(`bins in 0..${histogram.length - 1}`);
    }
    histogram[bin] = counts[i]!;
  });
  check.floats(row, "either", "histogram", observer.histogram, histogram);
  const [min, max] = observer.searchRange();
  check.one(row, "either", "search_min", min, Math.fround(golden.get("search_min").number()));
  check.one(row, "either", "search_max", max, Math.fround(golden.get("search_max").number()));
}

/** observers*.json */
export const observersKind: Kind = {
  files: /^observers/,
  nameOf(golden) {
    const words = ["observer", "dtype", "qscheme"].map((key) => golden.maybe(key)?.string() ?? "");
    const inputs = golden.maybe("inputs")?.list() ?? [];
    const shapes = inputs.map((input) => `[${input.get("shape").value}]`);
    return [...words, JSON.stringify(golden.get("args").value), ...shapes].filter((word) =>
      word !== ""
    ).join(" ");
  },
  run,
};
