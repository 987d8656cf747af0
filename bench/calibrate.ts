/**
 * What calibrating and converting cost: the float model's forward pass, calibration a sequence,
 * conversion, and both of two layers of 128 on 500 sequences. torch's times for the same stand beside
 * ours where a Python with torch is named.
 *
 *     deno task bench:calibrate [--quick] [--python PATH]
 */
import process from "node:process";
import { fileURLToPath } from "node:url";
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
  let calls = 0;
  let total = 0;
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

/** Processor milliseconds of one size. */
interface Times {
  readonly forward: number;
  readonly calibrate: number;
  readonly convert: number;
}

/** torch's times on one thread, by size; nothing without torch. */
async function torchTimes(): Promise<ReadonlyMap<number, Times>> {
  if (python === undefined) return new Map();
  const script = fileURLToPath(new URL("calibrate_torch.py", import.meta.url));
  const asked = JSON.stringify({ sizes: SIZES, steps: STEPS, milliseconds: MIN_MS });
  const { success, stdout, stderr } = await new Deno.Command(python, {
    args: ["-B", script, asked],
    env: { OMP_NUM_THREADS: "1", MKL_NUM_THREADS: "1" },
  }).output();
  const decoder = new TextDecoder();
  if (!success) throw new Error(`${python}: ${decoder.decode(stderr)}`);
  const times: Record<string, Times> = JSON.parse(decoder.decode(stdout));
  return new Map(Object.entries(times).map(([size, own]) => [Number(size), own]));
}

/** Ours, and where there is torch, its time and how many times ours is of it. */
function beside(ours: number, torch: number | undefined): string {
  return torch === undefined
    ? ours.toFixed(2)
    : `${ours.toFixed(2)} (${torch.toFixed(2)}, ${(ours / torch).toFixed(1)})`;
}

const torch = await torchTimes();
console.log(
  `One layer, input as wide as the hidden state, ${STEPS} steps; processor milliseconds. In ` +
    "brackets torch's on one thread, by its preset for x86, and the ratio to it.\n",
);
console.log("| hidden | preset | float forward | calibrate a sequence | convert |");
console.log("| --- | --- | --- | --- | --- |");
for (const size of SIZES) {
  const lstm = new LSTM({ inputSize: size, hiddenSize: size });
  const x = sequence(size, 1);
  const forward = timed(() => void lstm.forward(x));
  const other = torch.get(size);
  for (const preset of PRESETS) {
    const observed = prepare(lstm, getPreset(preset));
    let seed = 2;
    const calibrate = timed(() => void observed.forward(sequence(size, seed++)));
    const convertTime = cpuMs(() => void convert(observed));
    const cells = [
      size,
      `\`${preset}\``,
      beside(forward, other?.forward),
      beside(calibrate, other?.calibrate),
      beside(convertTime, other?.convert),
    ];
    console.log(`| ${cells.join(" | ")} |`);
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
