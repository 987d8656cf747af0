// Sessions of models that give several outputs: what they are given to write to.
import { convert, getPreset, Graph, Linear, LSTM, prepare, tensor } from "@splitgate/splitgate";
import { assertEquals, assertThrows } from "@std/assert";
import type { SessionOutput } from "../../src/runtime/basic_session.ts";
import { floatsOf } from "../../src/testing/random.ts";
import { formsOf } from "./forms.ts";

const graph = new Graph({
  lstm: { module: new LSTM({ inputSize: 2, hiddenSize: 3, seed: 1 }) },
  tags: { module: new Linear({ inFeatures: 3, outFeatures: 2, seed: 2 }), inputs: "lstm" },
  score: { module: new Linear({ inFeatures: 2, outFeatures: 1, seed: 3 }), inputs: "input" },
}, { outputs: ["tags", "lstm", "score"] });
const observed = prepare(graph, getPreset("fbgemm"));
observed.run(tensor(floatsOf(5, [40], 2).data, [10, 2, 2]));
const model = convert(observed);

/** Arrays for `rows` rows of every output. */
function arrays(rows: number) {
  return {
    tags: new Float32Array(2 * rows),
    lstm: new Float32Array(3 * rows),
    score: new Float32Array(rows),
  };
}

Deno.test("each output may be asked for in reals or in integers, in every form", () => {
  const x = floatsOf(6, [5 * 2 * 2], 2).data;
  for (const [name, made, options] of formsOf(model)) {
    const reals = arrays(10);
    made.createSession({ batch: 2, ...options }).run(x, reals);
    const mixed = { ...arrays(10), lstm: new Uint8Array(30) };
    made.createSession({ batch: 2, ...options }).run(x, mixed);
    const { scale, zeroPoint } = model.outputs[1]!.qparams!;
    const lstm = Float32Array.from(mixed.lstm, (q) => (q - zeroPoint) * scale);
    assertEquals({ ...mixed, lstm }, reals, name);
    // Beyond a row's length integers are the zero point, reals 0.
    const short = { ...arrays(10), lstm: new Uint8Array(30) };
    made.createSession({ batch: 2, ...options }).run(x, short, [5, 2]);
    for (let t = 0; t < 5; t++) {
      const at = (2 * t + 1) * 3;
      const expected = t < 2 ? mixed.lstm.slice(at, at + 3) : new Uint8Array(3).fill(zeroPoint);
      assertEquals(short.lstm.slice(at, at + 3), expected);
      assertEquals(short.score[2 * t + 1], t < 2 ? mixed.score[2 * t + 1] : 0);
    }
  }
});

Deno.test("arrays for outputs that are missing, of the wrong kind or length, or overlap are named, and no state moves", () => {
  const x = Float32Array.of(0.5, -1, 1, 0.25);
  for (const [, made, options] of formsOf(model)) {
    const session = made.createSession({ batch: 2, ...options });
    session.step(x, arrays(2));
    const state = session.state();
    const refused = (
      output: unknown,
      Kind: typeof TypeError | typeof RangeError,
      message: string,
      input = x,
    ) => {
      for (const method of ["step", "run"] as const) {
        assertThrows(() => session[method](input, output as SessionOutput), Kind, message);
      }
      assertEquals(session.state(), state);
    };
    const missing = "output.tags: expected a Float32Array or an array of quint8, got undefined";
    for (const none of [null, undefined, {}, 5]) refused(none, TypeError, missing);
    const { score: _left, ...two } = arrays(2);
    refused(two, TypeError, "output.score: expected a Float32Array or an array of quint8");
    refused(
      { ...arrays(2), tag: new Float32Array(4) },
      RangeError,
      'output: expected arrays for tags, lstm, score, got "tag"',
    );
    refused(new Float32Array(4), RangeError, "output: expected arrays for tags, lstm, score, got");
    refused(
      { ...arrays(2), lstm: new Int8Array(6) },
      TypeError,
      "output.lstm: expected a Float32Array or an array of quint8",
    );
    refused(
      { ...arrays(2), lstm: new Float32Array(7) },
      RangeError,
      "output.lstm: expected 6 elements, got 7",
    );
    const shared = new Float32Array(12);
    refused(
      { ...arrays(2), tags: shared.subarray(0, 4), lstm: shared.subarray(3, 9) },
      RangeError,
      "output: expected memory apart from that of output.tags",
    );
    refused(
      { ...arrays(2), lstm: shared.subarray(4, 10) },
      RangeError,
      "output: expected memory apart from that of ",
      shared.subarray(8, 12),
    );
  }
});
