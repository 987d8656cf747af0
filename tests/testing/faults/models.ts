/**
 * Fuzzes small models with the sources beside it, which a test has broken, and prints what was
 * found: one line of JSON.
 *
 * @module
 */
import {
  convert,
  getPreset,
  LinearReLU,
  LSTM,
  type LSTMOptions,
  prepare,
  type PresetName,
  Sequential,
} from "@splitgate/splitgate";
import { fuzzModel } from "@splitgate/splitgate/testing";

/** Steps and rows of the calibration data. */
const STEPS = 30;
const BATCH = 2;

const INPUTS = 3;
const HIDDEN = 9;

/** A tagger of one kind. */
function tagger(preset: PresetName, options: Partial<LSTMOptions>) {
  const lstm = new LSTM({ inputSize: INPUTS, hiddenSize: HIDDEN, seed: 1, ...options });
  const out = new LinearReLU({
    inFeatures: HIDDEN * lstm.numDirections,
    outFeatures: 4,
    seed: 2,
  });
  const observed = prepare(new Sequential({ lstm, out }), getPreset(preset));
  const shape = lstm.batchFirst ? [BATCH, STEPS, INPUTS] : [STEPS, BATCH, INPUTS];
  const data = Float32Array.from(
    { length: STEPS * BATCH * INPUTS },
    (_, i) => 2 * Math.sin(i * i),
  );
  observed.forward({ data, shape });
  return convert(observed);
}

const models = {
  "fbgemm, two layers": tagger("fbgemm", { numLayers: 2 }),
  "fbgemm, both directions": tagger("fbgemm", { bidirectional: true }),
  qnnpack: tagger("qnnpack", {}),
  "accurate, rows first": tagger("accurate", { batchFirst: true }),
};

const found: Record<string, string> = {};
for (const [name, model] of Object.entries(models)) {
  const report = await fuzzModel(model, { runs: Number(Deno.args[0]), seed: 1 });
  for (const result of report.results) {
    if (result.status === "broken") found[`${name}: ${result.name}`] = String(report);
  }
}
console.log(JSON.stringify(found));
