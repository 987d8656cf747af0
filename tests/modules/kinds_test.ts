// What holds for every kind of module, and for every file of the package that must not know which kinds there are.
import { assert, assertEquals, assertNotEquals, assertThrows } from "@std/assert";
import {
  AvgPool1d,
  BatchNorm1d,
  compileModel,
  Conv1d,
  convert,
  Embedding,
  Flatten,
  Generator,
  getPreset,
  HardSigmoid,
  LayerNorm,
  LeakyReLU,
  Linear,
  LSTM,
  MaxPool1d,
  type Module,
  prepare,
  saveModel,
  Sequential,
  type Tensor,
  tensor,
  tokens,
  type TokenTensor,
  ZeroPad1d,
} from "@splitgate/splitgate";
import { dynamicQConfig } from "@splitgate/splitgate/qconfig";
import { loadProgram } from "@splitgate/splitgate/runtime";
import { OPERATOR_ROWS, STEPS } from "../../scripts/operator_rows.ts";
import { QuantizedModel } from "../../src/authoring/model.ts";
import { asGraph } from "../../src/io/architecture.ts";
import { loadFloatModel, saveFloatModel } from "../../src/io/float_model.ts";
import { loadModel } from "../../src/io/model_file.ts";
import type { SafetensorsArray } from "../../src/io/safetensors.ts";
import { writeSafetensors } from "../../src/io/safetensors_write.ts";
import { copyModule, createModule } from "../../src/modules/create.ts";
import { flatten } from "../../src/modules/graph.ts";
import { KIND_NAMES, kindOf, KINDS, RUNNING_KINDS } from "../../src/modules/kinds.ts";
import { BASE_KINDS } from "../../src/runtime/kinds.ts";
import { readTree } from "../io/tree.ts";
import { type ModelJson, resaved } from "./resaved.ts";

/** Values a row of the models of {@linkcode OPERATOR_ROWS}. */
const WIDTH = 4;

/** Float models: those of the table of operators, and others that have fewer or other numbers. */
const MODELS: readonly (() => Module)[] = [
  ...OPERATOR_ROWS.map(({ module }) => module),
  () => new Linear({ inFeatures: WIDTH, outFeatures: 2, bias: false }),
  () => new LSTM({ inputSize: WIDTH, hiddenSize: 3, numLayers: 2, bias: false, batchFirst: true }),
  () => new LSTM({ inputSize: WIDTH, hiddenSize: 3, gateActivation: "hardSigmoid" }),
  () => afterLayer(new BatchNorm1d({ numFeatures: WIDTH, affine: false, eps: 1e-3 })),
  () => afterLayer(new LayerNorm({ normalizedShape: WIDTH, elementwiseAffine: false, eps: 0.1 })),
  () => afterLayer(new LayerNorm({ normalizedShape: WIDTH, bias: false })),
  () => afterLayer(new LeakyReLU({ negativeSlope: 0.25 })),
  () =>
    new Conv1d({
      inChannels: WIDTH,
      outChannels: 6,
      kernelSize: 2,
      stride: 2,
      padding: [2, 1],
      dilation: 2,
      groups: 2,
      bias: false,
      batchFirst: true,
    }),
  () => afterLayer(new MaxPool1d({ kernelSize: 3, padding: 1, dilation: 2 })),
  () => afterLayer(new AvgPool1d({ kernelSize: 3, padding: 1, countIncludePad: false })),
  () => afterLayer(new ZeroPad1d({ padding: [1, 2], batchFirst: true })),
  () => afterLayer(new Flatten({ steps: STEPS, stepsFirst: true })),
  () => afterLayer(new HardSigmoid({ slope: 0.2, offset: 0.5 })),
];

/** A module after a Linear and a LayerNorm, into which nothing is folded. */
function afterLayer(op: Module): Module {
  const linear = new Linear({ inFeatures: WIDTH, outFeatures: WIDTH });
  return new Sequential({ linear, layer: new LayerNorm({ normalizedShape: WIDTH }), op });
}

/** Models whose every weight is drawn, so that none equals what a new module begins with. */
function* drawnModels(): Iterable<Module> {
  const generator = new Generator(5);
  for (const make of MODELS) {
    const model = make();
    // Above 0, since there are variances among them.
    for (const { data } of model.stateDict().values()) generator.uniform(data, 0.1, 1);
    yield model;
  }
}

/** Input that a float model takes. */
function inputOf(model: Module): Tensor | TokenTensor {
  const { modules, topology } = flatten(model);
  const readers = [...topology.inputs].filter(([, reads]) => reads.includes("input"));
  if (readers.some(([name]) => modules.get(name)! instanceof Embedding)) {
    return tokens(Array.from({ length: STEPS }, (_, i) => i % WIDTH), [STEPS, 1]);
  }
  const x = new Float32Array(STEPS * WIDTH);
  new Generator(6).uniform(x, -2, 2);
  return tensor(x, [STEPS, 1, WIDTH]);
}

/** Every model, quantized in several ways; with what messages call it. */
function* quantizedModels(): Iterable<[name: string, model: QuantizedModel]> {
  const qconfigs = {
    fbgemm: getPreset("fbgemm"),
    qnnpack: getPreset("qnnpack"),
    int8x16: getPreset("int8x16"),
    dynamic: dynamicQConfig,
  };
  for (const model of drawnModels()) {
    const kinds = [...flatten(model).modules.values()].map(({ kind }) => kind).join(", ");
    for (const [preset, qconfig] of Object.entries(qconfigs)) {
      try {
        const observed = prepare(model, qconfig);
        observed.forward(inputOf(model));
        yield [`${kinds}: ${preset}`, convert(observed) as QuantizedModel];
      } catch (error) {
        // torch has no such module.
        assert(
          (error as Error).message.match(
            /since the (LSTM|GRU) is dynamic|a Conv1d has no dynamic form/,
          ),
          `${error}`,
        );
      }
    }
  }
}

/** Names of kinds that are left out of models that are prepared. */
const LEFT_OUT = ["Dropout", "Identity"];

Deno.test("every kind is among the models of these tests, float and quantized", () => {
  const float = [...drawnModels()].flatMap((model) => [...flatten(model).modules.values()]);
  assertEquals([...new Set(float.map(({ kind }) => kind))].toSorted(), KIND_NAMES.toSorted());
  const quantized = [...quantizedModels()].flatMap(([, { modules }]) => [...modules.values()]);
  assertEquals(
    [...new Set(quantized.map(({ kind }) => kind)), ...LEFT_OUT].toSorted(),
    KIND_NAMES.toSorted(),
  );
});

Deno.test("copyModule() of every kind gives the same class, options and weights, in memory of its own", () => {
  let tensors = 0;
  for (const model of drawnModels()) {
    for (const module of flatten(model).modules.values()) {
      const copy = copyModule(module);
      assertEquals(copy, module, module.kind);
      assertEquals(copy.constructor, module.constructor);
      const before = structuredClone([...module.stateDict()]);
      for (const { data } of copy.stateDict().values()) {
        data.fill(7);
        tensors++;
      }
      assertEquals([...module.stateDict()], before, module.kind);
    }
  }
  assert(tensors > 50);
});

Deno.test("create() of every kind gives what an architecture says of it, with its options and weights", () => {
  for (const model of drawnModels()) {
    const bytes = saveFloatModel(model);
    const loaded = loadFloatModel(bytes);
    assertEquals(saveFloatModel(loaded), bytes);
    assertEquals(flatten(loaded).modules, flatten(model).modules);
    const x = inputOf(model);
    assertEquals(loaded.run(x), asGraph(model).run(x));
  }
});

Deno.test("create() of every kind refuses options that shapes tell, and names those that it takes", () => {
  for (const kind of KINDS) {
    const make = () => createModule("m", kind, { seed: 1 }, new Map());
    assertThrows(make, TypeError, `m.options: expected`);
    assertThrows(make, TypeError, kind.options.join(", "));
  }
});

Deno.test("read() of every kind gives what write() was given", () => {
  for (const [name, model] of quantizedModels()) {
    const bytes = saveModel(model);
    const loaded = loadModel(bytes) as QuantizedModel;
    assertEquals(saveModel(loaded), bytes, name);
    assertEquals(loaded.modules, model.modules, name);
    assertEquals(loaded.fingerprint, model.fingerprint, name);
  }
});

Deno.test("withInputs() of every kind changes nothing where the inputs stay as they are", () => {
  for (const [label, model] of quantizedModels()) {
    for (const [name, module] of model.modules) {
      const kind = kindOf(name, module);
      const same = kind.withInputs(module, kind.ends(module).inputs.map(({ qparams }) => qparams));
      assertEquals([...kind.fingerprint(same)], [...kind.fingerprint(module)], label);
      assertEquals(kind.ends(same), kind.ends(module), label);
    }
  }
});

/** Fields that a model is the same without. */
const NO_PART = ["name", "reads", "splitGates", "batchFirst"];

/** The same value, changed a little. */
function changed(value: unknown): unknown {
  if (typeof value === "boolean") return !value;
  if (typeof value === "number") return Number.isInteger(value) ? value + 1 : value * 1.5;
  if (value === "fbgemm" || value === "qnnpack") return value === "fbgemm" ? "qnnpack" : "fbgemm";
  return undefined;
}

/** Every leaf of a JSON value: how to read and how to write it. */
function* leavesOf(
  value: unknown,
  path: string,
): Iterable<[path: string, get: () => unknown, set: (value: unknown) => void]> {
  for (const [key, own] of Object.entries(value as Record<string, unknown>)) {
    const at = `${path}.${key}`;
    if (typeof own === "object" && own !== null) yield* leavesOf(own, at);
    else yield [at, () => own, (next) => (value as Record<string, unknown>)[key] = next];
  }
}

/** An array with one element changed by its smallest step, or to a clearly different value. */
function withElement(data: SafetensorsArray, index: number): SafetensorsArray {
  const copy = data.slice() as Float32Array;
  copy[index] = copy instanceof Float32Array ? copy[index]! * (1 + 2 ** -20) : copy[index]! ^ 1;
  return copy;
}

Deno.test("a fingerprint differs where any weight or parameter of any kind does, and not where names do", () => {
  const counts = { tensors: 0, fields: 0, qparams: 0, refused: 0 };
  for (const [name, model] of quantizedModels()) {
    const { tensors, tree } = readTree(saveModel(model));
    const text = JSON.stringify(tree);
    const load = (edited: typeof tensors, tree: string) =>
      loadModel(writeSafetensors(edited, { splitgate: tree }));
    assertEquals(load(tensors, text).fingerprint, model.fingerprint);
    const differs = (edited: typeof tensors, tree: string, what: string): boolean => {
      let other: Uint8Array;
      try {
        other = load(edited, tree).fingerprint;
      } catch (error) {
        assert(error instanceof RangeError || error instanceof TypeError, `${error}`);
        counts.refused++;
        return false;
      }
      assertNotEquals(other, model.fingerprint, `${name}: ${what}`);
      return true;
    };

    for (const [key, entry] of tensors) {
      for (const index of new Set([0, entry.data.length >> 1, entry.data.length - 1])) {
        const data = withElement(entry.data, index);
        if (differs(new Map(tensors).set(key, { ...entry, data }), text, `${key}[${index}]`)) {
          counts.tensors++;
        }
      }
    }
    const leaves = [...leavesOf(JSON.parse(text) as ModelJson, "")].map(([path]) => path);
    leaves.forEach((path, i) => {
      const tree = JSON.parse(text) as ModelJson;
      const [, get, set] = [...leavesOf(tree, "")][i]!;
      const [, list, index, field] = path.split(".");
      // qparams are those that modules call by their index, or in their own fields.
      if (list !== "modules" && list !== "qparams" || NO_PART.includes(field!)) return;
      const value = changed(get());
      if (value === undefined || tree.qparams[Number(index)] === null && list === "qparams") return;
      set(value);
      if (!differs(tensors, JSON.stringify(tree), path)) return;
      if (list === "qparams") counts.qparams++;
      else counts.fields++;
    });

    const renamed = [...model.modules.keys()].map((old, i) => [old, `m${i}`] as const);
    const names = new Map<string, string>([["input", "input"], ...renamed]);
    const other = new QuantizedModel(
      new Map([...model.modules].map(([old, module]) => [names.get(old)!, module])),
      {
        inputs: new Map(
          [...model.topology.inputs].map(([old, reads]) => [
            names.get(old)!,
            reads.map((read) => names.get(read)!),
          ]),
        ),
        outputs: new Map(
          [...model.topology.outputs].map(([output, old]) => [`${output}!`, names.get(old)!]),
        ),
      },
    );
    assertEquals(other.fingerprint, model.fingerprint, name);
  }
  assert(
    counts.tensors > 500 && counts.fields > 100 && counts.qparams > 300,
    JSON.stringify(counts),
  );
});

Deno.test("an unknown kind in a model file, and a kind that is not loaded in a program, are named", () => {
  const extra = new Set<string>();
  for (const [label, model] of quantizedModels()) {
    // qnnpack's addition does not take every scale that untrained weights lead to.
    if (label.endsWith("qnnpack")) continue;
    const file = saveModel(model);
    const name = [...model.modules.keys()].at(-1)!;
    const error = assertThrows(
      () => loadModel(resaved(file, ({ modules }) => modules.at(-1)!.type = "RNN")),
      RangeError,
      `${name}.type: expected one of ${KIND_NAMES[0]}`,
    );
    assert(error.message.endsWith('got "RNN"'));

    const program = compileModel(model);
    const { nodes } = loadProgram(program, { kinds: RUNNING_KINDS }).data;
    const missing = nodes.find(({ program: { kind } }) =>
      !BASE_KINDS.some((each) => each.kind === kind)
    );
    if (missing === undefined) loadProgram(program);
    else {
      extra.add(missing.program.kind);
      const error = assertThrows(() => loadProgram(program), RangeError, `node "${missing.name}"`);
      assert(error.message.includes("give loadProgram kinds of"), error.message);
      assert(error.message.endsWith(`got "${missing.program.kind}"`), error.message);
    }
    // Of the same length, so that all else stays where it is.
    const { kind } = nodes.at(-1)!.program;
    const unknown = `${kind.slice(0, -1)}?`;
    const bytes = new Uint8Array(program);
    const at = new TextDecoder("latin1").decode(bytes).lastIndexOf(`"kind":"${kind}"`);
    bytes[at + `"kind":"${kind}`.length - 1] = "?".charCodeAt(0);
    assertThrows(
      () => loadProgram(bytes, { kinds: RUNNING_KINDS, verify: false }),
      RangeError,
      `got "${unknown}"`,
    );
  }
  assert(extra.size > 3, [...extra].join());
});

/** Where a file outside of the kinds' folders asks which kind it has, and why it may. */
const ASKS: readonly { readonly file: string; readonly asks: string; readonly why: string }[] = [
  {
    file: "src/authoring/observe_parts.ts",
    asks: "instanceof LSTM",
    why: "observeLstmParts takes an LSTM by its signature, as torch's function of that name",
  },
  ...["HardSigmoid", "Sigmoid"].map((kind) => ({
    file: "src/report/measure.ts",
    asks: `"${kind}"`,
    why: "a report reads outputs of these as probabilities",
  })),
  {
    file: "src/simd/backend.ts",
    asks: '"GRU"',
    why: "a backend says which kinds its kernels run, and loads no running half for it",
  },
  {
    file: "src/simd/backend.ts",
    asks: ".kind !== lstmKind.kind",
    why: "a backend says which kinds its kernels run",
  },
];

const ROOT = new URL("../../", import.meta.url);

/** The paths of the TypeScript files below a folder, from the root of the package. */
function filesBelow(folder: string): string[] {
  return [...Deno.readDirSync(new URL(folder, ROOT))].flatMap(({ name, isDirectory }) =>
    isDirectory ? filesBelow(`${folder}${name}/`) : name.endsWith(".ts") ? [`${folder}${name}`] : []
  );
}

/** Names that kinds have in models and in programs. */
const NAMES = new Set([...KIND_NAMES, ...RUNNING_KINDS.map(({ kind }) => kind)]);

/** The parts of a file's text that ask which kind of module there is. */
export function asksOf(text: string, folders: readonly string[]): string[] {
  const code = text.replace(/\/\*[\s\S]*?\*\//g, "").replace(/^\s*\/\/.*$/gm, "");
  const classes = new Set<string>();
  for (const [, names, path] of code.matchAll(/import (?:type )?\{([^}]*)\} from "([^"]*)"/g)) {
    const parts = path!.split("/");
    if (!folders.includes(parts.at(-2)!) && parts.at(-2) !== "kinds") continue;
    for (const name of names!.split(",")) {
      classes.add(name.replace("type ", "").split(" as ").at(-1)!.trim());
    }
  }
  const found: string[] = [];
  for (const [whole, name] of code.matchAll(/instanceof (\w+)/g)) {
    if (classes.has(name!)) found.push(whole);
  }
  for (const [whole, name] of code.matchAll(/"(\w+)"/g)) if (NAMES.has(name!)) found.push(whole);
  for (const [whole] of code.matchAll(/\.kind [!=]==? \w+\.kind\b/g)) found.push(whole);
  return found;
}

Deno.test("no file but those of kinds, and the rewrites, asks which kind of module it has before it", () => {
  const folders = [...Deno.readDirSync(new URL("src/modules/", ROOT))]
    .filter(({ name, isDirectory }) =>
      isDirectory &&
      [...Deno.readDirSync(new URL(`src/modules/${name}/`, ROOT))].some((file) =>
        file.name === "kind.ts"
      )
    )
    .map(({ name }) => name);
  assertEquals(folders.length, KINDS.length);
  // Importers make modules of what other libraries call by the same names, or know them by their
  // tensors; arbitraries make some of every kind.
  const own = (file: string) =>
    file === "src/authoring/rewrites.ts" || file.startsWith("src/runtime/kinds/") ||
    /^src\/io\/((keras|onnx|tfjs)\/|recognize_modules)/.test(file) ||
    /^src\/testing\/(graphs|modules)\.ts$/.test(file) ||
    folders.some((folder) => file.startsWith(`src/modules/${folder}/`));
  const files = [...filesBelow("src/"), ...filesBelow("kernels/")].filter((file) => !own(file));
  const found = files.flatMap((file) =>
    asksOf(Deno.readTextFileSync(new URL(file, ROOT)), folders).map((asks) => `${file}: ${asks}`)
  );
  assertEquals(found.toSorted(), ASKS.map(({ file, asks }) => `${file}: ${asks}`).toSorted());
  assert(files.length > 80);
  // The scan sees what it looks for.
  const text = 'import { Linear as L } from "./linear/float.ts";\n' +
    'if (a instanceof L || b.kind === "LSTM" || c.kind !== lstm.kind) d();\n// "Tanh"\n';
  assertEquals(asksOf(text, folders), ["instanceof L", '"LSTM"', ".kind !== lstm.kind"]);
});

Deno.test("docs/file-formats.md lists the options of every kind that has some", () => {
  const page = Deno.readTextFileSync(new URL("../../docs/file-formats.md", import.meta.url));
  const [, table] = /\| kind \| options \|\n([^]*?)\n\n/.exec(page)!;
  const listed = table!.split("\n").slice(1, -1).flatMap((row) => {
    const [names, options] = row.split("|").slice(1).map((cell) =>
      [...cell.matchAll(/`(\w+)`/g)].map(([, each]) => each!)
    );
    return names!.map((name) => [name, options!.join()]);
  });
  const own = KINDS.filter(({ options }) => options.length > 0);
  assertEquals(
    Object.fromEntries(listed),
    Object.fromEntries(own.map(({ name, options }) => [name, options.join()])),
  );
});
