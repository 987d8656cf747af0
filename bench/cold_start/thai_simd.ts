// The Thai segmenter on SIMD kernels: load, and the first run of text.
import { loadProgram } from "@splitgate/splitgate/runtime";
import { simdKernels } from "@splitgate/splitgate/simd";
import { answered, read } from "./host.ts";

/** Put in by the bench. */
declare const MODEL: string, TOKENS: number[], EXPECTED: number[];

const model = loadProgram(read(MODEL));
const tokens = Int32Array.from(TOKENS);
const output = new Float32Array(tokens.length * model.outputSize);
model.createSession({ maxSteps: tokens.length, kernels: await simdKernels() }).run(tokens, output);
if (EXPECTED.some((value, i) => value !== output[i])) throw new Error("a wrong answer");
answered();
