/**
 * lstm_dynamic_<engine>: torch.ao.quantization.quantize_dynamic of an LSTM.
 *
 * @module
 */
import { dynamicQConfig } from "../../../src/qconfig/qconfig.ts";
import { quantizeDynamic } from "../../../src/quantizable/quantize_dynamic.ts";
import type { DynamicLSTM } from "../../../src/quantized/dynamic.ts";
import type { Check, Row } from "../check.ts";
import type { Kind } from "../kind.ts";
import type { Field } from "../read.ts";
import { readWeight } from "./linear.ts";
import { readFloatLstm } from "./lstm.ts";

const WEIGHTS: Row = {
  operation: "dynamic LSTM, int8 weights and scales",
  torch: "torch.ao.quantization.quantize_dynamic",
};

/** How far an output may be from torch's, whose float sigmoid and tanh are a unit in the last place off. */
const TOLERANCE = 1e-6;

function run(golden: Field, check: Check): void {
  const engine = golden.get("engine").oneOf("fbgemm", "qnnpack"), lstm = readFloatLstm(golden);
  const made = quantizeDynamic(lstm, { ...dynamicQConfig, engine }).modules.get("lstm") as DynamicLSTM;
  const weights = golden.get("weights");
  made.cells.forEach((layer, l) =>
    layer.forEach(({ weightIh, weightHh }, d) => {
      for (const [kind, here] of [["ih", weightIh], ["hh", weightHh]] as const) {
        const key = `weight_${kind}_l${l}${d === 1 ? "_reverse" : ""}`, torch = readWeight(weights.get(key));
        check.integers(WEIGHTS, engine, key, here.data, torch.data);
        check.floats(WEIGHTS, engine, `${key}.scales`, here.scales, torch.scales);
      }
    })
  );
  const h0 = golden.maybe("h0")?.tensor(), c0 = golden.maybe("c0")?.tensor();
  const [y, [h, c]] = made.forward(golden.get("input").tensor(), h0 && c0 ? [h0, c0] : undefined);
  const measured = check.tally.measurement(`dynamic LSTM outputs, h_n, c_n, ${engine} (float32)`);
  for (const [name, here] of [["output", y], ["h_n", h], ["c_n", c]] as const) {
    const torch = golden.get(name).tensor();
    if (torch.shape.join() !== here.shape.join()) check.differs(`${name}.shape`, `[${torch.shape}]`, `[${here.shape}]`);
    here.data.forEach((value, i) => {
      const difference = Math.abs(value - torch.data[i]);
      measured.add(difference);
      if (!(difference <= TOLERANCE)) check.differs(`${name}[${i}]`, String(torch.data[i]), String(value));
    });
  }
}

/** lstm_dynamic_<engine>*.json */
export const lstmDynamicKind: Kind = {
  files: /^lstm_dynamic/,
  nameOf: (golden) => golden.get("name").string(),
  run,
};
