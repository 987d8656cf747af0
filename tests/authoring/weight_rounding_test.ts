import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import type { LinearWeight } from "../../kernels/ops/linear.ts";
import { accumulateGram } from "../../kernels/float/gram.ts";
import {
  type CodedRows,
  descendIntegers,
  type NearestWeight,
  roundTokenTable,
  roundWeightRows,
  type TokenProjection,
} from "../../src/modules/rounding/weight_rounding.ts";
import { generator } from "../../src/testing/random.ts";

const SIZES = [1, 3, 7, 13, 33];

/** A gram of small integers, whole and symmetric: all that is computed from it is exact. */
function wholeGram(inputs: readonly (readonly number[])[], n: number): Float64Array {
  const gram = new Float64Array(n * n);
  for (const x of inputs) {
    for (let i = 0; i < n; i++) for (let j = 0; j < n; j++) gram[i * n + j]! += x[i]! * x[j]!;
  }
  return gram;
}

/** qᵀ G q - 2 linearᵀ q */
function objective(q: ArrayLike<number>, gram: Float64Array, linear: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < q.length; i++) {
    sum -= 2 * linear[i]! * q[i]!;
    for (let j = 0; j < q.length; j++) sum += q[i]! * gram[i * q.length + j]! * q[j]!;
  }
  return sum;
}

/** A whole quadratic problem, its bounds, and integers within them to start from. */
function problems(sizes: readonly number[]) {
  return fc.constantFrom(...sizes).chain((n) => {
    const vector = (min: number, max: number) =>
      fc.array(fc.integer({ min, max }), { minLength: n, maxLength: n });
    return fc.record({
      inputs: fc.array(vector(-9, 9), { minLength: 1, maxLength: 2 * n }),
      linear: vector(-3000, 3000),
      start: vector(-7, 7),
      lo: fc.constantFrom(-7, -20, -128),
      hi: fc.constantFrom(7, 20, 127),
    }).map(({ inputs, linear, start, lo, hi }) => ({
      n,
      gram: wholeGram(inputs, n),
      linear: Float64Array.from(linear),
      start: Int32Array.from(start),
      lo,
      hi,
    }));
  });
}

Deno.test("accumulateGram() adds weight times x xᵀ to the lower triangle and nothing elsewhere", () => {
  const vectors = fc.constantFrom(...SIZES).chain((n) =>
    fc.tuple(
      fc.array(fc.integer({ min: -50, max: 50 }), { minLength: n, maxLength: n }),
      fc.integer({ max: 9, min: 0 }),
    )
  );
  fc.assert(fc.property(vectors, ([x, weight]) => {
    const n = x.length;
    const gram = new Float64Array(n * n + 1).fill(5);
    accumulateGram(gram, Float32Array.from(x), weight);
    gram.forEach((value, at) => {
      const i = Math.floor(at / n);
      const j = at - i * n;
      assertEquals(value, i < n && j <= i ? 5 + weight * x[i]! * x[j]! : 5);
    });
  }));
});

Deno.test("descendIntegers() stays in range and ends where no single value and no pair of steps is better", () => {
  fc.assert(fc.property(problems([1, 3, 7]), ({ n, gram, linear, start, lo, hi }) => {
    const q = start.slice();
    descendIntegers(q, gram, linear, lo, hi);
    assert(q.every((value) => value >= lo && value <= hi));
    const reached = objective(q, gram, linear);
    assert(reached <= objective(start, gram, linear));
    const tryMove = (changes: readonly (readonly [number, number])[]) => {
      const other = q.slice();
      for (const [k, value] of changes) other[k] = value;
      if (other.every((value) => value >= lo && value <= hi)) {
        assert(objective(other, gram, linear) >= reached);
      }
    };
    for (let i = 0; i < n; i++) {
      // A value that its row of G says nothing about stays: linear is not of G's making here.
      if (gram[i * n + i] === 0) continue;
      for (let value = lo; value <= hi; value++) tryMove([[i, value]]);
      for (let j = 0; j < i; j++) {
        if (gram[j * n + j] === 0) continue;
        for (const a of [-1, 1]) for (const b of [-1, 1]) tryMove([[i, q[i]! + a], [j, q[j]! + b]]);
      }
    }
  }));
});

Deno.test("descendIntegers() never ends above its start", () => {
  fc.assert(fc.property(problems(SIZES), ({ gram, linear, start, lo, hi }) => {
    const q = start.slice();
    descendIntegers(q, gram, linear, lo, hi);
    assert(objective(q, gram, linear) <= objective(start, gram, linear));
  }));
});

Deno.test("descendIntegers() finds the optimum of every problem of one integer", () => {
  fc.assert(fc.property(problems([1]), ({ gram, linear, start, lo, hi }) => {
    fc.pre(gram[0]! > 0);
    const q = start.slice();
    descendIntegers(q, gram, linear, lo, hi);
    let best = Infinity;
    for (let value = lo; value <= hi; value++) {
      best = Math.min(best, objective([value], gram, linear));
    }
    assertEquals(objective(q, gram, linear), best);
  }));
});

Deno.test("descendIntegers() moves pairs where no single integer can move", () => {
  // A step along either axis costs 1, a step along both gains 4.
  const gram = Float64Array.of(4, -3, -3, 4);
  const linear = Float64Array.of(1.5, 1.5);
  const q = Int32Array.of(0, 0);
  for (const single of [[1, 0], [0, 1], [-1, 0], [0, -1]]) {
    assert(objective(single, gram, linear) > 0);
  }
  descendIntegers(q, gram, linear, -127, 127);
  assertEquals([...q], [1, 1]);
  const held = Int32Array.of(0, 0);
  descendIntegers(held, gram, linear, 0, 0);
  assertEquals([...held], [0, 0]);
});

/** A float weight, its nearest integers, and inputs. */
function weightCases(sizes: readonly number[]) {
  return fc.record({
    rows: fc.constantFrom(1, 2, 4),
    n: fc.constantFrom(...sizes),
    seed: fc.integer(),
    channels: fc.constantFrom("tensor", "row"),
    zeroPoint: fc.constantFrom(0, 0, 5, -17),
    quantMin: fc.constantFrom(-128, -127, -64),
  }).map(({ rows, n, seed, channels, zeroPoint, quantMin }) => {
    const random = generator(seed);
    const weight = Float32Array.from({ length: rows * n }, () => random(-2, 2));
    const quantMax = quantMin === -64 ? 63 : 127;
    const count = channels === "row" ? rows : 1;
    const scales = Float32Array.from(
      { length: count },
      () => 4 / (quantMax - quantMin) * random(0.5, 1.5),
    );
    const integers: LinearWeight = {
      data: Int8Array.from(weight, (w, i) => {
        const scale = scales[count === 1 ? 0 : Math.floor(i / n)]!;
        return Math.min(quantMax, Math.max(quantMin, Math.round(w / scale) + zeroPoint));
      }),
      outFeatures: rows,
      inFeatures: n,
      perChannel: count > 1,
      scales,
      zeroPoints: new Int32Array(count).fill(zeroPoint),
    };
    // Inputs with a common part: correlated, as those of a layer are.
    const inputs = Array.from({ length: 2 * n }, () => {
      const common = random(-0.5, 0.5);
      return Float32Array.from({ length: n }, () => common + random(0, 0.3));
    });
    const nearest: NearestWeight = { weight: integers, quantMin, quantMax };
    return { weight, nearest, integers, inputs, rows, n };
  });
}

function gramOf(inputs: readonly Float32Array[], n: number): Float64Array {
  const gram = new Float64Array(n * n);
  for (const x of inputs) accumulateGram(gram, x, 1);
  return gram;
}

/** Squared error of one row's outputs over the inputs. */
function rowError(
  row: number,
  quantized: LinearWeight,
  weight: Float32Array,
  inputs: readonly Float32Array[],
): number {
  const { inFeatures: n, scales, zeroPoints, data } = quantized;
  const channel = scales.length === 1 ? 0 : row;
  return inputs.reduce((sum, x) => {
    let error = 0;
    for (let k = 0; k < n; k++) {
      const at = row * n + k;
      error += x[k]! * (weight[at]! - (data[at]! - zeroPoints[channel]!) * scales[channel]!);
    }
    return sum + error * error;
  }, 0);
}

Deno.test("roundWeightRows() never has a larger error on the data than nearest rounding, in any row", () => {
  let better = 0;
  fc.assert(
    fc.property(weightCases(SIZES), ({ weight, nearest, integers, inputs, rows, n }) => {
      const { quantMin, quantMax } = nearest;
      const rounded = roundWeightRows(nearest, weight, gramOf(inputs, n), { damping: 0 });
      assert(rounded.data.every((q) => q >= quantMin && q <= quantMax));
      assertEquals({ ...rounded, data: integers.data }, integers);
      for (let row = 0; row < rows; row++) {
        const before = rowError(row, integers, weight, inputs);
        const after = rowError(row, rounded, weight, inputs);
        assert(after <= before * (1 + 1e-9), `row ${row}: ${after} > ${before}`);
        if (after < before / 2) better++;
      }
    }),
  );
  assert(better > 0, "no row was rounded better");
});

Deno.test("roundWeightRows() takes for each row the scale with the smallest error, its own among them", () => {
  let better = 0;
  const scaleFactors = [1.004, 1.1, 0.9];
  fc.assert(
    fc.property(weightCases(SIZES), ({ weight, nearest, integers, inputs, rows, n }) => {
      const { quantMin, quantMax } = nearest;
      const gram = gramOf(inputs, n);
      const kept = roundWeightRows(nearest, weight, gram, { damping: 0 });
      const tried = roundWeightRows(nearest, weight, gram, { damping: 0, scaleFactors });
      if (!integers.perChannel) {
        assertEquals(tried, kept);
        return;
      }
      assert(tried.data.every((q) => q >= quantMin && q <= quantMax));
      for (let row = 0; row < rows; row++) {
        const factors = [1, ...scaleFactors];
        const scales = factors.map((factor) => Math.fround(integers.scales[row]! * factor));
        assert(scales.includes(tried.scales[row]!), `row ${row}: ${tried.scales[row]}`);
        const before = rowError(row, kept, weight, inputs);
        const after = rowError(row, tried, weight, inputs);
        assert(after <= before * (1 + 1e-9), `row ${row}: ${after} > ${before}`);
        if (tried.scales[row] === integers.scales[row]) {
          const own = (data: LinearWeight["data"]) => data.subarray(row * n, (row + 1) * n);
          assertEquals(own(tried.data), own(kept.data));
        } else if (after < before) better++;
      }
    }),
  );
  assert(better > 0, "no row took another scale");
});

Deno.test("roundWeightRows() counts damping as inputs along each axis", () => {
  fc.assert(
    fc.property(weightCases([3, 7]), ({ weight, nearest, integers, inputs, rows, n }) => {
      const gram = gramOf(inputs, n);
      const damping = 0.5;
      let trace = 0;
      for (let k = 0; k < n; k++) trace += gram[k * n + k]!;
      const size = Math.sqrt(damping * trace / n);
      const axes = Array.from(
        { length: n },
        (_, k) => Float32Array.from({ length: n }, (_, j) => j === k ? size : 0),
      );
      const rounded = roundWeightRows(nearest, weight, gram, { damping });
      for (let row = 0; row < rows; row++) {
        const before = rowError(row, integers, weight, [...inputs, ...axes]);
        assert(rowError(row, rounded, weight, [...inputs, ...axes]) <= before * (1 + 1e-6));
      }
    }),
  );
});

Deno.test("roundWeightRows() is nearest rounding when inputs are uncorrelated, or there are none", () => {
  fc.assert(fc.property(weightCases(SIZES), ({ weight, nearest, integers, n }) => {
    const axes = Array.from(
      { length: n },
      (_, k) => Float32Array.from({ length: n }, (_, j) => j === k ? 2 : 0),
    );
    const apart = roundWeightRows(nearest, weight, gramOf(axes, n));
    for (const [i, q] of apart.data.entries()) {
      const channel = integers.scales.length === 1 ? 0 : Math.floor(i / n);
      const distance = (value: number) => Math.abs(weight[i]! / integers.scales[channel]! - value);
      const point = integers.zeroPoints[channel];
      assert(distance(q - point!) <= distance(integers.data[i]! - point!) + 1e-9);
    }
    assertEquals(roundWeightRows(nearest, weight, new Float64Array(n * n)), integers);
  }));
});

Deno.test("roundWeightRows() rounds each row by its own gram where there is one a row", () => {
  fc.assert(
    fc.property(weightCases([3, 7]), ({ weight, nearest, inputs, rows, n }) => {
      const grams = new Float64Array(rows * n * n);
      for (let row = 0; row < rows; row++) grams.set(gramOf(inputs.slice(row), n), row * n * n);
      const before = grams.slice();
      const own = roundWeightRows(nearest, weight, grams);
      assertEquals(grams, before);
      for (let row = 0; row < rows; row++) {
        const shared = roundWeightRows(nearest, weight, gramOf(inputs.slice(row), n));
        assertEquals(own.data.slice(row * n, row * n + n), shared.data.slice(row * n, row * n + n));
      }
    }),
  );
});

Deno.test("roundWeightRows() refuses what does not fit", () => {
  const nearest: NearestWeight = {
    weight: {
      data: Int8Array.of(1, 2),
      outFeatures: 1,
      inFeatures: 2,
      perChannel: false,
      scales: Float32Array.of(1),
      zeroPoints: Int32Array.of(0),
    },
    quantMin: -128,
    quantMax: 127,
  };
  const weight = Float32Array.of(1, 2);
  const gram = new Float64Array(4);
  assertThrows(
    () => roundWeightRows(nearest, weight, gram, { rounds: 1 } as never),
    TypeError,
    'options: expected no options but damping, scaleFactors, got "rounds"',
  );
  assertThrows(
    () => roundWeightRows(nearest, weight.slice(1), gram),
    RangeError,
    "weight.length: expected 2, got 1",
  );
  assertThrows(
    () => roundWeightRows(nearest, weight, gram.slice(1)),
    RangeError,
    "grams.length: expected 4",
  );
  assertThrows(
    () => roundWeightRows(nearest, weight, Float64Array.of(1, 0, NaN, 1)),
    RangeError,
    "grams[2]: expected a finite number, got NaN",
  );
  for (const damping of [-1, NaN, Infinity]) {
    assertThrows(
      () => roundWeightRows(nearest, weight, gram, { damping }),
      RangeError,
      "options.damping",
    );
  }
  for (const factor of [0, -1, NaN, Infinity]) {
    assertThrows(
      () => roundWeightRows(nearest, weight, gram, { scaleFactors: [1.5, factor] }),
      RangeError,
      "options.scaleFactors[1]: expected a positive number",
    );
  }
});

/** An embedding, its nearest codes, and two projections that read it. */
function tableCases() {
  return fc.record({
    tokens: fc.constantFrom(1, 3, 9),
    n: fc.constantFrom(1, 3, 7),
    rows: fc.constantFrom(1, 4),
    wide: fc.boolean(),
    seed: fc.integer(),
  }).map(({ tokens, n, rows, wide, seed }) => {
    const random = generator(seed);
    const quantMax = wide ? 65535 : 255;
    const embedding = Float32Array.from({ length: tokens * n }, () => random(-3, 3));
    if (tokens > 1) embedding.fill(1.5, 0, n); // a row of equal values has scale 0
    const scales = new Float32Array(tokens);
    const biases = new Float32Array(tokens);
    for (let token = 0; token < tokens; token++) {
      const row = embedding.subarray(token * n, token * n + n);
      biases[token] = Math.min(...row);
      scales[token] = (Math.max(...row) - biases[token]!) / quantMax;
    }
    const codes = new (wide ? Uint16Array : Uint8Array)(tokens * n);
    codes.forEach((_, i) => {
      const token = Math.floor(i / n);
      codes[i] = scales[token]! > 0
        ? Math.round((embedding[i]! - biases[token]!) / scales[token]!)
        : 0;
    });
    const counts = Float64Array.from(
      { length: tokens },
      (_, token) => token === 0 ? 1 : Math.floor(random(0, 5)),
    );
    const projections = [0, 1].map((): TokenProjection => {
      const weight = Float32Array.from({ length: rows * n }, () => random(-1, 1));
      const perRow = Float32Array.from({ length: rows }, () => 1 / 20);
      return {
        weight,
        nearest: {
          weight: {
            data: Int8Array.from(weight, (w) => Math.round(w * 20)),
            outFeatures: rows,
            inFeatures: n,
            perChannel: true,
            scales: perRow,
            zeroPoints: new Int32Array(rows),
          },
          quantMin: -128,
          quantMax: 127,
        },
        weights: Float64Array.from(
          { length: tokens * rows },
          (_, i) => random(0, counts[Math.floor(i / rows)]!),
        ),
      };
    });
    return { embedding, nearest: { codes, scales, biases }, projections, counts, tokens, n, rows };
  });
}

/** The table's error, each output weighted by its own weight and by the mean a token met. */
function tableError(
  embedding: Float32Array,
  { codes, scales, biases }: CodedRows,
  weights: readonly LinearWeight[],
  projections: readonly TokenProjection[],
  counts: Float64Array,
): number {
  const tokens = counts.length;
  const met = counts.reduce((a, b) => a + b);
  let error = 0;
  weights.forEach(({ data, scales: rowScales, outFeatures, inFeatures: n }, p) => {
    for (let row = 0; row < outFeatures; row++) {
      let mean = 0;
      for (let token = 0; token < tokens; token++) {
        mean += projections[p]!.weights[token * outFeatures + row]! / met;
      }
      for (let token = 0; token < tokens; token++) {
        let difference = 0;
        for (let k = 0; k < n; k++) {
          const at = token * n + k;
          difference += projections[p]!.weight[row * n + k]! * embedding[at]! -
            data[row * n + k]! * rowScales[row]! * (codes[at]! * scales[token]! + biases[token]!);
        }
        error += (projections[p]!.weights[token * outFeatures + row]! + mean) * difference ** 2;
      }
    }
  });
  return error;
}

Deno.test("roundTokenTable() never has a larger error than nearest rounding, and mostly a much smaller one", () => {
  let cases = 0;
  let better = 0;
  fc.assert(
    fc.property(tableCases(), ({ embedding, nearest, projections, counts }) => {
      const { codes, projections: rounded } = roundTokenTable(
        embedding,
        nearest,
        projections,
        counts,
      );
      const before = tableError(
        embedding,
        nearest,
        projections.map((p) => p.nearest.weight),
        projections,
        counts,
      );
      const after = tableError(embedding, { ...nearest, codes }, rounded, projections, counts);
      assertEquals(codes.constructor, nearest.codes.constructor);
      assert(after <= before * (1 + 1e-9), `${after} > ${before}`);
      cases++;
      if (after < before / 2) better++;
      // One seed: how many are much better is a count, not a property of each case.
    }),
    { seed: 1 },
  );
  assert(better > cases / 2, `better in ${better} of ${cases}`);
});

Deno.test("roundTokenTable() leaves its arguments and rows of scale 0 as they are", () => {
  fc.assert(fc.property(tableCases(), ({ embedding, nearest, projections, counts, tokens, n }) => {
    const copy = structuredClone({ embedding, nearest, projections, counts });
    const { codes } = roundTokenTable(embedding, nearest, projections, counts);
    assertEquals({ embedding, nearest, projections, counts }, copy);
    if (tokens > 1) assertEquals(codes.slice(0, n), nearest.codes.slice(0, n));
  }));
});

Deno.test("roundTokenTable() refuses what does not fit", () => {
  const { embedding, nearest, projections, counts } = fc.sample(tableCases(), {
    numRuns: 1,
    seed: 1,
  })[0]!;
  const round = (change: {
    nearest?: CodedRows;
    projections?: readonly TokenProjection[];
    counts?: Float64Array;
    options?: { rounds?: number; damping?: number };
  }) => {
    const given = { nearest, projections, counts, options: {}, ...change };
    return roundTokenTable(
      embedding,
      given.nearest,
      given.projections,
      given.counts,
      given.options,
    );
  };
  round({});
  assertThrows(
    () => round({ counts: new Float64Array(counts.length) }),
    RangeError,
    "counts: expected tokens",
  );
  assertThrows(
    () => round({ options: { rounds: 0 } }),
    RangeError,
    "options.rounds: expected an integer >= 1, got 0",
  );
  assertThrows(() => round({ options: { damping: -1 } }), RangeError, "options.damping");
  assertThrows(
    () => round({ options: { round: 2 } as never }),
    TypeError,
    'damping, rounds, got "round"',
  );
  assertThrows(
    () => round({ nearest: { ...nearest, codes: new Uint8Array(0) } }),
    RangeError,
    "nearest.codes.length",
  );
  const first = projections[0]!;
  const second = projections[1]!;
  assertThrows(
    () => round({ projections: [first, { ...second, weights: second.weights.slice(1) }] }),
    RangeError,
    "projections[1].weights.length",
  );
  assertThrows(
    () => round({ projections: [{ ...first, weights: first.weights.map(() => Infinity) }] }),
    RangeError,
    "projections[0].weights[0]: expected a finite number, got Infinity",
  );
  assertThrows(
    () => round({ projections: [{ ...first, weight: new Float32Array(0) }] }),
    RangeError,
    "projections[0].weight: expected",
  );
});
