import { assert, assertEquals } from "@std/assert";
import { LSTM, tensor } from "@splitgate/splitgate";
import { median, quantile } from "../../bench/peers/measure.ts";
import { createProblem, problemBytes, referenceLSTM, STEPS } from "../../bench/peers/problem.ts";
import { markdown, type Row } from "../../bench/peers/report.ts";

Deno.test("referenceLSTM() is the float LSTM, to float32's rounding", () => {
  const problem = createProblem(7);
  const lstm = new LSTM({ inputSize: 7, hiddenSize: 7 });
  lstm.loadStateDict(
    new Map([
      ["weight_ih_l0", tensor(problem.weightIh, [28, 7])],
      ["weight_hh_l0", tensor(problem.weightHh, [28, 7])],
      ["bias_ih_l0", tensor(problem.biasIh, [28])],
      ["bias_hh_l0", tensor(problem.biasHh, [28])],
    ]),
  );
  const [y] = lstm.forward(tensor(problem.input, [STEPS, 1, 7]));
  const expected = referenceLSTM(problem);
  assertEquals(y.data.length, expected.length);
  y.data.forEach((value, i) =>
    assert(Math.abs(value - expected[i]!) < 1e-5, `${i}: ${value} and ${expected[i]}`)
  );
  assert(expected.some((value) => Math.abs(value) > 0.5), "the states move");
});

Deno.test("createProblem() gives the same numbers for a size each time, and problemBytes() all of them in order", () => {
  const problem = createProblem(3);
  const bytes = problemBytes(problem);
  assertEquals(bytes, problemBytes(createProblem(3)));
  const floats = new Float32Array(bytes.buffer);
  const weights = 4 * 3 * 3;
  assertEquals(floats.subarray(0, weights), problem.weightIh);
  assertEquals(floats.subarray(2 * weights, 2 * weights + 12), problem.biasIh);
  assertEquals(floats.subarray(floats.length - STEPS * 3), problem.expected);
});

Deno.test("quantile() and median() give values that are there", () => {
  assertEquals(quantile([1, 2, 3, 4], 0.99), 4);
  assertEquals(quantile([5], 0.5), 5);
  assertEquals(median([9, 1, 5]), 5);
});

Deno.test("markdown() compares a peer with splitgate in the same runtime, else in Deno", () => {
  const row = (peer: string, runtime: string, microsPerStep: number): Row => ({
    peer,
    runtime,
    mode: "stream",
    size: 32,
    microsPerStep,
    p99: 2 * microsPerStep,
    rounds: 3,
  });
  const rows = [
    row("splitgate portable", "deno", 2),
    row("splitgate portable", "bun", 1),
    row("splitgate portable fused", "bun", 0.8),
    row("other", "bun", 12),
    row("native", "python", 5),
  ];
  const text = markdown({
    rows,
    about: ["a machine"],
    errors: new Map([["other", 0.5]]),
    missing: ["more: why"],
  });
  for (
    const line of [
      "| splitgate portable | deno | 2.00 |  |",
      "| other | bun | 12.0 (24.0) | 5.0e-1 |",
      "| other | bun | 12.0 |",
      "| native | python | 2.50 |",
      "| portable | bun | 1.250 |  |",
      "- more: why",
    ]
  ) assert(text.split("\n").includes(line), line);
});
