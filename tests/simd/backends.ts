/**
 * The kernels in all forms: both modules, and relaxed products as one instruction of the processor
 * and as two.
 */
import type { LinearWeight } from "../../kernels/ops/linear.ts";
import { perTensorAffine, type PerTensorQParams } from "../../src/core/qparams.ts";
import type { Backend } from "../../src/runtime/kind.ts";
import { QuantizedLSTM } from "../../src/modules/lstm/quantized.ts";
import { SimdKernels } from "../../src/simd/backend.ts";

async function kernelsOf(name: string, oneStep?: boolean): Promise<SimdKernels> {
  const bytes = await Deno.readFile(new URL(`../../kernels/simd/${name}.wasm`, import.meta.url));
  return new SimdKernels(await WebAssembly.compile(bytes), oneStep);
}

export const backends: readonly (readonly [string, SimdKernels])[] = [
  ["plain", await kernelsOf("plain")],
  ["relaxed, one step", await kernelsOf("relaxed", true)],
  ["relaxed, two steps", await kernelsOf("relaxed", false)],
];

/** Counts what a backend itself runs: what it refuses, the portable kernels run. */
export class Counted implements Backend {
  readonly name = "counted";
  ran = 0;
  refused = 0; // a given state may span more than 16 bits
  projected = 0;
  constructor(readonly backend: Backend) {}
  instantiate(...args: Parameters<Backend["instantiate"]>): ReturnType<Backend["instantiate"]> {
    const instance = this.backend.instantiate(...args);
    if (!["LSTM", "GRU"].includes(args[0].kind)) return instance;
    if (instance === null) this.refused++;
    else this.ran++;
    return instance;
  }
  projector(
    ...args: Parameters<NonNullable<Backend["projector"]>>
  ): ReturnType<NonNullable<Backend["projector"]>> {
    const projector = this.backend.projector!(...args);
    if (projector !== null) this.projected++;
    return projector;
  }
}

/** The same LSTM with other weights, biases and parameters. */
function changed(
  lstm: QuantizedLSTM,
  q: (p: PerTensorQParams | null) => PerTensorQParams | null,
  weight: (w: LinearWeight) => LinearWeight,
  bias: (x: number) => number,
): QuantizedLSTM {
  const biases = (b: Float32Array | null) => b === null ? null : b.map(bias);
  const cells = lstm.cells.map((layer) =>
    layer.map((cell) => {
      const { inputs: _none, ...own } = cell.parts;
      const parts = Object.fromEntries(
        Object.entries(own).map((
          [name, p],
        ) => [name, p !== null && "length" in p ? p.map(q) : q(p)]),
      ) as unknown as typeof cell.parts;
      const { weightIh, weightHh, weightHr, biasIh, biasHh } = cell;
      return {
        weightIh: weight(weightIh),
        weightHh: weight(weightHh),
        weightHr: weightHr === null ? null : weight(weightHr),
        biasIh: biases(biasIh),
        biasHh: biases(biasHh),
        parts,
      };
    })
  );
  return new QuantizedLSTM({ ...lstm, input: q(lstm.input), cells });
}

/**
 * The same LSTM with scales that are powers of two, so that half-way cases are frequent, and biases
 * `size` times.
 */
export function tieHeavy(lstm: QuantizedLSTM, size: number): QuantizedLSTM {
  const round = (scale: number): number => 2 ** Math.round(Math.log2(scale));
  return changed(
    lstm,
    (p) => p === null ? null : perTensorAffine({ ...p, scale: round(p.scale) }),
    (w) => ({ ...w, scales: w.scales.map(round) }),
    (x) => x * size,
  );
}

/**
 * The same LSTM with weights whose zero points are 0, as observers of weights give them: bytes as
 * they are.
 */
export function symmetric(lstm: QuantizedLSTM): QuantizedLSTM {
  return changed(
    lstm,
    (p) => p,
    (w) => ({ ...w, zeroPoints: w.zeroPoints.map(() => 0) }),
    (x) => x,
  );
}
