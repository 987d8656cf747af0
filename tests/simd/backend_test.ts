import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import type { LinearWeight } from "../../kernels/linear.ts";
import { newQArray } from "../../src/dtype.ts";
import { perTensorAffine, type PerTensorQParams } from "../../src/qparams.ts";
import type { LstmBackend } from "../../src/quantized/backend.ts";
import type { ForwardTensor } from "../../src/quantized/forward.ts";
import { QuantizedLSTM } from "../../src/quantized/lstm.ts";
import { SimdKernels } from "../../src/simd/backend.ts";
import { type Bits, floatsOf, generator, type LstmCase, lstmCases, lstmOf, qparamsOf } from "../quantized/arbitrary.ts";

async function kernelsOf(name: string, oneStep?: boolean): Promise<SimdKernels> {
  const bytes = await Deno.readFile(new URL(`../../kernels/simd/${name}.wasm`, import.meta.url));
  return new SimdKernels(await WebAssembly.compile(bytes), oneStep);
}

const backends = [
  ["plain", await kernelsOf("plain")],
  ["relaxed, one step", await kernelsOf("relaxed", true)],
  ["relaxed, two steps", await kernelsOf("relaxed", false)],
] as const;

/** Counts what a backend itself runs: what it refuses, the portable kernels run. */
class Counted implements LstmBackend {
  readonly name = "counted";
  ran = 0;
  refused = 0; // a given state may span more than 16 bits
  constructor(readonly backend: LstmBackend) {}
  prepare(...args: Parameters<LstmBackend["prepare"]>): ReturnType<LstmBackend["prepare"]> {
    const prepared = this.backend.prepare(...args);
    if (prepared === null) this.refused++;
    else this.ran++;
    return prepared;
  }
}

/** Random integers of given parameters, the ends of the range often among them. */
function integersOf(seed: number, shape: readonly number[], q: PerTensorQParams): ForwardTensor {
  const random = generator(seed), data = newQArray(q.dtype, shape.reduce((a, b) => a * b, 1));
  for (let i = 0; i < data.length; i++) {
    const pick = random(0, 1);
    data[i] = pick < 0.1 ? q.quantMin : pick < 0.2 ? q.quantMax : Math.round(random(q.quantMin, q.quantMax));
  }
  return { data, shape, qparams: q };
}

/** The same LSTM with scales that are powers of two, so that half-way cases are frequent, and biases `size` times. */
function tieHeavy(lstm: QuantizedLSTM, size: number): QuantizedLSTM {
  const round = (scale: number): number => 2 ** Math.round(Math.log2(scale));
  const q = (p: PerTensorQParams | null): PerTensorQParams | null =>
    p === null ? null : perTensorAffine({ ...p, scale: round(p.scale) });
  const weight = (w: LinearWeight): LinearWeight => ({ ...w, scales: w.scales.map(round) });
  const bias = (b: Float32Array | null) => b === null ? null : b.map((x) => x * size);
  const cells = lstm.cells.map((layer) =>
    layer.map((cell) => {
      const { inputs: _none, ...own } = cell.parts;
      const parts = Object.fromEntries(
        Object.entries(own).map(([name, p]) => [name, p !== null && "length" in p ? p.map(q) : q(p)]),
      ) as unknown as typeof cell.parts;
      const { weightIh, weightHh, weightHr, biasIh, biasHh } = cell;
      return {
        weightIh: weight(weightIh),
        weightHh: weight(weightHh),
        weightHr: weightHr === null ? null : weight(weightHr),
        biasIh: bias(biasIh),
        biasHh: bias(biasHh),
        parts,
      };
    })
  );
  return new QuantizedLSTM({ ...lstm, input: q(lstm.input), cells });
}

/** All that a forward pass gives, or how it fails: qnnpack's addition does not take every scale. */
function results(lstm: QuantizedLSTM, c: LstmCase, stateBits: Bits | null, kernels?: LstmBackend): unknown {
  const { batch, steps, batchFirst, numLayers, bidirectional } = c, rows = numLayers * (bidirectional ? 2 : 1);
  const shape = [...(batchFirst ? [batch, steps] : [steps, batch]), c.inputSize];
  const x = lstm.input === null ? floatsOf(c.seed + 1, shape, 2) : integersOf(c.seed + 1, shape, lstm.input);
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
    assert(error instanceof RangeError && error.message.includes("qnnpack's addition"), String(error));
    return "qnnpack";
  }
}

const bits7or8 = fc.constantFrom<Bits>(7, 8), bits = fc.constantFrom<Bits>(7, 8, 8, 16);
const inputs = fc.constantFrom<Bits>(0, 7, 8, 8, 16);
const states = fc.constantFrom<Bits | null>(null, null, 7, 8, 16);

/** Parts of 7 and 8 bits, now and then of 16, whose tables take long to fill; projections also unquantized. */
const cases = fc.record({
  c: fc.oneof(
    { weight: 4, arbitrary: lstmCases(bits7or8, inputs, false) },
    { weight: 1, arbitrary: lstmCases(bits, inputs, false) },
  ),
  float: fc.boolean(),
  whole: fc.constantFrom(0, 0, 0, 8, 64),
  state: states,
}).map(({ c, float, whole, state }) => {
  const parts = [...c.bits], { inputSize, hiddenSize } = c;
  if (float) parts[0] = parts[1] = 0;
  // Sizes that fill the kernel's blocks, too.
  return { c: { ...c, bits: parts, inputSize: whole || inputSize, hiddenSize: whole || hiddenSize }, state };
});

for (const [name, backend] of backends) {
  Deno.test(`SimdKernels (${name}) gives what the portable kernels give`, () => {
    const kernels = new Counted(backend);
    fc.assert(
      fc.property(cases, ({ c, state }) => {
        const lstm = lstmOf(c);
        assertEquals(results(lstm, c, state, kernels), results(lstm, c, state));
      }),
      { numRuns: 150 },
    );
    assert(kernels.ran > 120, `${kernels.ran} ran, ${kernels.refused} refused`);
  });

  Deno.test(`SimdKernels (${name}) gives what the portable kernels give when half-way cases are frequent`, () => {
    const kernels = new Counted(backend);
    fc.assert(
      fc.property(cases, fc.constantFrom(1, 2 ** 10, 2 ** 30), ({ c, state }, size) => {
        const lstm = tieHeavy(lstmOf(c), size);
        assertEquals(results(lstm, c, state, kernels), results(lstm, c, state));
      }),
      { numRuns: 150 },
    );
    assert(kernels.ran > 120, `${kernels.ran} ran, ${kernels.refused} refused`);
  });
}
