/**
 * Writes an LSTM problem's DynamicQuantizeLSTM: `write_onnx.ts SIZE FILE`. A program of its own, because
 * the packages that it needs are found from this folder only.
 *
 * @module
 */
import { createOnnxModel } from "./onnx_model.ts";
import { createProblem } from "./problem.ts";

const [size, file] = Deno.args;
await Deno.writeFile(file!, await createOnnxModel(createProblem("lstm", Number(size)), true));
