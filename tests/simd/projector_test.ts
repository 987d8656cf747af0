import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { rowOrder } from "../../kernels/packed/lower.ts";
import { lowerProjector, reluFloor } from "../../src/modules/lower_projector.ts";
import { makeProjector, type Projector } from "../../src/runtime/projector.ts";
import { type Bits, qparamsOf } from "../../src/testing/quantized_lstms.ts";
import { generator } from "../../src/testing/random.ts";
import { Arena, type SimdExports } from "../../src/simd/memory.ts";
import { floatProjector } from "../../src/simd/projector.ts";
import { backends } from "./backends.ts";

const LENGTHS = [1, 3, 4, 7, 8, 9, 15, 16, 17, 33, 64, 200];
const COUNTS = [1, 2, 4, 5, 9, 31, 32, 33, 65];

for (const [name, kernels] of backends) {
  Deno.test(`Projectors of SIMD kernels (${name}) give what the portable ones give, to the bit`, () => {
    let ran = 0;
    fc.assert(
      fc.property(
        fc.nat(),
        fc.constantFrom(...LENGTHS),
        fc.constantFrom(...COUNTS),
        fc.constantFrom<Bits>(7, 8, 14, 16),
        fc.constantFrom<Bits>(0, 7, 8, 16),
        fc.record({
          qnnpack: fc.boolean(),
          perChannel: fc.boolean(),
          symmetric: fc.boolean(),
          ties: fc.boolean(),
          relu: fc.boolean(),
        }),
        (seed, length, count, inputBits, outputBits, is) => {
          const random = generator(seed);
          const power = (scale: number) => is.ties ? 2 ** Math.round(Math.log2(scale)) : scale;
          const rounded = (bits: Bits, range: number) => {
            const q = qparamsOf(bits, range, random);
            return q && { ...q, scale: power(q.scale) };
          };
          const channels = is.perChannel ? count : 1;
          const scales = Float32Array.from(
            { length: channels },
            () => power(random(0.5, 1.5) / 127),
          );
          const weight = {
            data: Int8Array.from({ length: count * length }, () => random(-128, 128)),
            outFeatures: count,
            inFeatures: length,
            perChannel: is.perChannel,
            scales,
            zeroPoints: Int32Array.from(scales, () => is.symmetric ? 0 : random(-9, 10)),
          };
          const bias = Float32Array.from({ length: count }, () => random(-2, 2));
          const input = rounded(inputBits, 2)!;
          const output = rounded(outputBits, Math.sqrt(length));
          const to = output && is.relu ? reluFloor(output) : output;
          const engine = is.qnnpack ? "qnnpack" : "fbgemm";
          const order = rowOrder(count);
          const program = lowerProjector({ engine, weight, bias, order }, input, [to]);
          const simd = kernels.projector(program, input);
          if (simd === null) return;
          ran++;
          const rows = 3;
          const x = Float64Array.from({ length: rows * length + 1 }, () => {
            const pick = random(0, 1);
            const q = pick < 0.1
              ? input.quantMin
              : pick < 0.2
              ? input.quantMax
              : Math.round(random(input.quantMin, input.quantMax));
            return q - input.zeroPoint;
          });
          const run = (projector: Projector) => {
            const out = new Float64Array(rows * count + 2).fill(0.5);
            for (let r = 0; r < rows; r++) projector(x, 1 + r * length, out, 1 + r * count);
            // As bytes: 0 is not -0.
            return new Uint8Array(out.buffer);
          };
          assertEquals(run(simd), run(makeProjector(program, false)));
        },
      ),
      { numRuns: 400 },
    );
    assert(ran > 380, `${ran}`);
  });
}

Deno.test("Projectors of SIMD kernels keep apart, also where they need more than one memory", () => {
  const [, kernels] = backends[1]!;
  const random = generator(7);
  const input = qparamsOf(8, 2, random)!;
  const made = Array.from({ length: 40 }, () => {
    const weight = {
      data: Int8Array.from({ length: 256 * 256 }, () => random(-128, 128)),
      outFeatures: 256,
      inFeatures: 256,
      perChannel: false,
      scales: Float32Array.of(0.01),
      zeroPoints: Int32Array.of(0),
    };
    const map = { engine: "fbgemm", weight, bias: null, order: rowOrder(256) } as const;
    const program = lowerProjector(map, input, [null]);
    return { program, simd: kernels.projector(program, input)! };
  });
  const x = Float64Array.from({ length: 256 }, () => Math.round(random(0, 255)) - input.zeroPoint);
  for (const { program, simd } of made) {
    const [out, expected] = [new Float64Array(256), new Float64Array(256)];
    simd(x, 0, out, 0);
    makeProjector(program, false)(x, 0, expected, 0);
    assertEquals(out, expected);
  }
});

for (const name of ["plain", "relaxed"]) {
  Deno.test(`Float32 rows are projected by SIMD kernels (${name}) as by the portable ones, to the bit`, async () => {
    const file = new URL(`../../kernels/simd/${name}.wasm`, import.meta.url);
    const module = await WebAssembly.compile(await Deno.readFile(file));
    const kernel = new WebAssembly.Instance(module).exports as unknown as SimdExports;
    const arena = new Arena(kernel.memory, false);
    let ran = 0;
    let saturated = 0;
    fc.assert(
      fc.property(
        fc.nat(),
        fc.constantFrom(...LENGTHS),
        fc.constantFrom(...COUNTS),
        fc.record({ bias: fc.boolean(), centered: fc.boolean(), quantized: fc.boolean() }),
        fc.constantFrom(1, 2 ** 60, 2 ** 127),
        (seed, length, count, is, size) => {
          const random = generator(seed);
          const weight = {
            data: Int8Array.from({ length: count * length }, () => random(-128, 128)),
            outFeatures: count,
            inFeatures: length,
            perChannel: true,
            scales: Float32Array.from({ length: count }, () => random(0.5, 1.5) / 127),
            zeroPoints: new Int32Array(count).fill(is.centered ? 0 : 100),
          };
          const bias = is.bias ? Float32Array.from({ length: count }, () => random(-2, 2)) : null;
          const map = { engine: "fbgemm", weight, bias, order: rowOrder(count) } as const;
          const to = is.quantized ? qparamsOf(8, 4, random) : null;
          const program = lowerProjector(map, null, [to]);
          const simd = floatProjector(kernel, arena, program);
          assertEquals(simd !== null, !is.quantized && program.rows.data instanceof Int8Array);
          if (simd === null) return;
          ran++;
          const x = Float64Array.from(
            { length: length + 1 },
            () => Math.fround(random(-1.9, 1.9) * size),
          );
          const run = (projector: Projector) => {
            const out = new Float32Array(count + 2).fill(0.5);
            projector(x, 1, out, 1);
            return new Uint32Array(out.buffer);
          };
          const expected = run(makeProjector(program));
          assertEquals(run(simd), expected);
          if (expected.includes(0x7f7fffff)) saturated++;
        },
      ),
      { numRuns: 300 },
    );
    assert(ran > 50 && saturated > 5, `${ran}, ${saturated}`);
  });
}
