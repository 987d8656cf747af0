import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { perTensorAffine, tensor } from "@splitgate/splitgate";
import { dequantizePerTensor, quantizePerTensor } from "../../../kernels/numeric/quantize.ts";
import { batchNormFloat32, batchNormInt8 } from "../../../kernels/ops/normalize.ts";
import { QuantizedModel } from "../../../src/authoring/model.ts";
import { QuantizedBatchNorm1d } from "../../../src/modules/batch_norm/quantized.ts";
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

function moduleOf(c: NormCase, ports: Ports = portsOf(c)): QuantizedBatchNorm1d {
  return new QuantizedBatchNorm1d({
    weight: c.affine ? vectorOf(c, 1, -2, 2) : null,
    bias: c.affine ? vectorOf(c, 2) : null,
    runningMean: vectorOf(c, 3),
    runningVar: vectorOf(c, 4, 0, 3),
    eps: c.eps,
    ...ports,
  });
}

/** The kernels alone, over whole arrays. */
function kernelOf(norm: QuantizedBatchNorm1d): NormKernel {
  const { input, output } = norm;
  return (x) => {
    if (input !== null && output !== null) {
      const out = newQArray(output.dtype, x.length);
      batchNormInt8({ data: x as QArray, qparams: input }, norm, { data: out, qparams: output });
      return out;
    }
    const y = Float32Array.from(x);
    if (input !== null) dequantizePerTensor(x as QArray, y, input.scale, input.zeroPoint);
    batchNormFloat32(y, norm, y);
    if (output === null) return y;
    const out = newQArray(output.dtype, y.length);
    quantizePerTensor(y, out, output);
    return out;
  };
}

Deno.test("BatchNorm1d gives its kernel's values in every form: sessions, programs, files, chunks, lengths", () => {
  const pairs = new Set<string>();
  fc.assert(
    fc.property(normCases, (c) => {
      const module = moduleOf(c);
      pairs.add(`${module.input?.dtype} ${module.output?.dtype}`);
      assertForms(c, module, kernelOf(module));
    }),
    { numRuns: 300 },
  );
  assertEquals(pairs.size, 16);
});

Deno.test("BatchNorm1d behind a batchFirst LSTM gives the same as behind one that is not", () => {
  fc.assert(
    fc.property(normCases, (c) => {
      assertBatchFirst(c.seed, (ports) => moduleOf({ ...c, width: 5 }, ports));
    }),
    { numRuns: 20 },
  );
});

Deno.test("BatchNorm1d is within one step of its reference graph, and equal to it where it gives float32", () => {
  fc.assert(
    fc.property(
      normCases.filter(({ input, output }) => input !== 16 && output !== 16),
      (c) => {
        assert(distanceFromReference(c, moduleOf(c)) <= 1);
      },
    ),
  );
});

const plain = {
  weight: null,
  bias: null,
  runningMean: Float32Array.of(0, 0),
  runningVar: Float32Array.of(1, 1),
  eps: 1e-5,
  input: null,
  output: null,
};

Deno.test("new QuantizedBatchNorm1d() refuses what has no variance, or factors that float32 does not hold", () => {
  // deno-lint-ignore no-explicit-any -- bad on purpose
  const bad = (options: any) => () => new QuantizedBatchNorm1d({ ...plain, ...options });
  const variance = "batch-norm without variance";
  assertThrows(bad({ runningVar: undefined }), TypeError, variance);
  assertThrows(bad({ runningVar: null }), TypeError, variance);
  assertThrows(bad({ runningVar: new Float32Array(0) }), RangeError, variance);
  assertThrows(bad({ runningVar: Float32Array.of(1) }), RangeError, variance);
  assertThrows(bad({ runningVar: Float32Array.of(1, -1) }), RangeError, "running_var[1]");
  assertThrows(bad({ runningVar: Float32Array.of(1, 0), eps: 0 }), RangeError, variance);
  assertThrows(bad({ runningVar: Float32Array.of(1, NaN) }), RangeError, "running_var[1]");
  assertThrows(bad({ runningMean: [0, 0] }), TypeError, "running_mean");
  assertThrows(bad({ runningMean: new Float32Array(0) }), RangeError, "running_mean");
  assertThrows(bad({ weight: Float32Array.of(1) }), RangeError, "weight: expected 2 elements");
  assertThrows(bad({ eps: -1 }), RangeError, "eps");
  assertThrows(bad({ eps: "0" }), TypeError, "eps");
  assertThrows(
    bad({ weight: Float32Array.of(1, 1e38), runningVar: Float32Array.of(1, 1e-12), eps: 0 }),
    RangeError,
    "BatchNorm1d: feature 1",
  );
  const wide = perTensorAffine({ dtype: "quint8", scale: 1e30, zeroPoint: 0 });
  const fine = perTensorAffine({ dtype: "quint8", scale: 1e-30, zeroPoint: 0 });
  assertThrows(bad({ input: wide, output: fine }), RangeError, "feature 0");
  assertThrows(bad({ input: { ...wide, scale: 3e38 } }), RangeError, "BatchNorm1d.input");
});

Deno.test("QuantizedBatchNorm1d refuses inputs that do not fit, and float32 results that overflow", () => {
  const norm = new QuantizedBatchNorm1d({ ...plain, weight: Float32Array.of(3, 3) });
  assertThrows(() => norm.forward(tensor([1, 2, 3], [3])), RangeError, "x.shape");
  assertThrows(() => norm.forward(tensor([1, 3e38], [2])), RangeError, "y[1]");
  const model = new QuantizedModel(new Map([["norm", norm]]));
  const session = model.createSession({ batch: 2 });
  const y = new Float32Array(4);
  assertThrows(() => session.step(Float32Array.of(1, 2, 1, 3e38), y), RangeError, "output");
  const data = Float32Array.of(1, 3e38);
  const graph = convertToReference(model);
  assertThrows(() => graph.run({ data, shape: [1, 2] }), RangeError, "output");
  // What lies beyond a row's length is no result.
  session.run(Float32Array.of(1, 2, 1, 3e38), y, [1, 0]);
  assertEquals([...y.subarray(2)], [0, 0]);
});

Deno.test("loadModel() names what is wrong with a BatchNorm1d in a file", () => {
  const norm = new QuantizedBatchNorm1d({ ...plain, weight: Float32Array.of(3, 3) });
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
  const variance = "batch-norm without variance";
  assertThrows(edited("norm.running_var", null), RangeError, variance);
  assertThrows(edited("norm.running_var", new Float32Array(0)), RangeError, "norm.running_var");
  assertThrows(edited("norm.running_var", Float32Array.of(1)), RangeError, "norm.running_var");
  assertThrows(edited("norm.running_var", Float32Array.of(1, -1)), RangeError, variance);
  assertThrows(edited("norm.running_mean", null), RangeError, "norm.running_mean");
  assertThrows(edited("norm.weight", Float32Array.of(1)), RangeError, "norm.weight");
  assertThrows(edited("norm.count", Float32Array.of(1)), RangeError, "norm.count");
  assertThrows(edited("none", null, '"eps":0.00001', '"eps":-1'), RangeError, "eps");
  assertThrows(edited("none", null, '"eps":0.00001,', ""), TypeError, "eps");
  assertThrows(edited("none", null, '"input":0', '"input":7'), RangeError, "norm.input");
  assertThrows(edited("none", null, '"input":0', '"input":0,"momentum":0'), RangeError, "momentum");
});
