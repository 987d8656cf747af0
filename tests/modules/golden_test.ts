// Against torch 2.8.0: golden.json comes from scripts/golden_nn.py.
import { assert, assertEquals, assertLessOrEqual } from "@std/assert";
import { Generator, Linear, LSTM, type Module, tensor } from "@splitgate/splitgate";

interface Stored {
  shape: number[];
  f32: number[];
  /** The number of steps stored, the last ones; all if left out. */
  last?: number;
}

interface InitCase {
  kind: "Linear" | "LSTM";
  options: Record<string, number | boolean>;
  seed: number;
  tensors: Record<string, [shape: number[], hash: number]>;
}

interface LSTMCase extends InitCase {
  x: number[];
  state: boolean;
  lengths: number[] | null;
  y: Stored;
  h: Stored;
  c: Stored;
}

const golden: {
  init: InitCase[];
  shared: Record<string, number>;
  lstm: LSTMCase[];
  normal: { count: number; seed: number; y: Stored }[];
} = JSON.parse(await Deno.readTextFile(new URL("golden.json", import.meta.url)));

function bitsHash(data: Float32Array): number {
  let value = 0;
  for (const bits of new Int32Array(data.buffer, data.byteOffset, data.length)) {
    value = (Math.imul(value, 31) + bits) | 0;
  }
  return value >>> 0;
}

function camelCase(options: Record<string, number | boolean>): Record<string, number | boolean> {
  return Object.fromEntries(
    Object.entries(options).map((
      [key, value],
    ) => [key.replace(/_(.)/g, (_, letter) => letter.toUpperCase()), value]),
  );
}

function build({ kind, options, seed }: InitCase): Module {
  // deno-lint-ignore no-explicit-any -- the options are those of the kind
  const all: any = { ...camelCase(options), seed };
  return kind === "Linear" ? new Linear(all) : new LSTM(all);
}

function assertClose(
  name: string,
  data: Float32Array,
  shape: readonly number[],
  stored: Stored,
  tolerance: number,
) {
  if (stored.last !== undefined) {
    shape = [stored.last, ...shape.slice(1)];
    data = data.subarray(data.length - stored.f32.length);
  }
  assertEquals(shape, stored.shape, name);
  let worst = 0;
  stored.f32.forEach((value, i) => worst = Math.max(worst, Math.abs(value - data[i]!)));
  assertLessOrEqual(worst, tolerance, name);
}

function uniform(generator: Generator, shape: number[], bound: number) {
  const data = new Float32Array(shape.reduce((a, b) => a * b));
  generator.uniform(data, -bound, bound);
  return tensor(data, shape);
}

Deno.test("Linear and LSTM have torch's names, shapes and initial bits when built from a seed", () => {
  const cases = [...golden.init, ...golden.lstm];
  assertEquals(new Set(cases.map(({ kind }) => kind)).size, 2);
  for (const item of cases) {
    const tensors = [...build(item).stateDict()].map((
      [name, { data, shape }],
    ) => [name, [shape, bitsHash(data)]]);
    assertEquals(tensors, Object.entries(item.tensors), JSON.stringify(item.options));
  }
});

Deno.test("Generator gives modules torch's initial bits when they share it", () => {
  const seed = new Generator(7);
  const lstm = new LSTM({ inputSize: 3, hiddenSize: 5, seed });
  const linear = new Linear({ inFeatures: 5, outFeatures: 2, seed });
  const hashes = [lstm, linear].flatMap((module, i) =>
    [...module.stateDict()].map(([name, { data }]) => [`${i}.${name}`, bitsHash(data)])
  );
  assertEquals(Object.fromEntries(hashes), golden.shared);
});

for (const item of golden.lstm) {
  const { options, state, lengths, x: shape } = item;
  const name = `${JSON.stringify(options)}, x [${shape}]${state ? ", state" : ""}${
    lengths ? `, lengths ${lengths}` : ""
  }`;
  Deno.test(`LSTM.forward() is within 1e-6 of torch when ${name}`, () => {
    const lstm = build(item) as LSTM;
    const generator = new Generator(item.seed + 1000);
    const { numLayers, numDirections, hiddenSize, projSize, batchFirst } = lstm;
    const x = uniform(generator, shape, 2);
    const outer = [
      numLayers * numDirections,
      ...(shape.length === 2 ? [] : [shape[batchFirst ? 0 : 1]!]),
    ];
    const given = state
      ? [
        uniform(generator, [...outer, projSize || hiddenSize], 1),
        uniform(generator, [...outer, hiddenSize], 3),
      ] as const
      : undefined;
    const [y, [h, c]] = lstm.forward(x, given, lengths ? { lengths } : {});
    assertClose("y", y.data, y.shape, item.y, 1e-6);
    assertClose("h", h.data, h.shape, item.h, 1e-6);
    assertClose("c", c.data, c.shape, item.c, 1e-6);
  });
}

Deno.test("Generator.normal() is within 1e-6 of torch, spare values of short tensors included", () => {
  assert(golden.normal.length > 0);
  for (const { count, seed, y } of golden.normal) {
    const generator = new Generator(seed);
    const out = new Float32Array(count + 3);
    generator.normal(out.subarray(0, count));
    generator.normal(out.subarray(count));
    assertClose(`${count}`, out, [count + 3], y, 1e-6);
  }
});
