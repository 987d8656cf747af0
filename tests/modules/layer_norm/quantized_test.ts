import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { perTensorAffine, tensor } from "@splitgate/splitgate";
import { dequantizePerTensor, quantizePerTensor } from "../../../kernels/numeric/quantize.ts";
import { layerNormFloat32, layerNormInt8 } from "../../../kernels/ops/normalize.ts";
import { QuantizedModel } from "../../../src/authoring/model.ts";
import { QuantizedLayerNorm } from "../../../src/modules/layer_norm/quantized.ts";
import { convertToReference } from "../../../src/reference/reference.ts";
import { newQArray, type QArray } from "../../../src/core/dtype.ts";
import { loadModel } from "../../../src/io/model_file.ts";
import { saveModel } from "../../../src/io/model_write.ts";
import { parseSafetensors } from "../../../src/io/safetensors.ts";
import { writeSafetensors } from "../../../src/io/safetensors_write.ts";
import {
  assertBatchFirst,
  assertForms,
  distanceFromReference,
  type NormCase,
  normCases,
  type NormKernel,
  type Ports,
  portsOf,
  vectorOf,
} from "../norm_forms.ts";

function moduleOf(c: NormCase, ports: Ports = portsOf(c)): QuantizedLayerNorm {
  return new QuantizedLayerNorm({
    normalizedShape: c.width,
    weight: c.affine ? vectorOf(c, 1, -2, 2) : null,
    // A bias alone too, which a file can hold.
    bias: c.affine || c.seed % 3 === 0 ? vectorOf(c, 2) : null,
    eps: c.eps,
    ...ports,
  });
}

/** Whether torch's operator of integers runs it. */
function narrow({ input, output }: Ports): boolean {
  return [input, output].every((q) => q !== null && q.dtype !== "qint32");
}

/** The kernels alone, over whole arrays. */
function kernelOf(norm: QuantizedLayerNorm): NormKernel {
  const { input, output, normalizedShape } = norm;
  return (x) => {
    if (narrow(norm)) {
      const out = newQArray(output!.dtype, x.length);
      const given = { data: x as QArray, qparams: input! };
      layerNormInt8(given, normalizedShape, norm, { data: out, qparams: output! });
      return out;
    }
    const y = Float32Array.from(x);
    if (input !== null) dequantizePerTensor(x as QArray, y, input.scale, input.zeroPoint);
    layerNormFloat32(y, normalizedShape, norm, y);
    if (output === null) return y;
    const out = newQArray(output.dtype, y.length);
    quantizePerTensor(y, out, output);
    return out;
  };
}

Deno.test("LayerNorm gives its kernel's values in every form: sessions, programs, files, chunks, lengths", () => {
  const pairs = new Set<string>();
  let integers = 0;
  fc.assert(
    fc.property(normCases, (c) => {
      const module = moduleOf(c);
      pairs.add(`${module.input?.dtype} ${module.output?.dtype}`);
      if (narrow(module)) integers++;
      assertForms(c, module, kernelOf(module));
    }),
    { numRuns: 300 },
  );
  assertEquals(pairs.size, 16);
  assert(integers > 20);
});

Deno.test("LayerNorm behind a batchFirst LSTM gives the same as behind one that is not", () => {
  fc.assert(
    fc.property(normCases, (c) => {
      assertBatchFirst(c.seed, (ports) => moduleOf({ ...c, width: 5 }, ports));
    }),
    { numRuns: 20 },
  );
});

Deno.test("LayerNorm equals its reference graph where it goes through float32, and is near to it in integers", () => {
  let near = 0;
  fc.assert(
    fc.property(normCases, (c) => {
      const module = moduleOf(c);
      const distance = distanceFromReference(c, module);
      if (!narrow(module)) return assertEquals(distance, 0);
      near++;
      // torch's variance is a difference of float32 squares.
      assert(distance <= 1, `${distance}`);
    }),
    { numRuns: 300 },
  );
  assert(near > 50);
});

Deno.test("LayerNorm of 16 bits keeps the variance of large integers that lie close together", () => {
  const q = { dtype: "qint32", scale: 2 ** -12, quantMin: 0, quantMax: 65535 } as const;
  const norm = new QuantizedLayerNorm({
    normalizedShape: 4,
    weight: null,
    bias: null,
    eps: 1e-9,
    input: perTensorAffine({ ...q, zeroPoint: 0 }),
    output: perTensorAffine({ ...q, zeroPoint: 32768 }),
  });
  const data = Int32Array.of(60000, 60001, 60002, 60003);
  const { data: y } = norm.forward({ data, shape: [1, 4], qparams: norm.input! });
  const exact = [-1.5, -0.5, 0.5, 1.5].map((x) => x / Math.sqrt(1.25 + 1e-9 * 2 ** 24));
  assertEquals([...y], exact.map((x) => Math.round(x * 4096) + 32768));
});

const plain = {
  normalizedShape: 2,
  weight: null,
  bias: null,
  eps: 1e-5,
  input: null,
  output: null,
};

Deno.test("new QuantizedLayerNorm() refuses what does not fit", () => {
  // deno-lint-ignore no-explicit-any -- bad on purpose
  const bad = (options: any) => () => new QuantizedLayerNorm({ ...plain, ...options });
  assertThrows(bad({ normalizedShape: 0 }), RangeError, "normalizedShape");
  assertThrows(bad({ normalizedShape: undefined }), TypeError, "normalizedShape");
  assertThrows(bad({ weight: [1, 1] }), TypeError, "weight");
  assertThrows(bad({ weight: Float32Array.of(1) }), RangeError, "weight: expected 2 elements");
  assertThrows(bad({ bias: Float32Array.of(1, Infinity) }), RangeError, "bias[1]");
  assertThrows(bad({ eps: 0 }), RangeError, "eps: expected a finite number, above 0, got 0");
  assertThrows(bad({ eps: undefined }), TypeError, "eps");
  const q = perTensorAffine({ dtype: "quint8", scale: 1, zeroPoint: 0 });
  assertThrows(bad({ input: q, output: q, eps: 1e-80 }), RangeError, "suits the input's scale");
  assertThrows(bad({ input: { ...q, scale: 3e38 } }), RangeError, "LayerNorm.input");
});

Deno.test("QuantizedLayerNorm refuses inputs that do not fit, and float32 results that overflow", () => {
  const norm = new QuantizedLayerNorm({ ...plain, weight: Float32Array.of(1, 3e38), eps: 1e-12 });
  assertThrows(() => norm.forward(tensor([1, 2, 3], [3])), RangeError, "x.shape");
  const bias = Float32Array.of(0, 3e38);
  const large = new QuantizedLayerNorm({ ...norm, bias });
  assertThrows(() => large.forward(tensor([1, 5], [2])), RangeError, "y[1]");
  const model = new QuantizedModel(new Map([["norm", large]]));
  const session = model.createSession({ batch: 2 });
  const y = new Float32Array(4);
  assertThrows(() => session.step(Float32Array.of(2, 1, 1, 5), y), RangeError, "output");
  const data = Float32Array.of(1, 5);
  const graph = convertToReference(model);
  assertThrows(() => graph.run({ data, shape: [1, 2] }), RangeError, "output");
  // What lies beyond a row's length is no result.
  session.run(Float32Array.of(2, 1, 1, 5), y, [1, 0]);
  assertEquals([...y.subarray(2)], [0, 0]);
});

Deno.test("loadModel() names what is wrong with a LayerNorm in a file", () => {
  const norm = new QuantizedLayerNorm({ ...plain, weight: Float32Array.of(3, 3) });
  const { tensors, metadata } = parseSafetensors(
    saveModel(new QuantizedModel(new Map([["norm", norm]]))),
  );
  const edited = (name: string, data: Float32Array | null, from = "", to = "") => () => {
    const all = new Map(tensors);
    all.delete(name);
    if (data !== null) all.set(name, { dtype: "F32", data, shape: [data.length] });
    // A file without a checksum, as somebody else may have put it together.
    const text = metadata.splitgate!.replace(/"crc32":"[^"]*",/, "");
    assert(text.includes(from));
    return loadModel(writeSafetensors(all, { splitgate: text.replace(from, to) }));
  };
  assertEquals(edited("norm.weight", Float32Array.of(3, 3))().inputSize, 2);
  assertThrows(edited("norm.weight", Float32Array.of(1)), RangeError, "norm.weight");
  assertThrows(edited("norm.gamma", Float32Array.of(1)), RangeError, "norm.gamma");
  const size = '"normalizedShape":2';
  assertThrows(edited("none", null, size, '"normalizedShape":3'), RangeError, "norm.weight");
  assertThrows(
    edited("norm.weight", null, size, '"normalizedShape":0.5'),
    RangeError,
    "normalized",
  );
  assertThrows(edited("norm.weight", null, `${size},`, ""), TypeError, "normalizedShape");
  assertThrows(edited("none", null, '"eps":0.00001', '"eps":0'), RangeError, "eps");
  assertThrows(edited("none", null, '"output":0', '"output":7'), RangeError, "norm.output");
  assertThrows(edited("none", null, size, `${size},"bias":true`), RangeError, "norm.bias");
});
