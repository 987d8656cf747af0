// What the tests of normalizations share: a model of one, in every form, against its kernel.
import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { quantizePerTensor } from "../../kernels/numeric/quantize.ts";
import { QuantizedModel, type QuantizedModule } from "../../src/authoring/model.ts";
import { newQArray, type QArray } from "../../src/core/dtype.ts";
import type { PerTensorQParams } from "../../src/core/qparams.ts";
import { loadModel } from "../../src/io/model_file.ts";
import { saveModel } from "../../src/io/model_write.ts";
import type { ForwardTensor } from "../../src/modules/kind.ts";
import { convertToReference } from "../../src/reference/reference.ts";
import type { OutputArray } from "../../src/runtime/basic_session.ts";
import { type Bits, lstmOf, qparamsOf } from "../../src/testing/quantized_lstms.ts";
import { floatsOf, generator } from "../../src/testing/random.ts";
import { plainCase } from "../../src/testing/quantized_models.ts";
import { bytesOf, inputFor, outputFor, swapped } from "../../src/testing/values.ts";
import { formsOf } from "../runtime/forms.ts";

/** What a random model of one normalization is described by. */
export interface NormCase {
  readonly seed: number;
  readonly width: number;
  /** Whether there are weight and bias. */
  readonly affine: boolean;
  readonly eps: number;
  /** Bits of input and output; 0 is float32. */
  readonly input: Bits;
  readonly output: Bits;
  readonly batch: number;
  readonly steps: number;
  readonly maxSteps: number;
  /** Whether rows have lengths of their own. */
  readonly ragged: boolean;
}

const bits = fc.constantFrom<Bits>(0, 7, 8, 8, 16);

/** Cases of all bits. */
export const normCases: fc.Arbitrary<NormCase> = fc.record({
  seed: fc.nat(),
  width: fc.constantFrom(1, 2, 3, 7, 16, 33),
  affine: fc.boolean(),
  eps: fc.constantFrom(1e-5, 1e-3, 0.1),
  input: bits,
  output: bits,
  batch: fc.constantFrom(1, 2, 3),
  steps: fc.constantFrom(1, 2, 5, 9),
  maxSteps: fc.constantFrom(1, 3, 16),
  ragged: fc.boolean(),
});

/** Parameters of a module's input and output; null is float32. */
export interface Ports {
  readonly input: PerTensorQParams | null;
  readonly output: PerTensorQParams | null;
}

/** The parameters of a case. */
export function portsOf({ seed, input, output }: NormCase): Ports {
  const random = generator(seed + 1);
  return { input: qparamsOf(input, 3, random), output: qparamsOf(output, 4, random) };
}

/** A vector of a case: values in min..max. */
export function vectorOf({ seed, width }: NormCase, key: number, min = -1, max = 1): Float32Array {
  const random = generator(seed + 100 * key);
  return Float32Array.from({ length: width }, () => random(min, max));
}

/** Rows of integers or floats, as the module takes them, to what it gives. */
export type NormKernel = (x: QArray | Float32Array) => OutputArray;

/** A quantized module that runs by itself. */
export type ForwardModule = QuantizedModule & Ports & { forward(x: ForwardTensor): ForwardTensor };

/** Requires that every session, and the module by itself, gives what the kernel gives. */
export function assertForms(c: NormCase, module: ForwardModule, kernel: NormKernel): void {
  const { seed, width, batch, steps, maxSteps, ragged } = c;
  const { input, output } = module;
  const model = new QuantizedModel(new Map([["norm", module]]));
  const rows = steps * batch;
  const x = inputFor(model, seed, rows, { integers: true }) as QArray | Float32Array;
  const shape = [steps, batch, width];
  const given =
    (input === null ? { data: x, shape } : { data: x, shape, qparams: input }) as ForwardTensor;
  const whole = kernel(x);
  assertEquals(bytesOf(module.forward(given).data), bytesOf(whole), "forward");

  const random = generator(seed + 2);
  const lengths = ragged
    ? Array.from({ length: batch }, () => Math.floor(random(0, steps + 1)))
    : undefined;
  const expected = whole.slice() as OutputArray;
  for (let r = 0; r < rows; r++) {
    if (lengths === undefined || Math.floor(r / batch) < lengths[r % batch]!) continue;
    expected.fill(output?.zeroPoint ?? 0, r * width, (r + 1) * width);
  }
  const bytes = saveModel(model);
  const loaded = loadModel(bytes);
  assertEquals(saveModel(loaded), bytes);
  assertEquals(loaded.fingerprint, model.fingerprint);
  for (const from of [model, loaded]) {
    for (const [name, form, options] of formsOf(from)) {
      const session = form.createSession({ ...options, batch, maxSteps });
      const y = outputFor(model, rows, true);
      session.run(x, y, lengths);
      assertEquals(bytesOf(y), bytesOf(expected), name);
      if (lengths !== undefined) continue;
      for (let t = 0; t < steps; t++) {
        const part = batch * width;
        const step = outputFor(model, batch, true);
        session.step(x.subarray(t * part, (t + 1) * part) as Float32Array, step);
        assertEquals(bytesOf(step), bytesOf(whole.slice(t * part, (t + 1) * part)), name);
      }
    }
  }
  if (input === null) return;
  // Real numbers are quantized first.
  const reals = floatsOf(seed, shape, 4).data;
  const quantized = newQArray(input.dtype, reals.length);
  quantizePerTensor(reals, quantized, input);
  const y = outputFor(model, rows, true);
  model.createSession({ batch, maxSteps }).run(reals, y);
  assertEquals(bytesOf(y), bytesOf(kernel(quantized)), "reals");
}

/**
 * Requires the same output of a normalization of 5 values after a batchFirst LSTM as after one that
 * is not.
 */
export function assertBatchFirst(seed: number, moduleOf: (ports: Ports) => QuantizedModule): void {
  const batch = 3;
  const steps = 4;
  const models = [false, true].map((batchFirst) => {
    const lstm = lstmOf({ ...plainCase, seed, batchFirst });
    const output = qparamsOf(8, 3, generator(seed));
    return new QuantizedModel(
      new Map<string, QuantizedModule>([
        ["lstm", lstm],
        ["norm", moduleOf({ input: lstm.output, output })],
      ]),
    );
  });
  const x = inputFor(models[0]!, seed, steps * batch);
  const [first, second] = models.map((model) => {
    const y = outputFor(model, steps * batch, true);
    const input = model.batchFirst ? swapped(x, steps, batch) : x;
    model.createSession({ batch, maxSteps: 2 }).run(input, y, [4, 1, 2]);
    return model.batchFirst ? swapped(y, batch, steps) : y;
  });
  assertEquals(second, first);
}

/**
 * The largest distance of a session's integers from the reference graph's, in steps; 0 where the
 * output is float32 and has the same bits.
 */
export function distanceFromReference(c: NormCase, module: ForwardModule): number {
  const model = new QuantizedModel(new Map([["norm", module]]));
  const { seed, width, batch, steps } = c;
  const { data } = floatsOf(seed, [steps * batch * width], 3);
  const y = outputFor(model, steps * batch, true);
  model.createSession({ batch }).run(data, y);
  const { output, quantized } = convertToReference(model).run({
    data,
    shape: [steps, batch, width],
  });
  if (quantized === null) {
    assertEquals(bytesOf(y), bytesOf(output.data));
    return 0;
  }
  return Math.max(...Array.from(quantized.data, (q, i) => Math.abs(q - y[i]!)));
}
