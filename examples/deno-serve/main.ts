// POST a JSON array of readings, [[x, y, z], ...] in g at 50 a second: what is the motion at its end?
import { loadProgram } from "@splitgate/splitgate/runtime";
import { simdKernels, SimdUnavailableError } from "@splitgate/splitgate/simd";

const CLASSES = ["standing", "walking", "shaking"];

async function load() {
  try {
    return loadProgram(await Deno.readFile(new URL("motion.bin", import.meta.url)));
  } catch (error) {
    console.error(`motion.bin: ${(error as Error).message}; make it by npm run build`);
    Deno.exit(1);
  }
}

const model = await load();
// Without SIMD the portable kernels give the same bytes.
const kernels = await simdKernels().catch((error) => {
  if (error instanceof SimdUnavailableError) return undefined;
  throw error;
});

Deno.serve({ port: Number(Deno.args[0] ?? 8000) }, async (request) => {
  if (request.method !== "POST") return new Response("POST [[x, y, z], ...]\n", { status: 405 });
  try {
    const readings: number[][] = await request.json();
    const input = Float32Array.from(readings.flat());
    const output = new Float32Array(readings.length * CLASSES.length);
    // A session a request: it costs some KB and microseconds, and requests cannot disturb each other.
    model.createSession({ kernels, maxSteps: 64 }).run(input, output);
    const scores = [...output.subarray(-CLASSES.length)];
    return Response.json({ motion: CLASSES[scores.indexOf(Math.max(...scores))] });
  } catch (error) {
    return Response.json({ error: (error as Error).message }, { status: 400 });
  }
});
