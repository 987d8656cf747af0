import { assert, assertEquals } from "@std/assert";
import { tensor } from "@splitgate/splitgate";
import { median, quantile } from "../../bench/peers/measure.ts";
import { createProblem, KINDS, problemFile, STEPS } from "../../bench/peers/problem.ts";
import { markdown, type Row, summary } from "../../bench/peers/report.ts";
import { floatModel } from "../../bench/peers/splitgate.ts";

for (const kind of KINDS) {
  Deno.test(`reference() is the float model, to float32's rounding: ${kind}`, () => {
    const problem = createProblem(kind, 7);
    const { data } = floatModel(problem).forward(
      tensor(problem.input, [STEPS, 1, problem.inputSize]),
    );
    const { expected } = problem;
    assertEquals(data.length, expected.length);
    data.forEach((value, i) =>
      assert(Math.abs(value - expected[i]!) < 1e-5, `${i}: ${value} and ${expected[i]}`)
    );
    assert(Math.max(...expected) - Math.min(...expected) > 0.1, "the outputs move");
  });

  Deno.test(`createProblem() gives the same numbers each time, and problemFile() all of them in order: ${kind}`, () => {
    const problem = createProblem(kind, 3);
    const { description, bytes } = problemFile(problem);
    assertEquals(problemFile(createProblem(kind, 3)), { description, bytes });
    const floats = new Float32Array(bytes.buffer);
    const read = new Map<string, Float32Array>();
    let at = 0;
    for (const { name, shape } of JSON.parse(description).arrays) {
      const length = shape.reduce((product: number, n: number) => product * n, 1);
      read.set(name, floats.slice(at, at += length));
    }
    assertEquals(at, floats.length);
    problem.layers.forEach((layer, index) => {
      assertEquals(read.get(`weight_ih_l${index}`), layer.weightIh);
      assertEquals(read.get(`weight_hh_l${index}`), layer.weightHh);
      assertEquals(read.get(`bias_ih_l${index}`), layer.biasIh);
      assertEquals(read.get(`bias_hh_l${index}`), layer.biasHh);
    });
    assertEquals(read.get("head_weight"), problem.head?.weight);
    assertEquals(read.get("head_bias"), problem.head?.bias);
    assertEquals(read.get("input"), problem.input);
    assertEquals(read.get("expected"), problem.expected);
  });
}

Deno.test("quantile() and median() give values that are there", () => {
  assertEquals(quantile([1, 2, 3, 4], 0.99), 4);
  assertEquals(quantile([5], 0.5), 5);
  assertEquals(median([9, 1, 5]), 5);
});

const row = (
  peer: string,
  runtime: string,
  microsPerStep: number,
  others: Partial<Row> = {},
): Row => ({
  problem: "lstm",
  peer,
  runtime,
  mode: "stream",
  size: 32,
  microsPerStep,
  p99: 2 * microsPerStep,
  error: 0.001,
  rounds: 3,
  ...others,
});

Deno.test("markdown() compares a peer with splitgate in the same runtime, else in Deno", () => {
  const rows = [
    row("splitgate portable accurate", "deno", 2),
    row("splitgate portable accurate", "bun", 1),
    row("splitgate portable fbgemm", "bun", 1),
    row("splitgate portable fbgemm fused", "bun", 0.8),
    row("other", "bun", 12, { error: 0.5 }),
    row("other", "bun", 24, { problem: "gru", error: 0.25 }),
    row("native", "python", 5),
  ];
  const text = markdown({ rows, about: ["a machine"], missing: ["more: why"] });
  for (
    const line of [
      "| splitgate portable accurate | deno | 2.00 |  | 1.0e-3 |",
      "| other | bun | 12.0 (24.0) | 5.0e-1 |",
      "| other | bun | 24.0 (48.0) | 2.5e-1 |",
      "| other | bun | 12.0 |",
      "| native | python | 2.50 |",
      "| portable | bun | 1.250 |  |",
      "## One LSTM layer",
      "## One GRU layer",
      "- more: why",
    ]
  ) assert(text.split("\n").includes(line), line);
});

Deno.test("summary() has the peers that it is asked for, in that order, in Deno before other runtimes", () => {
  const rows = [
    row("a", "bun", 1),
    row("b", "python", 2),
    row("a", "deno", 3),
    row("a", "deno", 4, { mode: "sequence", error: 0.5 }),
    row("c", "deno", 5),
  ];
  assertEquals(summary(rows, ["b", "a", "none"]).split("\n").slice(2), [
    "| b | python | 2.00 |  | 1.0e-3 |",
    "| a | deno | 3.00 | 4.00 | 5.0e-1 |",
  ]);
});
