// A user's program: type-checked against the installed package, and run from it.
import {
  compileModel,
  convert,
  getPreset,
  LSTM,
  prepare,
  type QConfig,
  quantize,
  type QuantizedModel,
  quantizeDynamic,
  type QuantizeResult,
  type Tensor,
  tensor,
} from "@splitgate/splitgate";
import { roundHalfEven } from "@splitgate/splitgate/backend";
import { sigmoidFloat32 } from "@splitgate/splitgate/kernels";
import { measureReport, type ReportData, reportHTML } from "@splitgate/splitgate/report";
import {
  type BasicSession,
  loadProgram,
  type Program,
  type SessionOptions,
} from "@splitgate/splitgate/runtime";
import { dynamicLSTM } from "@splitgate/splitgate/runtime/dynamic";
import { type SimdKernels, simdKernels } from "@splitgate/splitgate/simd";

const qconfig: QConfig = getPreset("accurate");
const observed = prepare(new LSTM({ inputSize: 2, hiddenSize: 3 }), qconfig, { splitGates: true });
const y: Tensor = observed.forward(tensor([0.1, -0.4, 0.9, 0.3], [2, 1, 2]));
const quantized: QuantizedModel = convert(observed);
const file: Uint8Array = compileModel(quantized);
const model: Program = loadProgram(file);
const kernels: SimdKernels = await simdKernels();
const options: SessionOptions = { maxSteps: 2, kernels };
const session: BasicSession = model.createSession(options);
const output = new Float32Array(y.data.length);
session.run(Float32Array.of(0.1, -0.4, 0.9, 0.3), output);
const dynamic = quantizeDynamic(new LSTM({ inputSize: 2, hiddenSize: 3 }));
loadProgram(compileModel(dynamic), { kinds: [dynamicLSTM] }).createSession().step(
  Float32Array.of(0.1, -0.4),
  output.subarray(0, 3),
);

const lstm = new LSTM({ inputSize: 2, hiddenSize: 3 });
const sequence = Float32Array.of(0.1, -0.4, 0.9, 0.3);
const made: QuantizeResult = await quantize(lstm, [sequence]);
const report: ReportData = await measureReport(lstm, made, [sequence], { speed: false });
if (!reportHTML(report).endsWith("</html>")) throw new Error("not a whole page");

// @ts-expect-error A session takes no text.
const wrong: () => void = () => session.step("text", output);
if (typeof wrong !== "function" || roundHalfEven(2.5) !== 2 || sigmoidFloat32(0) !== 0.5) {
  throw new Error("not the package that was meant");
}
