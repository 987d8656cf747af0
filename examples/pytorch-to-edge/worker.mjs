// POST a JSON array of readings, [[x, y, z], ...] in g at 50 a second: what is the motion at its end?
import { loadProgram } from "@splitgate/splitgate/runtime";
import program from "./model.bin";

const CLASSES = ["standing", "walking", "shaking"];

// Loaded once, for all requests. A worker that throws while it starts answers nothing at all, so what is wrong with
// the file is kept and told.
let model, problem;
try {
  model = loadProgram(program);
} catch (error) {
  problem = `model.bin: ${error.message}; make it by npm run build`;
}

export default {
  async fetch(request) {
    if (problem !== undefined) return Response.json({ error: problem }, { status: 500 });
    if (request.method !== "POST") return new Response("POST [[x, y, z], ...]\n", { status: 405 });
    try {
      const readings = await request.json();
      const output = new Float32Array(readings.length * CLASSES.length);
      model.createSession({ maxSteps: 64 }).run(Float32Array.from(readings.flat()), output);
      const scores = [...output.subarray(-CLASSES.length)];
      return Response.json({ motion: CLASSES[scores.indexOf(Math.max(...scores))] });
    } catch (error) {
      return Response.json({ error: error.message }, { status: 400 });
    }
  },
};
