// A stream of readings, step by step, that survives the end of its process: the state is saved every second.
//
//     node main.mjs SECONDS [STATE]
import { readFile, rename, writeFile } from "node:fs/promises";
import { loadProgram } from "@splitgate/splitgate/runtime/state";

const CLASSES = ["standing", "walking", "shaking"];
const RATE = 50;
const [seconds = "3", file = "stream.state"] = process.argv.slice(2);

const session = loadProgram(await readFile(new URL("motion.bin", import.meta.url))).createSession();
let step = 0;
try {
  const saved = await readFile(file);
  session.restore(saved.subarray(4));
  step = saved.readUInt32LE(0);
  console.log(`going on from ${step / RATE} s`);
} catch (error) {
  // No file yet, or the state of another model: the session is as it was, at its beginning.
  if (error.code !== "ENOENT") console.warn(`${file}: ${error.message}; beginning anew`);
}

async function save() {
  const head = Buffer.alloc(4);
  head.writeUInt32LE(step);
  // Beside, then renamed: whoever reads it finds the old one or the new one, whole.
  await writeFile(`${file}.part`, Buffer.concat([head, session.state()]));
  await rename(`${file}.part`, file);
}

/** A reading of a made-up sensor: shaken for the third second of every three. */
function read(at) {
  const t = at / RATE;
  return [t % 3 < 2 ? 0 : 1.4 * Math.sin(2 * Math.PI * 5 * t), 0, 1];
}

const input = new Float32Array(3), output = new Float32Array(CLASSES.length);
for (const end = step + RATE * Number(seconds); step < end;) {
  input.set(read(step++));
  session.step(input, output);
  if (step % RATE === 0) {
    console.log(`${step / RATE} s: ${CLASSES[output.indexOf(Math.max(...output))]}`);
    await save();
  }
}
