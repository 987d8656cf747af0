import { loadProgram } from "@splitgate/splitgate/runtime";
import { simdKernels, SimdUnavailableError } from "@splitgate/splitgate/simd";
// Vite puts the file beside the page and gives its address.
import program from "../motion.bin?url";

const CLASSES = ["standing", "walking", "shaking"];
const answer = document.querySelector("#answer")!;

try {
  const model = loadProgram(await (await fetch(program)).arrayBuffer());
  const kernels = await simdKernels().catch((error) => {
    if (error instanceof SimdUnavailableError) return undefined;
    throw error;
  });
  // Two seconds of shaking, in one call.
  const input = new Float32Array(300);
  for (let i = 0; i < 100; i++) input.set([1.4 * Math.sin(i / 50 * 2 * Math.PI * 5), 0, 1], 3 * i);
  const output = new Float32Array(100 * CLASSES.length);
  model.createSession({ kernels, maxSteps: 100 }).run(input, output);
  const scores = [...output.subarray(-CLASSES.length)];
  answer.textContent = CLASSES[scores.indexOf(Math.max(...scores))]!;
} catch (error) {
  answer.textContent = (error as Error).message;
}
