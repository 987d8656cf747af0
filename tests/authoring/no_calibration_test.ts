import { assertThrows } from "@std/assert";
import {
  convert,
  Embedding,
  getPreset,
  Linear,
  LSTM,
  prepare,
  Sequential,
} from "@splitgate/splitgate";

Deno.test("convert() names the module and the cure when a preset that rounds by calibration data saw none", () => {
  const embedding = new Embedding({ numEmbeddings: 5, embeddingDim: 3 });
  const lstm = new LSTM({ inputSize: 3, hiddenSize: 4 });
  const out = new Linear({ inFeatures: 3, outFeatures: 2 });
  for (
    const [model, name] of [[new Sequential({ embedding, lstm }), "lstm"], [lstm, "lstm"], [
      out,
      "linear",
    ]] as const
  ) {
    assertThrows(() => convert(prepare(model, getPreset("accurate"))), RangeError, `${name}`);
    assertThrows(
      () => convert(prepare(model, getPreset("accurate"))),
      RangeError,
      "through the observed model first",
    );
  }
});
