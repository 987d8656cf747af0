/**
 * Quantizes two layers of 128 on 500 sequences of 100 steps by the command, tests and reports them,
 * and prints what that took: seconds of processor time, and the largest resident megabytes.
 *
 *     deno run -A quantize_work.ts FOLDER
 */
import process from "node:process";
import { main } from "@splitgate/splitgate/cli";
import { Generator, Linear, LSTM, saveFloatModel, Sequential } from "@splitgate/splitgate";
import { writeNpy } from "../../src/cli/npy.ts";

const [folder] = process.argv.slice(2);
const [SEQUENCES, STEPS, INPUT, HIDDEN, CLASSES] = [500, 100, 16, 128, 8];

const seed = new Generator(1);
const sizes = { inputSize: INPUT, hiddenSize: HIDDEN, numLayers: 2, batchFirst: true };
const model = new Sequential({
  lstm: new LSTM({ ...sizes, seed }),
  out: new Linear({ inFeatures: HIDDEN, outFeatures: CLASSES, seed }),
});
const x = new Float32Array(SEQUENCES * STEPS * INPUT);
seed.normal(x);
Deno.writeFileSync(`${folder}/model.safetensors`, saveFloatModel(model));
Deno.writeFileSync(`${folder}/x.npy`, writeNpy(x, [SEQUENCES, STEPS, INPUT]));

let output = "";
const host = {
  write: (text: string) => void (output += text),
  error: (text: string) => console.error(text),
  async *lines() {},
  isTerminal: false,
};
const files = ["model.safetensors", "x.npy", "int8.safetensors", "report.html"]
  .map((name) => `${folder}/${name}`);
const [file, data, int8, report] = files as [string, string, string, string];
const more = ["--test", data, "--report", report, "-o", int8, "--json"];
const code = await main(["quantize", file, "--calibration", data, ...more], host);
if (code !== 0) throw new Error(`exit code ${code}`);
const { user, system } = process.cpuUsage();
const [, kilobytes] = /VmHWM:\s*(\d+) kB/.exec(Deno.readTextFileSync("/proc/self/status"))!;
const { agreement: [{ sqnr }] } = JSON.parse(output);
console.log(JSON.stringify({
  seconds: (user + system) / 1e6,
  megabytes: Number(kilobytes) / 1024,
  sqnr,
}));
