import { assert, assertAlmostEquals, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { Generator, LSTM, type LSTMOptions, type Tensor, tensor } from "@splitgate/splitgate";
import type {
  CellActivation,
  CellFunctions,
  GateActivation,
  LSTMWeights,
} from "@splitgate/splitgate/modules";
import { head, pick, transposed } from "../tensors.ts";
import { lstmOptions, random } from "../../../src/testing/float_lstms.ts";

type State = [Tensor, Tensor];

interface Case {
  options: LSTMOptions;
  lstm: LSTM;
  x: Tensor;
  state: State | undefined;
  steps: number;
  batch: number;
  generator: Generator;
}

/** An LSTM with input, for a given or an implicit state. */
function cases(options: fc.Arbitrary<LSTMOptions> = lstmOptions): fc.Arbitrary<Case> {
  return fc.record({
    options,
    steps: fc.constantFrom(1, 2, 5),
    batch: fc.integer({ min: 1, max: 4 }),
    given: fc.boolean(),
  }).map(({ options, steps, batch, given }) => {
    const lstm = new LSTM(options);
    const generator = new Generator(((options.seed as number) ^ 1) >>> 0);
    const outer = [lstm.numLayers * lstm.numDirections, batch];
    const { hiddenSize, projSize } = lstm;
    const x = random(generator, [
      ...(lstm.batchFirst ? [batch, steps] : [steps, batch]),
      lstm.inputSize,
    ]);
    const state: State | undefined = given
      ? [
        random(generator, [...outer, projSize || hiddenSize]),
        random(generator, [...outer, hiddenSize]),
      ]
      : undefined;
    return { options, lstm, x, state, steps, batch, generator };
  });
}

/** A function of a cell in doubles. */
function plainFunction(activation: GateActivation | CellActivation): (x: number) => number {
  const clip = (x: number) => Math.min(Math.max(x, 0), 1);
  if (typeof activation !== "string") {
    return (x) => clip(activation.slope * x + activation.offset);
  }
  return {
    sigmoid: (x: number) => 1 / (1 + Math.exp(-x)),
    tanh: Math.tanh,
    relu: (x: number) => Math.max(x, 0),
    linear: (x: number) => x,
    hardSigmoid: (x: number) => clip(x / 6 + 0.5),
  }[activation];
}

/** Requires a float32 value that is as close to one in doubles as its roundings let it be. */
function assertClose(value: number, expected: number): void {
  assertAlmostEquals(value, expected, 1e-5 * Math.max(1, Math.abs(expected)));
}

/**
 * One sequence through one direction in doubles, from the definition: [steps][inputs] to
 * [steps][outputs], h, c.
 */
function directionOracle(
  weights: LSTMWeights,
  xs: number[][],
  h: number[],
  c: number[],
  functions: CellFunctions,
): { ys: number[][]; h: number[]; c: number[] } {
  const hidden = c.length;
  const gateFunction = plainFunction(functions.gateActivation);
  const candidate = plainFunction(functions.activation);
  const cellFunction = plainFunction(functions.cellActivation);
  const product = (m: Float32Array, row: number, v: number[]) =>
    v.reduce((sum, value, k) => sum + value * m[row * v.length + k]!, 0);
  const ys: number[][] = [];
  for (const x of xs) {
    const gate = (g: number, j: number) => {
      const row = g * hidden + j;
      return product(weights.weightIh, row, x) + product(weights.weightHh, row, h) +
        (weights.biasIh?.[row] ?? 0) + (weights.biasHh?.[row] ?? 0);
    };
    const next = c.map((old, j) =>
      gateFunction(gate(1, j)) * old + gateFunction(gate(0, j)) * candidate(gate(2, j))
    );
    const output = next.map((value, j) => gateFunction(gate(3, j)) * cellFunction(value));
    const { weightHr } = weights;
    h = weightHr === null ? output : h.map((_, p) => product(weightHr, p, output));
    c = next;
    ys.push(h);
  }
  return { ys, h, c };
}

Deno.test("LSTM.forward() is within 1e-5 of a plain loop in doubles for any layers, directions, bias, projSize and functions", () => {
  fc.assert(fc.property(
    cases(lstmOptions.map((options) => ({ ...options, batchFirst: false }))),
    ({ lstm, x, state, batch, steps }) => {
      const [y, [h, c]] = lstm.forward(x, state);
      const width = h.shape[2];
      for (let b = 0; b < batch; b++) {
        let xs = Array.from({ length: steps }, (_, t) => [...pick(pick(x, 0, t), 1, b).data]);
        lstm.cells.forEach((layer, l) => {
          const outputs = layer.map((weights, d) => {
            const at = l * layer.length + d;
            const start = (which: 0 | 1, size: number) =>
              state ? [...pick(pick(state[which], 0, at), 1, b).data] : new Array(size).fill(0);
            const input = d === 0 ? xs : [...xs].reverse();
            const result = directionOracle(
              weights,
              input,
              start(0, width!),
              start(1, lstm.hiddenSize),
              lstm,
            );
            result.h.forEach((value, j) =>
              assertClose(h.data[(at * batch + b) * width! + j]!, value)
            );
            result.c.forEach((value, j) =>
              assertClose(c.data[(at * batch + b) * lstm.hiddenSize + j]!, value)
            );
            return d === 0 ? result.ys : result.ys.reverse();
          });
          xs = xs.map((_, t) => outputs.flatMap((ys) => ys[t]!));
        });
        xs.forEach((row, t) =>
          row.forEach((value, j) => assertClose(y.data[(t * batch + b) * row.length + j]!, value))
        );
      }
    },
  ));
});

Deno.test("LSTM.forward() has the bits of each row alone when rows differ in length", () => {
  fc.assert(fc.property(
    cases(),
    fc.array(fc.nat(), { minLength: 4, maxLength: 4 }),
    ({ lstm, x, state, batch, steps }, draws) => {
      const lengths = draws.slice(0, batch).map((n) => 1 + n % steps);
      const rows = (t: Tensor) => lstm.batchFirst ? transposed(t) : t;
      const [y, [h, c]] = lstm.forward(x, state, { lengths });
      assertEquals(y.shape, [...x.shape.slice(0, 2), lstm.outputSize]);
      for (let b = 0; b < batch; b++) {
        const alone = head(pick(rows(x), 1, b), lengths[b]!);
        const [yAlone, [hAlone, cAlone]] = lstm.forward(
          rows(alone),
          state && [pick(state[0], 1, b), pick(state[1], 1, b)],
        );
        const row = pick(rows(y), 1, b);
        assertEquals(head(row, lengths[b]!), rows(yAlone));
        assert(row.data.subarray(yAlone.data.length).every((value) => Object.is(value, 0)));
        assertEquals(pick(h, 1, b), hAlone);
        assertEquals(pick(c, 1, b), cAlone);
      }
    },
  ));
});

Deno.test("LSTM.forward() does not depend on finite padding when lengths are given", () => {
  fc.assert(fc.property(cases(), ({ lstm, x, state, batch, steps, generator }) => {
    const lengths = new Uint8Array(batch).map((_, b) => 1 + b % steps);
    const rows = (t: Tensor) => lstm.batchFirst ? t : transposed(t);
    const changed = rows(x);
    const other = random(generator, [1], 1e38).data[0]!;
    const data = changed.data.map((value, i) => {
      const row = Math.floor(i / lstm.inputSize);
      return row % steps < lengths[Math.floor(row / steps)]! ? value : other;
    });
    const padded = rows(tensor(data, changed.shape));
    assertEquals(lstm.forward(padded, state, { lengths }), lstm.forward(x, state, { lengths }));
  }));
});

Deno.test("LSTM.forward() has the same bits batchFirst as transposed", () => {
  fc.assert(fc.property(cases(), ({ options, lstm, x, state }) => {
    const other = new LSTM({ ...options, batchFirst: !options.batchFirst });
    const [y, final] = lstm.forward(x, state);
    const [yOther, finalOther] = other.forward(transposed(x), state);
    assertEquals(transposed(yOther), y);
    assertEquals(finalOther, final);
  }));
});

Deno.test("LSTM.forward() unbatched has the bits of batch 1", () => {
  fc.assert(fc.property(cases(), ({ lstm, x, state, steps }) => {
    const one = pick(x, lstm.batchFirst ? 0 : 1, 0);
    const flat = (t: Tensor) => tensor(t.data, [t.shape[0]!, t.shape[2]!]);
    const oneState: State | undefined = state && [pick(state[0], 1, 0), pick(state[1], 1, 0)];
    const [y, [h, c]] = lstm.forward(one, oneState);
    const lengths = [Math.max(1, steps - 1)];
    const x2 = tensor(one.data, [steps, lstm.inputSize]);
    const state2: State | undefined = oneState &&
      [flat(oneState[0]), flat(oneState[1])];
    assertEquals(lstm.forward(x2, state2), [tensor(y.data, [steps, lstm.outputSize]), [
      flat(h),
      flat(c),
    ]]);
    assertEquals(
      lstm.forward(x2, state2, { lengths })[0].data,
      lstm.forward(one, oneState, { lengths })[0].data,
    );
  }));
});

Deno.test("LSTM.forward() in chunks has the bits of the whole when the state is passed on", () => {
  const forward = lstmOptions.map((options) => ({
    ...options,
    bidirectional: false,
    batchFirst: false,
  }));
  fc.assert(fc.property(cases(forward), fc.nat(), ({ lstm, x, state, steps, batch }, draw) => {
    const [y, final] = lstm.forward(x, state);
    const cut = draw % steps;
    if (cut === 0) return;
    const [y1, middle] = lstm.forward(head(x, cut), state);
    const rest = tensor(x.data.slice(cut * batch * lstm.inputSize), [
      steps - cut,
      batch,
      lstm.inputSize,
    ]);
    const [y2, end] = lstm.forward(rest, middle);
    assertEquals([...y1.data, ...y2.data], [...y.data]);
    assertEquals(end, final);
  }));
});

Deno.test("LSTM.forward() leaves its input and the given state as they were", () => {
  fc.assert(fc.property(cases(), ({ lstm, x, state }) => {
    const before = structuredClone({ x, state });
    lstm.forward(x, state);
    assertEquals({ x, state }, before);
  }));
});

Deno.test("LSTM.forward() saturates when gates are huge and lets the cell grow over 1000 steps", () => {
  const lstm = new LSTM({ inputSize: 1, hiddenSize: 1, bias: false });
  lstm.loadStateDict(
    new Map([["weight_ih_l0", tensor([3e38, 3e38, 3e38, 3e38], [4, 1])], [
      "weight_hh_l0",
      tensor([0, 0, 0, 0], [4, 1]),
    ]]),
  );
  const [y, [, c]] = lstm.forward(tensor(new Float32Array(1000).fill(1), [1000, 1, 1]));
  assertEquals(c.data[0], 1000);
  assertEquals(y.data.at(-1), 1);
});

Deno.test("LSTM.stateDict() names every layer and direction when stacked, bidirectional and projected", () => {
  const lstm = new LSTM({
    inputSize: 3,
    hiddenSize: 4,
    numLayers: 2,
    bidirectional: true,
    projSize: 2,
  });
  const shapes = [...lstm.stateDict()].map(([name, { shape }]) => `${name} ${shape}`);
  const suffixes = ["_l0", "_l0_reverse", "_l1", "_l1_reverse"];
  assertEquals(
    shapes,
    suffixes.flatMap((suffix, i) => [
      `weight_ih${suffix} 16,${i < 2 ? 3 : 4}`,
      `weight_hh${suffix} 16,2`,
      `bias_ih${suffix} 16`,
      `bias_hh${suffix} 16`,
      `weight_hr${suffix} 2,4`,
    ]),
  );
  assertEquals(lstm.outputSize, 4);
});

// deno-lint-ignore no-explicit-any -- bad on purpose
const bad = (options: unknown) => () => new LSTM(options as any);

Deno.test("new LSTM() refuses options that are unknown, of the wrong kind or out of range", () => {
  const good = { inputSize: 3, hiddenSize: 4 };
  assertThrows(bad(undefined), TypeError, "options");
  assertThrows(bad({ ...good, dropout: 0.5 }), TypeError, 'got "dropout"');
  assertThrows(bad({ ...good, batch_first: true }), TypeError, 'got "batch_first"');
  assertThrows(bad({ hiddenSize: 4 }), TypeError, "inputSize: expected an integer");
  assertThrows(bad({ ...good, inputSize: 0 }), RangeError, "inputSize");
  assertThrows(bad({ ...good, hiddenSize: 1.5 }), RangeError, "hiddenSize");
  assertThrows(bad({ ...good, hiddenSize: 2 ** 31 - 1 }), RangeError, "weightIh");
  assertThrows(bad({ ...good, numLayers: 0 }), RangeError, "numLayers");
  assertThrows(bad({ ...good, numLayers: null }), TypeError, "numLayers");
  assertThrows(bad({ ...good, projSize: null }), TypeError, "projSize");
  assertThrows(
    bad({ ...good, projSize: 4 }),
    RangeError,
    "projSize: expected an integer in 0..3, got 4",
  );
  assertThrows(bad({ ...good, projSize: -1 }), RangeError, "projSize");
  assertThrows(bad({ ...good, bias: 1 }), TypeError, "bias: expected a boolean, got 1");
  assertThrows(bad({ ...good, batchFirst: "yes" }), TypeError, "batchFirst");
  assertThrows(bad({ ...good, bidirectional: null }), TypeError, "bidirectional");
  assertThrows(bad({ ...good, seed: "0" }), TypeError, "seed");
  assertThrows(bad({ ...good, seed: -1 }), RangeError, "seed");
});

Deno.test("LSTM.forward() refuses what does not fit, naming it", () => {
  const lstm = new LSTM({ inputSize: 2, hiddenSize: 3, bidirectional: true });
  const zeros = (...shape: number[]) =>
    tensor(new Float32Array(shape.reduce((a, b) => a * b)), shape);
  // deno-lint-ignore no-explicit-any -- bad on purpose
  const call = (...args: any[]) => () => lstm.forward(...args as [any]);
  const x = zeros(4, 5, 2);
  const h = zeros(2, 5, 3);
  const c = zeros(2, 5, 3);

  assertThrows(call(), TypeError, "x: expected a tensor");
  assertThrows(call({ data: [1, 2], shape: [1, 2] }), TypeError, "x.data: expected a Float32Array");
  for (const x of [new Float32Array(2), [1, 2], null]) {
    assertThrows(call(x), TypeError, "x: expected a tensor { data: Float32Array, shape }");
  }
  assertThrows(call({ data: new Float32Array(2), shape: "1,2" }), TypeError, "x.shape");
  assertThrows(
    call({ data: new Float32Array(3), shape: [1, 2] }),
    RangeError,
    "x.data: expected 2 elements",
  );
  assertThrows(call({ data: new Float32Array(2), shape: [-1, -2] }), RangeError, "shape[0]");
  assertThrows(
    call(zeros(4, 5, 3)),
    RangeError,
    "x.shape: expected [steps, batch, 2] or [steps, 2], got [4, 5, 3]",
  );
  assertThrows(call(zeros(2)), RangeError, "x.shape");
  assertThrows(call(zeros(1, 4, 5, 2)), RangeError, "x.shape");
  assertThrows(
    call(zeros(0, 5, 2)),
    RangeError,
    "x.shape: expected no empty dimension, got [0, 5, 2]",
  );
  assertThrows(call(zeros(4, 0, 2)), RangeError, "x.shape");
  for (const value of [NaN, Infinity, -Infinity]) {
    assertThrows(
      call(tensor([0, value], [1, 2])),
      RangeError,
      `x.data[1]: expected a finite number, got ${value}`,
    );
  }
  assertThrows(call(x, h), TypeError, "state: expected a pair");
  assertThrows(call(x, [h]), TypeError, "state: expected a pair");
  assertThrows(call(x, [h, null]), TypeError, "state[1]: expected a tensor");
  assertThrows(
    call(x, [zeros(2, 3), c]),
    RangeError,
    "state[0].shape: expected [2, 5, 3], got [2, 3]",
  );
  assertThrows(call(x, [zeros(1, 5, 3), c]), RangeError, "state[0].shape");
  assertThrows(
    call(x, [h, zeros(2, 4, 3)]),
    RangeError,
    "state[1].shape: expected [2, 5, 3], got [2, 4, 3]",
  );
  assertThrows(
    call(zeros(4, 2), [h, c]),
    RangeError,
    "state[0].shape: expected [2, 3], got [2, 5, 3]",
  );
  assertThrows(
    call(x, [h, tensor(c.data.map(() => NaN), c.shape)]),
    RangeError,
    "state[1].data[0]",
  );
  assertThrows(call(x, [h, c], { length: 4 }), TypeError, 'got "length"');
  assertThrows(call(x, [h, c], null), TypeError, "options");
  assertThrows(call(x, [h, c], { lengths: 4 }), TypeError, "lengths: expected an array");
  assertThrows(
    call(x, [h, c], { lengths: [4, 4, 4, 4] }),
    RangeError,
    "lengths: expected 5 integers",
  );
  assertThrows(
    call(x, [h, c], { lengths: [1, 2, 3, 4, 5] }),
    RangeError,
    "lengths[4]: expected an integer in 1..4",
  );
  assertThrows(call(x, [h, c], { lengths: [1, 0, 3, 4, 4] }), RangeError, "lengths[1]");
  assertThrows(call(x, [h, c], { lengths: [1, 1.5, 3, 4, 4] }), RangeError, "lengths[1]");
  assertThrows(call(x, [h, c], { lengths: [1, "2", 3, 4, 4] }), TypeError, "lengths[1]");
  assertThrows(
    call(x, [h, c], { lengths: Float32Array.of(1, NaN, 3, 4, 4) }),
    RangeError,
    "lengths[1]",
  );

  const first = new LSTM({ inputSize: 2, hiddenSize: 3, batchFirst: true });
  assertThrows(() => first.forward(zeros(1, 1, 1)), RangeError, "[batch, steps, 2] or [steps, 2]");
});

Deno.test("LSTM.forward() refuses a result that is not finite", () => {
  const lstm = new LSTM({ inputSize: 2, hiddenSize: 1, bias: false });
  const huge = tensor([3e38, 3e38, 0, 0, 0, 0, 0, 0], [4, 2]);
  const recurrent = tensor([-3e38, 0, 0, 0], [4, 1]);
  lstm.loadStateDict(new Map([["weight_ih_l0", huge], ["weight_hh_l0", recurrent]]));
  const state: State = [tensor([2], [1, 1]), tensor([0], [1, 1])];
  assertThrows(
    () => lstm.forward(tensor([1, 1], [1, 2]), state),
    RangeError,
    "y[0]: expected a finite number, got NaN",
  );
});
