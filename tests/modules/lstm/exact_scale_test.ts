import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { convert, LSTM, prepare, type QConfig, tensor } from "@splitgate/splitgate";
import { FixedQParamsObserver } from "@splitgate/splitgate/qconfig";
import { accurateQConfig } from "../../../src/qconfig/presets.ts";
import { byParts } from "../../../src/modules/recurrent/by_parts.ts";

Deno.test("a session gives what execution by parts gives when projections are float and the gates' scale a power of two", () => {
  const size = fc.constantFrom(1, 3, 7, 13, 33);
  fc.assert(
    fc.property(
      size,
      size,
      fc.nat(1000),
      fc.integer({ min: -13, max: -3 }),
      fc.boolean(),
      (inputSize, hiddenSize, seed, power, bidirectional) => {
        const gates = FixedQParamsObserver.withArgs({
          dtype: "qint32",
          scale: 2 ** power,
          zeroPoint: -5,
          quantMin: -32768,
          quantMax: 32767,
        });
        const qconfig: QConfig = {
          ...accurateQConfig,
          parts: { ...accurateQConfig.parts, linearOutput: gates },
        };
        const observed = prepare(new LSTM({ inputSize, hiddenSize, bidirectional, seed }), qconfig);
        const x = Float32Array.from(
          { length: 6 * inputSize },
          (_, i) => 9 * Math.sin(i * i + seed),
        );
        observed.forward(tensor(x, [6, 1, inputSize]));
        const model = convert(observed);
        const [fast, parts] = [undefined, byParts()].map((kernels) => {
          const output = new Float32Array(6 * model.outputSize);
          model.createSession({ kernels }).run(x, output);
          return output;
        });
        assertEquals(fast, parts);
      },
    ),
    { numRuns: 60 },
  );
});
