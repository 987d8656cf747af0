import { assertThrows } from "@std/assert";
import {
  convert,
  Linear,
  loadModel,
  LSTM,
  perTensorAffine,
  prepare,
  saveModel,
  tensor,
} from "@splitgate/splitgate";
import { fbgemmQConfig } from "../../src/qconfig/qconfig.ts";
import { QuantizedEmbedding } from "../../src/modules/embedding/quantized.ts";
import { QuantizedLinear } from "../../src/modules/linear/quantized.ts";
import { QuantizedLSTM } from "../../src/modules/lstm/quantized.ts";
import { QuantizedModel } from "../../src/authoring/model.ts";

function quantized<T>(float: Linear | LSTM): T {
  const observed = prepare(float, fbgemmQConfig);
  observed.forward(tensor([0.5, -1, 0.25, 2], [2, 1, 2]));
  return [...convert(observed).modules.values()][0] as T;
}

const input = perTensorAffine({ dtype: "quint8", scale: 2 ** -70, zeroPoint: 0 });

Deno.test("QuantizedLinear refuses what it cannot run, by name", () => {
  const linear = quantized<QuantizedLinear>(new Linear({ inFeatures: 2, outFeatures: 3 }));
  const { weight } = linear;
  const refused = (
    options: object,
    kind: typeof TypeError | typeof RangeError,
    message: string,
  ): void => {
    assertThrows(() => new QuantizedLinear({ ...linear, ...options }), kind, message);
  };
  const weightOf = (options: object) => ({ weight: { ...weight, ...options } });
  const scales = Float32Array.of(1, 1, 2 ** -60);
  refused(
    { weight: undefined },
    TypeError,
    "Linear.weight.data: expected an Int8Array, got undefined",
  );
  refused(
    weightOf({ data: new Int8Array(5) }),
    RangeError,
    "Linear.weight: expected [3, 2], got 5",
  );
  refused(
    weightOf({ scales: new Float32Array(0) }),
    RangeError,
    "Linear.weight.scales: expected as many as zeroPoints",
  );
  for (const scale of [0, -1, NaN, Infinity, 2 ** -128]) {
    refused(
      weightOf({ scales: Float32Array.of(1, scale, 1) }),
      RangeError,
      "Linear.weight.scales[1]: expected",
    );
  }
  refused(
    { input, ...weightOf({ scales }) },
    RangeError,
    "Linear.weight.scales[2]: expected a positive number",
  );
  refused(
    weightOf({ zeroPoints: Int32Array.of(0, 0, 128) }),
    RangeError,
    "Linear.weight.zeroPoints[2]: expected",
  );
  refused(
    { bias: new Float32Array(2) },
    RangeError,
    "Linear.weight's bias: expected 3 elements, got 2",
  );
  refused(
    { bias: Float32Array.of(0, NaN, 0) },
    RangeError,
    "Linear.weight's bias[1]: expected a finite number",
  );
  const tiny = new QuantizedLinear({ ...linear, ...weightOf({ scales }) });
  const x = Uint8Array.of(1, 2);
  assertThrows(
    () => tiny.forward({ data: x, shape: [1, 2], qparams: input }),
    RangeError,
    "weight.scales[2]",
  );
});

Deno.test("QuantizedLSTM refuses scales whose product has no finite reciprocal", () => {
  const lstm = quantized<QuantizedLSTM>(new LSTM({ inputSize: 2, hiddenSize: 3 }));
  const cell = lstm.cells[0]![0]!;
  const weightIh = { ...cell.weightIh, scales: cell.weightIh.scales.map(() => 2 ** -60) };
  const made = (options: object) => () => new QuantizedLSTM({ ...lstm, ...options });
  made({ cells: [[{ ...cell, weightIh }]] })();
  assertThrows(
    made({ input, cells: [[{ ...cell, weightIh }]] }),
    RangeError,
    "LSTM.cells[0][0].weightIh.scales[0]: expected a positive number that suits the input's scale",
  );
});

Deno.test("a file whose scales' product has no finite reciprocal is refused before it runs", () => {
  const linear = quantized<QuantizedLinear>(new Linear({ inFeatures: 2, outFeatures: 3 }));
  const weight = { ...linear.weight, scales: linear.weight.scales.map(() => 2 ** -60) };
  const file = saveModel(
    new QuantizedModel(new Map([["out", { ...linear, input, weight }]])),
  );
  assertThrows(() => loadModel(file), RangeError, "weight.scales[0]: expected");
});

Deno.test("QuantizedEmbedding refuses rows, scales and biases that do not fit", () => {
  const good = {
    weight: new Uint8Array(6),
    numEmbeddings: 2,
    embeddingDim: 3,
    scales: new Float32Array(2),
    biases: new Float32Array(2),
  };
  new QuantizedEmbedding(good);
  const made = (options: object) => () => new QuantizedEmbedding({ ...good, ...options });
  assertThrows(
    made({ weight: new Uint8Array(5) }),
    RangeError,
    "Embedding.weight: expected [2, 3], got 5",
  );
  assertThrows(
    made({ scales: new Float32Array(1) }),
    RangeError,
    "Embedding.scales: expected 2 scales and biases",
  );
  assertThrows(
    made({ biases: Float32Array.of(0, Infinity) }),
    RangeError,
    "Embedding[1]: expected a finite number",
  );
});

Deno.test("forward() of quantized modules refuses data that does not fit its shape or dtype", () => {
  const linear = quantized<QuantizedLinear>(new Linear({ inFeatures: 2, outFeatures: 3 }));
  const refused = (
    x: unknown,
    kind: typeof TypeError | typeof RangeError,
    message: string,
  ): void => {
    assertThrows(() => linear.forward(x as never), kind, message);
  };
  refused(
    { data: new Float32Array(3), shape: [2, 2] },
    RangeError,
    "x.data: expected 4 elements for its shape, got 3",
  );
  refused(
    { data: new Float32Array(0), shape: [0, 2] },
    RangeError,
    "x.shape: expected no empty dimension",
  );
  refused(
    { data: new Int8Array(2), shape: [1, 2], qparams: input },
    TypeError,
    "x.data: expected an array of quint8",
  );
  const options = {
    numEmbeddings: 2,
    embeddingDim: 1,
    scales: new Float32Array(2),
    biases: new Float32Array(2),
  };
  const embedding = new QuantizedEmbedding({ ...options, weight: new Uint8Array(2) });
  assertThrows(() => embedding.forward(undefined as never), TypeError, "x: expected a tensor");
  assertThrows(
    () => embedding.forward({ data: Int32Array.of(1), shape: [3] }),
    RangeError,
    "x.data: expected 3 elements",
  );
  assertThrows(
    () => embedding.forward({ data: Int32Array.of(2), shape: [1] }),
    RangeError,
    "expected a token id in 0..1",
  );
});

Deno.test("prepare() and an observed model refuse options and inputs that would have no effect", () => {
  const linear = new Linear({ inFeatures: 2, outFeatures: 3 });
  assertThrows(
    () => prepare(linear, fbgemmQConfig, { splitGate: true } as never),
    TypeError,
    "options: expected no",
  );
  assertThrows(
    () => prepare(linear, fbgemmQConfig).forward(undefined as never),
    TypeError,
    "x: expected a tensor",
  );
});
