/**
 * What calibrating and converting cost: the float model's forward pass, calibration a sequence,
 * conversion, and both of two layers of 128 on 500 sequences. torch's times stand beside ours
 * where a Python with torch is named.
 *
 *     deno task bench:calibrate [--quick] [--python PATH]
 */
import process from "node:process";
import {
  convert,
  getPreset,
  LSTM,
  prepare,
  quantize,
  type Tensor,
  tensor,
} from "@splitgate/splitgate";
import { readArguments } from "../scripts/arguments.ts";
import { realsOf } from "./models.ts";

const { quick, python } = readArguments("deno task bench:calibrate [--quick] [--python PATH]", {
  quick: { type: "boolean" },
  python: { type: "string" },
}).values;

const STEPS = 100;
const PRESETS = ["fbgemm", "accurate"];
const SIZES = quick ? [32, 128] : [32, 64, 128, 256, 512];
const LARGEST_SEQUENCES = quick ? 20 : 500;
const MIN_MS = quick ? 100 : 500;
const BYTES_A_MEGABYTE = 1e6;

/** Milliseconds of processor time, user code only: what else runs here does not count. */
function cpuMs(work: () => void): number {
  const { user } = process.cpuUsage();
  work();
  return (process.cpuUsage().user - user) / 1000;
}

/** Milliseconds of one call, of as many as take a while together. */
function timed(work: () => void): number {
  work();
  let calls = 0, total = 0;
  while (total < MIN_MS) {
    total += cpuMs(work);
    calls++;
  }
  return total / calls;
}

function sequence(width: number, seed: number): Tensor {
  const data = realsOf(STEPS, width).map((value, i) => value * Math.cos(i * seed));
  return tensor(data, [STEPS, 1, width]);
}

/** torch's forward pass on one thread, in milliseconds, by size; nothing without torch. */
async function torchForward(): Promise<ReadonlyMap<number, number>> {
  if (python === undefined) return new Map();
  const script = `
import json, time, torch
torch.set_num_threads(1)
times = {}
for size in ${JSON.stringify(SIZES)}:
    lstm, x = torch.nn.LSTM(size, size), torch.rand(${STEPS}, 1, size)
    with torch.no_grad():
        lstm(x)
        calls, start = 0, time.process_time()
        while time.process_time() - start < ${MIN_MS / 1000}:
            lstm(x)
            calls += 1
        times[size] = (time.process_time() - start) / calls * 1000
print(json.dumps(times))
`;
  const { success, stdout, stderr } = await new Deno.Command(python, { args: ["-c", script] })
    .output();
  const decoder = new TextDecoder();
  if (!success) throw new Error(`${python}: ${decoder.decode(stderr)}`);
  const times: Record<string, number> = JSON.parse(decoder.decode(stdout));
  return new Map(Object.entries(times).map(([size, ms]) => [Number(size), ms]));
}

const torch = await torchForward();
console.log(
  `One layer, input as wide as the hidden state, ${STEPS} steps; processor milliseconds.\n`,
);
console.log(
  "| hidden | float forward | torch, one thread | ratio | preset | calibrate | convert |",
);
console.log("| --- | --- | --- | --- | --- | --- | --- |");
for (const size of SIZES) {
  const lstm = new LSTM({ inputSize: size, hiddenSize: size });
  const x = sequence(size, 1);
  const forward = timed(() => void lstm.forward(x));
  const other = torch.get(size);
  const compared = other === undefined
    ? "| |"
    : `${other.toFixed(2)} | ${(forward / other).toFixed(1)} |`;
  for (const preset of PRESETS) {
    const observed = prepare(lstm, getPreset(preset));
    let seed = 2;
    const calibrate = timed(() => void observed.forward(sequence(size, seed++)));
    const converted = cpuMs(() => void convert(observed));
    const cells = [size, forward.toFixed(2), `${compared} \`${preset}\``];
    console.log(`| ${[...cells, calibrate.toFixed(1), converted.toFixed(0)].join(" | ")} |`);
  }
}

const WIDTH = 128;
const data = Array.from({ length: LARGEST_SEQUENCES }, (_, i) => sequence(WIDTH, i + 1));
console.log(`\nTwo layers of ${WIDTH}, ${LARGEST_SEQUENCES} sequences of ${STEPS} steps:`);
for (const preset of PRESETS) {
  const lstm = new LSTM({ inputSize: WIDTH, hiddenSize: WIDTH, numLayers: 2 });
  const { user } = process.cpuUsage();
  const started = performance.now();
  await quantize(lstm, data, { preset });
  const seconds = (performance.now() - started) / 1000;
  const cpu = (process.cpuUsage().user - user) / 1e6;
  const memory = process.memoryUsage().rss / BYTES_A_MEGABYTE;
  console.log(
    `${preset}: ${cpu.toFixed(1)} s of processor time, ${seconds.toFixed(1)} s in all, ` +
      `${memory.toFixed(0)} MB`,
  );
}
