import { assert, assertAlmostEquals, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import {
  Generator,
  GRU,
  GRUCell,
  type GRUOptions,
  Sequential,
  type Tensor,
  tensor,
} from "@splitgate/splitgate";
import type {
  CellActivation,
  GateActivation,
  GRUConventions,
  GRUWeights,
} from "@splitgate/splitgate/modules";
import {
  cellActivations,
  gateActivations,
  random,
  seeds,
  sizes,
} from "../../../src/testing/float_lstms.ts";
import { pick } from "../tensors.ts";

const gruOptions: fc.Arbitrary<GRUOptions> = fc.record({
  inputSize: sizes,
  hiddenSize: sizes,
  numLayers: fc.constantFrom(1, 1, 2, 3),
  bias: fc.boolean(),
  bidirectional: fc.boolean(),
  resetAfter: fc.boolean(),
  complementedUpdate: fc.boolean(),
  gateActivation: fc.constantFrom(...gateActivations),
  activation: fc.constantFrom("tanh", "tanh", ...cellActivations),
  seed: seeds,
});

interface Case {
  readonly gru: GRU;
  readonly x: Tensor;
  readonly state: Tensor | undefined;
  readonly steps: number;
  readonly batch: number;
}

const cases: fc.Arbitrary<Case> = fc.record({
  options: gruOptions,
  steps: fc.constantFrom(1, 2, 5),
  batch: fc.integer({ min: 1, max: 3 }),
  given: fc.boolean(),
}).map(({ options, steps, batch, given }) => {
  const gru = new GRU(options);
  const generator = new Generator(((options.seed as number) ^ 1) >>> 0);
  const outer = gru.numLayers * gru.numDirections;
  const x = random(generator, [steps, batch, gru.inputSize]);
  const state = given ? random(generator, [outer, batch, gru.hiddenSize]) : undefined;
  return { gru, x, state, steps, batch };
});

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

/** One sequence through one direction in doubles, from the definition. */
function directionOracle(
  weights: GRUWeights,
  xs: number[][],
  h: number[],
  conventions: GRUConventions,
): { ys: number[][]; h: number[] } {
  const hidden = h.length;
  const gate = plainFunction(conventions.gateActivation);
  const candidate = plainFunction(conventions.activation);
  const product = (m: Float32Array, row: number, v: number[]) =>
    v.reduce((sum, value, k) => sum + value * m[row * v.length + k]!, 0);
  const ys: number[][] = [];
  for (const x of xs) {
    const input = (g: number, j: number) =>
      product(weights.weightIh, g * hidden + j, x) + (weights.biasIh?.[g * hidden + j] ?? 0);
    const state = (g: number, j: number, v: number[]) =>
      product(weights.weightHh, g * hidden + j, v) + (weights.biasHh?.[g * hidden + j] ?? 0);
    const r = h.map((_, j) => gate(input(0, j) + state(0, j, h)));
    const z = h.map((_, j) => gate(input(1, j) + state(1, j, h)));
    const reset = h.map((value, j) => r[j]! * value);
    const n = h.map((_, j) =>
      candidate(
        input(2, j) + (conventions.resetAfter ? r[j]! * state(2, j, h) : state(2, j, reset)),
      )
    );
    h = h.map((value, j) =>
      conventions.complementedUpdate
        ? (1 - z[j]!) * value + z[j]! * n[j]!
        : (1 - z[j]!) * n[j]! + z[j]! * value
    );
    ys.push(h);
  }
  return { ys, h };
}

/** Requires a float32 value that is as close to one in doubles as its roundings let it be. */
function assertClose(value: number, expected: number): void {
  assertAlmostEquals(value, expected, 1e-4 * Math.max(1, Math.abs(expected)));
}

Deno.test("GRU.forward() is close to a plain loop in doubles for any layers, directions, bias and conventions", () => {
  let ran = 0;
  fc.assert(fc.property(cases, ({ gru, x, state, batch, steps }) => {
    const [y, h] = gru.forward(x, state);
    const { hiddenSize } = gru;
    for (let b = 0; b < batch; b++) {
      let xs = Array.from({ length: steps }, (_, t) => [...pick(pick(x, 0, t), 1, b).data]);
      gru.cells.forEach((layer, l) => {
        const outputs = layer.map((weights, d) => {
          const at = l * layer.length + d;
          const initial = state === undefined
            ? Array<number>(hiddenSize).fill(0)
            : [...pick(pick(state, 0, at), 1, b).data];
          const own = directionOracle(weights, d === 0 ? xs : xs.toReversed(), initial, gru);
          own.h.forEach((value, j) =>
            assertClose(h.data[(at * batch + b) * hiddenSize + j]!, value)
          );
          return d === 0 ? own.ys : own.ys.toReversed();
        });
        xs = xs.map((_, t) => outputs.flatMap((ys) => ys[t]!));
      });
      xs.forEach((row, t) =>
        row.forEach((value, k) => assertClose(y.data[(t * batch + b) * row.length + k]!, value))
      );
    }
    ran++;
  }));
  assertEquals(ran, 100);
});

Deno.test("GRU.forward() gives the same for batchFirst, in chunks and for rows alone, padded or not", () => {
  fc.assert(fc.property(cases, seeds, ({ gru, x, state, batch, steps }, seed) => {
    const lengths = Array.from({ length: batch }, (_, b) => 1 + (seed + b * 7) % steps);
    const [y, h] = gru.forward(x, state, { lengths });
    lengths.forEach((length, b) => {
      const row = tensor(
        Float32Array.from(
          { length: length * gru.inputSize },
          (_, i) =>
            x.data[
              (Math.floor(i / gru.inputSize) * batch + b) * gru.inputSize + i % gru.inputSize
            ]!,
        ),
        [length, 1, gru.inputSize],
      );
      const outer = gru.numLayers * gru.numDirections;
      const own = state && tensor(
        Float32Array.from({ length: outer * gru.hiddenSize }, (_, i) =>
          state.data[
            (Math.floor(i / gru.hiddenSize) * batch + b) * gru.hiddenSize + i % gru.hiddenSize
          ]!),
        [outer, 1, gru.hiddenSize],
      );
      const [alone, last] = gru.forward(row, own);
      for (let t = 0; t < steps; t++) {
        const at = (t * batch + b) * gru.outputSize;
        const expected = t < length
          ? alone.data.slice(t * gru.outputSize, (t + 1) * gru.outputSize)
          : new Float32Array(gru.outputSize);
        assertEquals(y.data.slice(at, at + gru.outputSize), expected);
      }
      for (let i = 0; i < outer; i++) {
        const at = (i * batch + b) * gru.hiddenSize;
        assertEquals(
          h.data.slice(at, at + gru.hiddenSize),
          last.data.slice(i * gru.hiddenSize, (i + 1) * gru.hiddenSize),
        );
      }
    });
    if (gru.bidirectional || steps < 2) return;
    const [whole] = gru.forward(x, state);
    const half = x.data.length / steps;
    const [first, between] = gru.forward(
      tensor(x.data.slice(0, half), [1, batch, gru.inputSize]),
      state,
    );
    const [second] = gru.forward(
      tensor(x.data.slice(half), [steps - 1, batch, gru.inputSize]),
      between,
    );
    assertEquals([...first.data, ...second.data], [...whole.data]);
  }));
});

Deno.test("GRU keeps PyTorch's names and shapes, and its options are checked by name", () => {
  const gru = new GRU({ inputSize: 2, hiddenSize: 3, numLayers: 2, bidirectional: true });
  assertEquals(
    [...gru.stateDict()].slice(0, 5).map(([name, { shape }]) => `${name} ${shape}`),
    [
      "weight_ih_l0 9,2",
      "weight_hh_l0 9,3",
      "bias_ih_l0 9",
      "bias_hh_l0 9",
      "weight_ih_l0_reverse 9,2",
    ],
  );
  assertEquals(gru.stateDict().get("weight_ih_l1")!.shape, [9, 6]);
  const made = (options: object) => () => new GRU({ inputSize: 2, hiddenSize: 3, ...options });
  assertThrows(made({ hiddenSize: 0 }), RangeError, "hiddenSize: expected an integer in 1..");
  assertThrows(made({ projSize: 2 }), TypeError, "projSize");
  assertThrows(made({ dropout: 0.5 }), TypeError, "dropout");
  assertThrows(made({ cellActivation: "tanh" }), TypeError, "cellActivation");
  assertThrows(made({ resetAfter: 1 }), TypeError, "resetAfter: expected a boolean");
  assertThrows(made({ complementedUpdate: "no" }), TypeError, "complementedUpdate");
  assertThrows(made({ activation: "softsign" }), RangeError, "activation: expected");
  assertThrows(made({ gateActivation: "tanh" }), RangeError, "gateActivation: expected");
});

Deno.test("GRU.forward() refuses states of the wrong shape and kind, and says what it takes", () => {
  const gru = new GRU({ inputSize: 2, hiddenSize: 3 });
  const x = tensor(new Float32Array(8), [2, 2, 2]);
  const state = (shape: number[]) => tensor(new Float32Array(shape.reduce((a, b) => a * b)), shape);
  assertThrows(
    () => gru.forward(x, state([1, 1, 3])),
    RangeError,
    "state.shape: expected [1, 2, 3], got [1, 1, 3]",
  );
  assertThrows(() => gru.forward(x, state([1, 2, 4])), RangeError, "state.shape: expected");
  assertThrows(() => gru.forward(x, state([1, 3])), RangeError, "state.shape: expected");
  assertThrows(
    () => gru.forward(x, [state([1, 2, 3]), state([1, 2, 3])] as unknown as Tensor),
    TypeError,
    "state",
  );
  assertThrows(() => gru.forward(state([2, 2, 3])), RangeError, "x.shape: expected");
  assertEquals(gru.forward(tensor(new Float32Array(4), [2, 2]))[1].shape, [1, 3]);
});

Deno.test("GRUCell is one step of the GRU that is made of it", () => {
  fc.assert(fc.property(gruOptions, fc.constantFrom(1, 3), (options, batch) => {
    const { numLayers: _, bidirectional: __, ...own } = options;
    const cell = new GRUCell(own);
    assertEquals([...cell.stateDict().keys()].slice(0, 2), ["weight_ih", "weight_hh"]);
    const generator = new Generator(7);
    const x = random(generator, [batch, cell.inputSize]);
    const h = random(generator, [batch, cell.hiddenSize]);
    const next = cell.forward(x, h);
    assertEquals(next.shape, h.shape);
    const gru = cell.toGRU();
    const [, last] = gru.forward(tensor(x.data, [1, ...x.shape]), tensor(h.data, [1, ...h.shape]));
    assertEquals(next.data, last.data);
    const [row] = [tensor(x.data.slice(0, cell.inputSize), [cell.inputSize])];
    assertEquals(
      cell.forward(row!, tensor(h.data.slice(0, cell.hiddenSize), [cell.hiddenSize])).data,
      next.data.slice(0, cell.hiddenSize),
    );
    cell.weights.weightIh.fill(0);
    assert(gru.cells[0]![0]!.weightIh.some((value) => value !== 0));
  }));
});

Deno.test("GRUCell refuses what does not fit, and a model that holds it says what to do", () => {
  const cell = new GRUCell({ inputSize: 2, hiddenSize: 3 });
  const x = tensor([1, 2], [1, 2]);
  assertThrows(
    () => cell.forward(x, tensor([1, 2], [1, 2])),
    RangeError,
    "h.shape: expected [1, 3]",
  );
  assertThrows(
    () => cell.forward(tensor([1], [1])),
    RangeError,
    "x.shape: expected [batch, 2] or [2]",
  );
  assertThrows(
    () => new GRUCell({ inputSize: 2, hiddenSize: 3, numLayers: 2 } as never),
    TypeError,
    "numLayers",
  );
  assertThrows(() => new Sequential({ cell }), TypeError, "GRU");
});
