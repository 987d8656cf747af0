/**
 * gru: torch.nn.GRU; gru_dynamic_<engine>: what torch.ao.quantization.quantize_dynamic makes of it.
 *
 * The float sigmoid and tanh here may differ from torch's in the last place, and sums are rounded
 * once; what follows from that in a dynamic GRU is described in lstm_dynamic.ts.
 *
 * @module
 */
import { GRU } from "../../../src/modules/gru/float.ts";
import type { QuantizedGRU } from "../../../src/modules/gru/quantized.ts";
import type { QuantizedLinear } from "../../../src/modules/linear/quantized.ts";
import type { Check, Row } from "../check.ts";
import type { Kind } from "../kind.ts";
import type { Field } from "../read.ts";
import { compareDynamic, compareWeights, convertDynamically } from "./lstm_dynamic.ts";

const INITIAL: Row = { operation: "initial weights of a GRU", torch: "torch.nn.GRU" };

/** The largest difference between float32 values here and torch's that passes. */
const FLOAT_TOLERANCE = 2e-6;

function readFloatGRU(golden: Field): GRU {
  const flag = (key: string) => golden.get(key).boolean();
  const gru = new GRU({
    inputSize: golden.get("input_size").integer(),
    hiddenSize: golden.get("hidden_size").integer(),
    numLayers: golden.get("num_layers").integer(),
    bias: flag("bias"),
    batchFirst: flag("batch_first"),
    bidirectional: flag("bidirectional"),
  });
  const weights = golden.get("float_state_dict");
  gru.loadStateDict(new Map(weights.keys().map((key) => [key, weights.get(key).tensor()])));
  return gru;
}

/** Calls `compare` with what a GRU gives and what torch recorded of it. */
function outputs(
  golden: Field,
  forward: GRU["forward"] | QuantizedGRU["forward"],
  check: Check,
  compare: (name: string, here: ArrayLike<number>, torch: ArrayLike<number>) => void,
): void {
  const lengths = golden.maybe("lengths")?.integers();
  const h0 = golden.maybe("h0")?.tensor();
  const given = forward(golden.get("input").tensor(), h0, lengths && { lengths });
  given.forEach(({ data, shape }, i) => {
    const name = ["output", "h_n"][i]!;
    const torch = golden.get(name).tensor();
    if (shape.join() !== torch.shape.join()) {
      check.differs(`${name}.shape`, `[${torch.shape}]`, `[${shape}]`);
    }
    compare(name, data, torch.data);
  });
}

function float(golden: Field, check: Check): void {
  const gru = readFloatGRU(golden);
  const { inputSize, hiddenSize, numLayers, bias, bidirectional } = gru;
  const sizes = { inputSize, hiddenSize, numLayers, bias, bidirectional };
  const initial = new GRU({ ...sizes, seed: golden.get("seed").integer() }).stateDict();
  for (const [name, { data }] of gru.stateDict()) {
    check.floats(INITIAL, "either", name, initial.get(name)!.data, data);
  }
  const measured = check.tally.measurement("float GRU against torch.nn.GRU");
  outputs(golden, gru.forward.bind(gru), check, (name, here, torch) => {
    for (let k = 0; k < torch.length; k++) {
      const difference = Math.abs(here[k]! - torch[k]!);
      measured.add(difference);
      if (!(difference <= FLOAT_TOLERANCE)) {
        check.differs(`${name}[${k}]`, String(torch[k]), String(here[k]));
      }
    }
  });
}

function dynamic(golden: Field, check: Check): void {
  const engine = golden.get("engine").oneOf("fbgemm", "qnnpack");
  const gru = convertDynamically(golden, readFloatGRU(golden), engine) as QuantizedGRU;
  const weights: Record<string, QuantizedLinear["weight"]> = {};
  gru.cells.forEach((layer, l) =>
    layer.forEach(({ weightIh, weightHh }, d) => {
      const suffix = `l${l}${d === 1 ? "_reverse" : ""}`;
      weights[`weight_ih_${suffix}`] = weightIh;
      weights[`weight_hh_${suffix}`] = weightHh;
    })
  );
  compareWeights(golden, engine, weights, check);
  const subject = "dynamic GRU against torch.ao.nn.quantized.dynamic.GRU";
  outputs(
    golden,
    gru.forward.bind(gru),
    check,
    (name, here, torch) => compareDynamic(engine, subject, name, here, torch, check),
  );
}

/** gru_s*.json */
export const gruKind: Kind = {
  files: /^gru_s/,
  nameOf: (golden) => golden.get("name").string(),
  run: float,
};

/** gru_dynamic*.json */
export const gruDynamicKind: Kind = {
  files: /^gru_dynamic/,
  nameOf: (golden) => golden.get("name").string(),
  run: dynamic,
};
