import { assert, assertEquals } from "@std/assert";
import { createContext, runInContext } from "node:vm";
import * as kernels from "../../kernels/mod.ts";
import * as main from "../../mod.ts";
import { HistogramObserver } from "../../qconfig.ts";
import { convertToReference } from "../../reference.ts";
import { parseSafetensors, type SafetensorsInput, writeSafetensors } from "../../safetensors.ts";
import { reportParts } from "../../tune.ts";
import {
  loadProgram as loadProgramAlone,
  type Program,
  type Session,
} from "../../src/runtime/with_state.ts";
import { QuantizedModel } from "../../src/authoring/model.ts";
import { DTYPES, isOfDType } from "../../src/core/dtype.ts";
import { QuantizedEmbedding } from "../../src/modules/embedding/quantized.ts";
import { QuantizedLinear } from "../../src/modules/linear/quantized.ts";
import { QuantizedLSTM } from "../../src/modules/lstm/quantized.ts";
import { typedArrayKind } from "../../kernels/numeric/typed_array.ts";
import { simdKernels } from "../../simd.ts";
import { floatsOf } from "../../src/testing/random.ts";
import { modelOf, plainCase } from "../../src/testing/quantized_models.ts";

/** Gives arguments as a caller has them: of our realm, or copies from another. */
type Give = <T>(value: T) => T;

const realm = runInContext(
  `({
    Float32Array, Float64Array, Int8Array, Uint8Array, Int16Array, Uint16Array, Int32Array,
    Array, Map, Object, RegExp, Module: WebAssembly.Module,
  })`,
  createContext({}),
) as Record<string, new (...values: unknown[]) => object>;

const foreign: Give = (value) => foreignOf(value) as typeof value;

/** What is no instance of a class of ours, deeply. */
function foreignOf(value: unknown): unknown {
  const kind = typedArrayKind(value);
  if (kind !== undefined) return new realm[kind]!(value);
  if (Array.isArray(value)) {
    const copy = new realm.Array!() as unknown[];
    for (const each of value) copy.push(foreign(each));
    return copy;
  }
  if (value instanceof Map) return new realm.Map!([...value].map(foreign));
  if (value instanceof RegExp) return new realm.RegExp!(value.source, value.flags);
  if (Object(value) !== value || Object.getPrototypeOf(value) !== Object.prototype) return value;
  return Object.assign(
    new realm.Object!(),
    Object.fromEntries(Object.entries(value as object).map(([key, each]) => [key, foreign(each)])),
  );
}

/** A result in our realm: what was given may come back. */
function plain(value: unknown): unknown {
  if (ArrayBuffer.isView(value)) {
    return [typedArrayKind(value), ...value as Uint8Array];
  }
  if (Array.isArray(value)) return Array.from(value, plain);
  if (Object.prototype.toString.call(value) === "[object Map]") {
    return Array.from(value as Map<unknown, unknown>, plain);
  }
  if (Object(value) !== value) return value;
  if (typeof value === "function") return "a function";
  return Object.fromEntries(
    Object.entries(value as object).map(([key, each]) => [key, plain(each)]),
  );
}

const q8 = { dtype: "quint8", scale: 1 / 128, zeroPoint: 128, quantMin: 0, quantMax: 255 } as const;
const floats = floatsOf(1, [2 * 3 * 4], 2).data;

function observed(give: Give, options: object) {
  const lstm = new main.LSTM(give({ inputSize: 4, hiddenSize: 5, seed: 1, ...options }));
  const model = main.prepare(lstm, main.getPreset("fbgemm"), give({}));
  model.forward(give({ data: floats, shape: [2, 3, 4] }));
  return model;
}

/** A session's outputs, reals and integers, and its state. */
function session(give: Give, model: main.QuantizedModel | Program<Session>, options: object = {}) {
  const running = model.createSession(give({ batch: 2, ...options }));
  const y = give(new Float32Array(2 * 3 * model.outputSize));
  const integers = give(new Uint8Array(2 * model.outputSize));
  const x = give(floats);
  running.run(x, y);
  const state = running.state();
  running.run(x, y, give([1, 3]));
  running.step(give(new Uint8Array(8).fill(100)), integers);
  running.restore(give(state));
  running.step(x.subarray(0, 8), y.subarray(0, 2 * model.outputSize));
  return [y, integers, running.state()];
}

const plainModel = modelOf(plainCase, "none", false);
const linearModel = modelOf({ ...plainCase, numLayers: 2, bidirectional: true }, "none", true);
const floatModel = modelOf({ ...plainCase, input: 0 }, "float", true);

/** Public entries that take arrays, objects or instances of built-in classes. */
const entries: Record<string, (give: Give) => unknown> = {
  tensor: (give) => main.tensor(give(floats), give([2, 3, 4])),
  "tensor of an array": (give) => main.tensor(give([1, 2]), give([2])),
  tokens: (give) => main.tokens(give(Int32Array.of(1, 2)), give([2, 1])),
  qtensor: (give) => main.qtensor(give(Uint8Array.of(1, 2)), give([2]), give(q8)),
  isOfDType: (give) =>
    [new Uint8Array(1), new Int8Array(1), new Int32Array(1), new Float32Array(1)]
      .map((array) => DTYPES.map((dtype) => isOfDType(give(array), dtype))),
  perTensorAffine: (give) => main.perTensorAffine(give(q8)),
  perChannelAffine: (give) =>
    main.perChannelAffine(give({ dtype: "qint8", scales: Float32Array.of(1, 2), axis: 0 })),
  "Generator.uniform": (give) => {
    const out = give(new Float32Array(5));
    new main.Generator(3).uniform(out, 0, 1);
    return out;
  },
  "Module.loadStateDict": (give) => {
    const linear = new main.Linear(give({ inFeatures: 2, outFeatures: 1, bias: false }));
    linear.loadStateDict(give(new Map([["weight", main.tensor([1, 2], [1, 2])]])));
    return linear.forward(give({ data: Float32Array.of(3, 4), shape: [1, 2] }));
  },
  "LSTM.forward": (give) => {
    const lstm = new main.LSTM(give({ inputSize: 4, hiddenSize: 3, seed: 2 }));
    const state = [0, 0].map(() => ({ data: new Float32Array(9).fill(0.5), shape: [1, 3, 3] }));
    return lstm.forward(give({ data: floats, shape: [2, 3, 4] }), give(state) as never);
  },
  "Embedding.forward": (give) => {
    const embedding = new main.Embedding(give({ numEmbeddings: 3, embeddingDim: 2, seed: 1 }));
    return embedding.forward(give({ data: Int32Array.of(2, 0), shape: [2] }));
  },
  "an observer": (give) => {
    const observer = new HistogramObserver(give({ bins: 16 }));
    observer.observe(give(floats), give([2, 3, 4]));
    const other = new HistogramObserver(give({ bins: 16 }));
    other.setState(give({
      histogram: observer.histogram,
      min: observer.minVal,
      max: observer.maxVal,
    }));
    return [observer.calculateQParams(), other.calculateQParams()];
  },
  "QConfigMapping.setModuleNamePattern": (give) =>
    main.prepare(
      new main.Linear({ inFeatures: 4, outFeatures: 2, seed: 1 }),
      new main.QConfigMapping().setModuleNamePattern(give(/.*/), main.getPreset("fbgemm")),
    ).modules.size,
  convert: (give) => main.saveModel(main.convert(observed(give, {}))),
  quantizeDynamic: () =>
    main.saveModel(main.quantizeDynamic(new main.LSTM({ inputSize: 2, hiddenSize: 3, seed: 1 }))),
  "convertToReference, run": (give) => {
    const reference = convertToReference(observed(give, {}));
    const state = new Map([["lstm.l0", {
      h: { data: new Float32Array(15), shape: [3, 5] },
      c: { data: new Float32Array(15), shape: [3, 5] },
    }]]);
    return reference.run(give({ data: floats, shape: [2, 3, 4] }), give({ state })).output;
  },
  reportParts: (give) => {
    const model = observed(give, {});
    const inputs = give([{ data: floats, shape: [2, 3, 4] }]);
    return reportParts(model, inputs).toTable();
  },
  "QuantizedLSTM.forward": (give) => {
    const module = new QuantizedLSTM(give({ ...plainModel.modules.get("lstm") }) as never);
    return module.forward(give({ data: floats, shape: [2, 3, 4] }));
  },
  "QuantizedLinear.forward": (give) => {
    const module = new QuantizedLinear(give({ ...linearModel.modules.get("out") }) as never);
    return module.forward(give({ data: floats.subarray(0, 10), shape: [1, 10] }));
  },
  "QuantizedEmbedding.forward": (give) =>
    [8, 16, 32].map((bits) => {
      const floating = bits === 32;
      const Weight = floating ? Float32Array : bits === 16 ? Uint16Array : Uint8Array;
      const rows = new Float32Array(floating ? 0 : 2).fill(0.25);
      const options = { numEmbeddings: 2, embeddingDim: 2, scales: rows, biases: rows };
      const weight = Weight.of(1, 2, 3, 255) as Float32Array;
      return new QuantizedEmbedding(give({ ...options, weight })).forward(
        give({ data: Int32Array.of(1, 0), shape: [2] }),
      );
    }),
  "sessions of a model": (give) => session(give, plainModel),
  "sessions of a loaded model": (give) =>
    session(give, main.loadModel(give(main.saveModel(plainModel)))),
  "sessions of a program": (give) =>
    session(give, loadProgramAlone(give(main.compileModel(plainModel, give({}))))),
  "sessions over tokens": (give) => {
    const running = floatModel.createSession(give({}));
    const y = give(new Float32Array(3 * 3));
    running.run(give(Int32Array.of(1, 0, 2)), y);
    return y;
  },
  "sessions in both directions": (give) => {
    const running = linearModel.createSession(give({ maxSteps: 6 }));
    const y = give(new Float32Array(6 * 3));
    running.run(give(floats), y);
    return y;
  },
  "modules of foreign arrays in files": (give) => {
    const lstm = new QuantizedLSTM(give({ ...plainModel.modules.get("lstm") }) as never);
    const model = new QuantizedModel(new Map([["lstm", lstm]]));
    return [main.saveModel(model), main.compileModel(model), ...session(give, model)];
  },
  writeSafetensors: (give) =>
    writeSafetensors(
      give(
        new Map([["a", { data: Float32Array.of(1), shape: [1] }], ["b", {
          data: Uint16Array.of(1),
          shape: [1],
        }]]) as Map<string, SafetensorsInput>,
      ),
      give({ key: "value" }),
    ),
  parseSafetensors: (give) => parseSafetensors(give(main.saveModel(plainModel))),
  quantizePerTensor: (give) => {
    const outputs = [new Uint8Array(24), new Int32Array(24)].map(give);
    for (const out of outputs) kernels.quantizePerTensor(give(floats), out as never, q8);
    return outputs;
  },
};

for (const [name, run] of Object.entries(entries)) {
  Deno.test(`${name} gives the same for arrays, objects and maps of another realm`, () => {
    assertEquals(plain(run(foreign)), plain(run((value) => value)));
  });
}

Deno.test("simdKernels() run sessions over arrays and from a module of another realm", async () => {
  const bytes = await Deno.readFile(new URL("../../kernels/simd/plain.wasm", import.meta.url));
  const module = new realm.Module!(bytes) as WebAssembly.Module;
  assert(!(module instanceof WebAssembly.Module));
  const kernels = await simdKernels(foreign({ module }));
  const file = main.compileModel(plainModel, { kernels });
  const want = plain(session((value) => value, plainModel));
  assertEquals(plain(session(foreign, plainModel, { kernels })), want);
  assertEquals(plain(session(foreign, loadProgramAlone(foreign(file)), { kernels })), want);
});

Deno.test("no code asks by instanceof whether something is of a built-in class", async () => {
  const found: string[] = [];
  let files = 0;
  const builtIn = Object.getOwnPropertyNames(globalThis).filter((name) => /^[A-Z]/.test(name));
  // Errors are caught where this package throws them.
  const names = builtIn.filter((name) => !name.endsWith("Error")).join("|");
  const asks = new RegExp(`instanceof \\(?(${names})\\b(?!\\.)|instanceof WebAssembly`);
  // Maps and Sets of a pickle are made where it is read.
  const own = /kernels\/numeric\/typed_array\.ts$|src\/io\/torch\/\w+\.ts$/;
  const visit = async (folder: URL): Promise<void> => {
    for await (const { name, isDirectory } of Deno.readDir(folder)) {
      const url = new URL(name, folder);
      if (isDirectory) await visit(new URL(`${name}/`, folder));
      else if (name.endsWith(".ts") && !own.test(url.pathname)) {
        files++;
        for (const line of (await Deno.readTextFile(url)).split("\n")) {
          if (!/^\s*(\*|\/\/)/.test(line) && asks.test(line)) found.push(`${name}: ${line}`);
        }
      }
    }
  };
  for (const folder of ["src/", "kernels/"]) {
    await visit(new URL(`../../${folder}`, import.meta.url));
  }
  assert(files > 80, `${files}`);
  assertEquals(found, []);
});
