import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { newQArray } from "../../src/core/dtype.ts";
import type { PerTensorQParams } from "../../src/core/qparams.ts";
import { byParts } from "../../src/modules/recurrent/by_parts.ts";
import type { Backend } from "../../src/runtime/kind.ts";
import type { ForwardTensor } from "../../src/modules/kind.ts";
import type { QuantizedLSTM } from "../../src/modules/lstm/quantized.ts";
import {
  type Bits,
  type LSTMCase,
  lstmCases,
  lstmOf,
  qparamsOf,
} from "../../src/testing/quantized_lstms.ts";
import { floatsOf, generator } from "../../src/testing/random.ts";
import { plainCase } from "../../src/testing/quantized_models.ts";
import { backends, Counted, symmetric, tieHeavy } from "./backends.ts";

/** Random integers of given parameters, the ends of the range often among them. */
function integersOf(seed: number, shape: readonly number[], q: PerTensorQParams): ForwardTensor {
  const random = generator(seed);
  const data = newQArray(q.dtype, shape.reduce((a, b) => a * b, 1));
  for (let i = 0; i < data.length; i++) {
    const pick = random(0, 1);
    data[i] = pick < 0.1
      ? q.quantMin
      : pick < 0.2
      ? q.quantMax
      : Math.round(random(q.quantMin, q.quantMax));
  }
  return { data, shape, qparams: q };
}

/** All that a forward pass gives, or how it fails: qnnpack's addition does not take every scale. */
function results(
  lstm: QuantizedLSTM,
  c: LSTMCase,
  stateBits: Bits | null,
  kernels?: Backend,
): unknown {
  const { batch, steps, batchFirst, numLayers, bidirectional } = c;
  const rows = numLayers * (bidirectional ? 2 : 1);
  const shape = [...(batchFirst ? [batch, steps] : [steps, batch]), c.inputSize];
  const x = lstm.input === null
    ? floatsOf(c.seed + 1, shape, 2)
    : integersOf(c.seed + 1, shape, lstm.input);
  const random = generator(c.seed + 2);
  const given = (size: number, range: number): ForwardTensor =>
    integersOf(c.seed + size, [rows, batch, size], qparamsOf(stateBits!, range, random)!);
  const state = stateBits === null
    ? undefined
    : [given(lstm.projSize || c.hiddenSize, 1), given(c.hiddenSize, 2)] as const;
  try {
    const [y, [h, cell]] = lstm.forward(x, state as never, { kernels });
    return [y, h, cell].map((t) => ({ ...t, data: [...t.data] }));
  } catch (error) {
    assert(
      error instanceof RangeError && error.message.includes("qnnpack's addition"),
      String(error),
    );
    return "qnnpack";
  }
}

const bits7or8 = fc.constantFrom<Bits>(7, 8);
const bits = fc.constantFrom<Bits>(7, 8, 8, 16);
const inputs = fc.constantFrom<Bits>(0, 7, 8, 8, 16);
const states = fc.constantFrom<Bits | null>(null, null, 7, 8, 16);

const symmetricOf = (c: LSTMCase): QuantizedLSTM => symmetric(lstmOf(c));

/**
 * Parts of 7 and 8 bits, now and then of 16, whose tables take long to fill; projections also
 * unquantized.
 */
const cases = fc.record({
  c: fc.oneof(
    { weight: 4, arbitrary: lstmCases(bits7or8, inputs, false) },
    { weight: 1, arbitrary: lstmCases(bits, inputs, false) },
  ),
  float: fc.boolean(),
  whole: fc.constantFrom(0, 0, 0, 8, 64),
  state: states,
  batch: fc.constantFrom(1, 2, 3, 5, 8),
  steps: fc.integer({ min: 1, max: 9 }),
  zero: fc.boolean(),
}).map(({ c, float, whole, state, batch, steps, zero }) => {
  const parts = [...c.bits];
  const { inputSize, hiddenSize } = c;
  if (float) parts[0] = parts[1] = 0;
  // Sizes that fill the kernel's blocks, too.
  const sizes = { inputSize: whole || inputSize, hiddenSize: whole || hiddenSize };
  return {
    c: { ...c, ...sizes, bits: parts, batch, steps },
    state,
    create: zero ? symmetricOf : lstmOf,
  };
});

for (const [name, backend] of backends) {
  Deno.test(`SimdKernels (${name}) gives what the portable kernels give`, () => {
    const kernels = new Counted(backend);
    fc.assert(
      fc.property(cases, ({ c, state, create }) => {
        const lstm = create(c);
        assertEquals(results(lstm, c, state, kernels), results(lstm, c, state));
      }),
      { numRuns: 150 },
    );
    assert(kernels.ran > 120, `${kernels.ran} ran, ${kernels.refused} refused`);
  });

  Deno.test(`SimdKernels (${name}) gives what the portable kernels give when half-way cases are frequent`, () => {
    const kernels = new Counted(backend);
    fc.assert(
      fc.property(cases, fc.constantFrom(1, 2 ** 10, 2 ** 30), ({ c, state, create }, size) => {
        const lstm = tieHeavy(create(c), size);
        assertEquals(results(lstm, c, state, kernels), results(lstm, c, state));
      }),
      { numRuns: 150 },
    );
    assert(kernels.ran > 120, `${kernels.ran} ran, ${kernels.refused} refused`);
  });
}

Deno.test("Every way to run a cell of 16 bits gives the same, before its tables keep outputs and long after", () => {
  for (const hiddenSize of [7, 33]) {
    const bits = Array<Bits>(13).fill(16);
    const sizes = { inputSize: 3, hiddenSize, numLayers: 2, bidirectional: true };
    const c = { ...plainCase, ...sizes, bits, input: 8, batch: 2, steps: 400 } as const;
    const lstm = lstmOf(c);
    const expected = results(lstm, c, null, byParts());
    assertEquals(results(lstm, c, null), expected);
    for (const [name, backend] of backends) {
      const kernels = new Counted(backend);
      assertEquals(results(lstm, c, null, kernels), expected, name);
      assertEquals(kernels.ran, 1);
    }
  }
});
