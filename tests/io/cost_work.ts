/**
 * Counts what is done with files that have few or four times as many of something. V8 counts, where
 * it does not optimize:
 *
 *     deno run -A --v8-flags=--no-opt,--no-maglev cost_work.ts COUNT     prints { case: [few, many] }
 */
import { Session } from "node:inspector";
import { compileModel, loadModel, saveModel } from "../../mod.ts";
import { parseSafetensors, writeSafetensors } from "../../safetensors.ts";
import { loadProgram } from "../../runtime.ts";

type Tensors = [string, { data: Int8Array | Float32Array; shape: number[] }][];

interface Block {
  readonly startOffset: number;
  readonly endOffset: number;
  readonly count: number;
}

interface Script {
  readonly url: string;
  readonly functions: { readonly ranges: Block[] }[];
}

const inspector = new Session();

function post(method: string, options?: object): Promise<{ result: Script[] }> {
  return new Promise((resolve, reject) =>
    inspector.post(
      method,
      options,
      (error, value) => error ? reject(error) : resolve(value as { result: Script[] }),
    )
  );
}

/** How often blocks of this package's code run, each call, turn of a loop and branch. */
async function work(run: () => void): Promise<number> {
  await post("Profiler.takePreciseCoverage");
  run();
  const { result } = await post("Profiler.takePreciseCoverage");
  let sum = 0;
  for (const { url, functions } of result) {
    if (!/\/(src|kernels)\//.test(url)) continue;
    for (const { ranges } of functions) for (const { count } of ranges) sum += count;
  }
  return sum;
}

function linearTensors(name: string, tensors: Tensors): object {
  tensors.push([`${name}.weight`, { data: new Int8Array(1), shape: [1, 1] }]);
  tensors.push([`${name}.weight.scale`, { data: Float32Array.of(0.01), shape: [1] }]);
  const flags = { engine: "fbgemm", perChannel: false };
  return { name, type: "Linear", ...flags, input: 0, output: 0 };
}

/** A model's file: modules, and qparams after the one that all may have. */
function fileOf(
  modules: object[],
  tensors: Tensors,
  qparams: number[][] = [],
  outputs?: [string, string][],
): Uint8Array {
  const json = { version: 2, qparams: [[0, 0.01, 128], ...qparams], modules, outputs };
  return writeSafetensors(tensors, { splitgate: JSON.stringify(json) });
}

/** An LSTM with `count` layers, each with activation tables of its own. */
function layers(count: number): Uint8Array {
  const tensors: Tensors = [];
  const qparams: number[][] = [];
  const cells = Array.from({ length: count }, (_, l) => {
    for (const key of ["ih", "hh"]) {
      const weight = `m.weight_${key}_l${l}`;
      // Told apart, so that a program stores each.
      tensors.push([weight, { data: Int8Array.of(l, l >> 8, 0, 0), shape: [4, 1] }]);
      tensors.push([`${weight}.scale`, { data: Float32Array.of(0.01), shape: [1] }]);
    }
    const at = qparams.length + 1;
    for (let k = 0; k < 5; k++) qparams.push([0, 0.01 * (1 + (5 * l + k) / 1e6), 128]);
    return [[...Array(8).fill(0), at, at + 1, at + 2, at + 3, ...Array(6).fill(0), at + 4, 0, 0]];
  });
  const flags = { engine: "fbgemm", perChannel: false, batchFirst: false, splitGates: false };
  const module = { name: "m", type: "LSTM", ...flags, torchInitialState: false, input: 0, cells };
  return fileOf([module], tensors, qparams);
}

/** A header of `count` empty tensors. */
function emptyTensors(count: number): Uint8Array {
  const fields = Array.from(
    { length: count },
    (_, i) => `"t${i}":{"dtype":"F32","shape":[${i},0],"data_offsets":[0,0]}`,
  );
  const header = new TextEncoder().encode(`{${fields}}`);
  const file = new Uint8Array(8 + header.length);
  new DataView(file.buffer).setUint32(0, header.length, true);
  file.set(header, 8);
  return file;
}

/** What is done with a model's file from its reading to a session. */
function used(file: Uint8Array): () => void {
  return () => {
    const model = loadModel(file);
    saveModel(model);
    loadProgram(compileModel(model)).createSession();
  };
}

/** Things that a file may have many of, and the work on it. */
const cases: Record<string, (count: number) => () => void> = {
  "layers, loaded": (count) => {
    const file = layers(count);
    return () => loadModel(file);
  },
  "layers, in a session": (count) => {
    const model = loadModel(layers(count));
    return () => model.createSession();
  },
  "layers, saved and compiled": (count) => {
    const model = loadModel(layers(count));
    return () => {
      saveModel(model);
      compileModel(model);
    };
  },
  "layers of a program": (count) => {
    const file = compileModel(loadModel(layers(count)));
    return () => loadProgram(file).createSession();
  },
  "modules": (count) => {
    const tensors: Tensors = [];
    const modules = Array.from({ length: count }, (_, i) => linearTensors(`m${i}`, tensors));
    return used(fileOf(modules, tensors));
  },
  "modules, the last one first": (count) => {
    const tensors: Tensors = [];
    const modules = Array.from({ length: count }, (_, i) => ({
      ...linearTensors(`m${i}`, tensors),
      reads: [i === 0 ? "input" : `m${i - 1}`],
    }));
    const last = `m${count - 1}`;
    return used(fileOf(modules.reverse(), tensors, [], [[last, last]]));
  },
  "modules that read the input and are outputs": (count) => {
    const tensors: Tensors = [];
    const modules = Array.from({ length: count }, (_, i) => ({
      ...linearTensors(`m${i}`, tensors),
      reads: ["input"],
    }));
    return used(
      fileOf(modules, tensors, [], modules.map((_, i) => [`m${i}`, `m${i}`])),
    );
  },
  "names of one output": (count) => {
    const tensors: Tensors = [];
    const outputs = Array.from({ length: count }, (_, i): [string, string] => [`o${i}`, "m"]);
    return used(fileOf([linearTensors("m", tensors)], tensors, [], outputs));
  },
  "tables of tokens": (count) => {
    const tensors: Tensors = [];
    const modules = Array.from({ length: count }, (_, i) => {
      tensors.push([`e${i}.weight`, { data: Float32Array.of(0.5, i), shape: [2, 1] }]);
      return [
        { name: `e${i}`, type: "Embedding", reads: ["input"] },
        { ...linearTensors(`m${i}`, tensors), reads: [`e${i}`] },
      ];
    });
    return used(
      fileOf(modules.flat(), tensors, [], modules.map((_, i) => [`m${i}`, `m${i}`])),
    );
  },
  "qparams that nothing has": (count) => {
    const tensors: Tensors = [];
    const modules = [linearTensors("m", tensors)];
    const qparams = Array.from({ length: count }, (_, i) => [0, 0.01 + i / 1e6, 128]);
    const file = fileOf(modules, tensors, qparams);
    return () => loadModel(file);
  },
  "dimensions": (count) => {
    const tensors: Tensors = [];
    const modules = [linearTensors("m", tensors)];
    tensors[0]![1].shape = Array(count).fill(1);
    const file = fileOf(modules, tensors);
    return () => {
      try {
        loadModel(file);
      } catch { /* Named, as other tests show. */ }
    };
  },
  "characters of a name": (count) => {
    const tensors: Tensors = [];
    const file = fileOf([linearTensors("m".repeat(100 * count), tensors)], tensors);
    return () => loadModel(file).createSession();
  },
  "empty tensors": (count) => {
    const file = emptyTensors(count);
    return () => parseSafetensors(file);
  },
  "brackets": (count) => {
    const text = "[".repeat(100 * count) + "]".repeat(100 * count);
    const file = writeSafetensors([], { splitgate: text });
    return () => {
      try {
        loadModel(file);
      } catch { /* Named, as other tests show. */ }
    };
  },
};

inspector.connect();
await post("Profiler.enable");
await post("Profiler.startPreciseCoverage", { callCount: true, detailed: true });
const count = Number(Deno.args[0]);
const worked: Record<string, number[]> = {};
for (const [name, make] of Object.entries(cases)) {
  worked[name] = [await work(make(count)), await work(make(4 * count))];
}
inspector.disconnect();
console.log(JSON.stringify(worked));
