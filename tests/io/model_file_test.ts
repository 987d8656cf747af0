import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { loadModel } from "../../src/io/model_file.ts";
import { saveModel } from "../../src/io/model_write.ts";
import { loadProgram } from "../../src/runtime/load.ts";
import { compileModel } from "../../src/io/program_write.ts";
import { type SafetensorsInput, writeSafetensors } from "../../src/io/safetensors_write.ts";
import { QuantizedLinear } from "../../src/modules/linear/quantized.ts";
import { QuantizedModel } from "../../src/authoring/model.ts";
import { type Bits, lstmCases } from "../../src/testing/quantized_lstms.ts";
import { floatsOf } from "../../src/testing/random.ts";
import { readTree } from "./tree.ts";
import { modelOf, plainCase } from "../../src/testing/quantized_models.ts";

const bits = fc.constantFrom<Bits>(0, 7, 8, 16, 32);
const embeddings = fc.constantFrom("none" as const, "8" as const, "16" as const, "float" as const);

/** Plain data of a model: everything that its modules hold. */
function contents(modules: ReadonlyMap<string, object>): unknown {
  return [...modules].map(([name, module]) => {
    const { fallback: _code, dynamic: _none, ...data } = module as {
      fallback?: unknown;
      dynamic?: boolean;
    };
    return [name, data];
  });
}

Deno.test("loadModel() gives back what saveModel() wrote, and that the same bytes", () => {
  let ran = 0;
  fc.assert(
    fc.property(
      lstmCases(bits, fc.constantFrom<Bits>(0, 8)),
      embeddings,
      fc.boolean(),
      (c, embedding, linear) => {
        const model = modelOf(c, embedding, linear);
        const bytes = saveModel(model);
        const loaded = loadModel(bytes);
        assertEquals(contents(loaded.modules), contents(model.modules));
        assertEquals(saveModel(loaded), bytes);
        assertEquals(loaded.fingerprint, model.fingerprint);
        ran++;
      },
    ),
    { numRuns: 60 },
  );
  assertEquals(ran, 60);
});

Deno.test("loadModel() and loadProgram() give what computes the same", () => {
  fc.assert(
    fc.property(
      lstmCases(fc.constantFrom<Bits>(8, 16), fc.constantFrom<Bits>(0, 8)),
      fc.boolean(),
      (given, linear) => {
        const c = { ...given, engine: "fbgemm" as const };
        const model = modelOf(c, "none", linear);
        const x = floatsOf(c.seed, [c.steps * c.batch * c.inputSize], 2).data;
        const [want, ...got] = [
          model,
          loadModel(saveModel(model)),
          loadProgram(compileModel(model)),
        ].map((m) => {
          const y = new Float32Array(c.steps * c.batch * m.outputSize);
          m.createSession({ batch: c.batch }).run(x, y);
          return y;
        });
        for (const y of got) assertEquals(y, want);
      },
    ),
    { numRuns: 40 },
  );
});

// deno-lint-ignore no-explicit-any
type Json = any;

/** Metadata that is not what was parsed. */
class Text {
  constructor(readonly text: string) {}
}

/** A file whose metadata or tensors were tampered with. */
function tampered(
  bytes: Uint8Array,
  change: (json: Json, tensors: Map<string, SafetensorsInput>) => unknown,
): Uint8Array {
  const file = readTree(bytes);
  const tensors = new Map<string, SafetensorsInput>(file.tensors);
  const result = change(file.tree, tensors);
  const text = result instanceof Text ? result.text : JSON.stringify(file.tree);
  return writeSafetensors([...tensors], { splitgate: text });
}

Deno.test("loadModel() refuses hostile metadata and names what is wrong", () => {
  const bytes = saveModel(modelOf({ ...plainCase, numLayers: 2, granularity: "block" }, "8", true));
  const q = (m: Json, i: number) => m.qparams[m.modules[1].cells[1][0][i]];
  const cases: [string, (json: Json, tensors: Map<string, SafetensorsInput>) => unknown][] = [
    ["splitgate: expected JSON", () => new Text("{")],
    ["splitgate: expected an object", () => new Text("[]")],
    ["splitgate: expected an object", () => new Text("null")],
    ["version: expected 2, got 1", (m) => m.version = 1],
    ["version: expected 2, got undefined", (m) => delete m.version],
    ["lstm.engine: expected fbgemm or qnnpack", (m) => m.modules[1].engine = "onednn"],
    ["out.engine: expected fbgemm or qnnpack", (m) => m.modules[2].engine = "x86"],
    ["modules: expected an array", (m) => m.modules = {}],
    ["modules: expected at least one module", (m, t) => (t.clear(), m.modules = [])],
    ["modules[]: expected an object", (m) => m.modules[1] = null],
    ["name: expected a name of its own", (m) => m.modules[1].name = 7],
    ["name: expected a name of its own", (m) => m.modules[1].name = "embedding"],
    ["lstm.type: expected one of ", (m) => m.modules[1].type = "RNN"],
    ["lstm.hiddenSize: expected no such field", (m) => m.modules[1].hiddenSize = 5],
    ["lstm.cells: expected an array", (m) => m.modules[1].cells = 1e9],
    ["lstm.cells: expected at least one layer", (m) => m.modules[1].cells = []],
    [
      "lstm.weight_hh_l2: expected a tensor I8 [20,5]",
      (m) => m.modules[1].cells.push(m.modules[1].cells[0]),
    ],
    ["bytes: expected no other tensors", (m) => m.modules[1].cells.pop()],
    [
      "lstm.cells[0]: expected 1 elements, got 2",
      (m) => m.modules[1].cells[0].push(m.modules[1].cells[0][0]),
    ],
    [
      "lstm.cells[0]: expected 2 elements, got 1",
      (_, t) => t.set("lstm.weight_ih_l0_reverse", { data: new Int8Array(80), shape: [20, 4] }),
    ],
    [
      "lstm.cells[0][0]: expected 22 elements, got 21",
      (_, t) => t.set("lstm.weight_hr_l0", { data: new Int8Array(5), shape: [1, 5] }),
    ],
    ["lstm.splitGates: expected a boolean", (m) => m.modules[1].splitGates = null],
    ["lstm.torchInitialState: expected a boolean", (m) => m.modules[1].torchInitialState = "yes"],
    ["lstm.stateInput: expected an array", (m) => m.modules[1].stateInput = 5],
    ["lstm.stateInput: expected 2 elements, got 1", (m) => m.modules[1].stateInput = [0]],
    ["lstm.stateInput[1]: expected an integer in 0..", (m) => m.modules[1].stateInput = [0, -1]],
    [
      'lstm.gateActivation: expected "sigmoid", "hardSigmoid" or',
      (m) => m.modules[1].gateActivation = "tanh",
    ],
    [
      "lstm.gateActivation.slope: expected a number",
      (m) => m.modules[1].gateActivation = { name: "hardSigmoid", slope: "x", offset: 0 },
    ],
    ['lstm.activation: expected "tanh", "relu"', (m) => m.modules[1].activation = "__proto__"],
    ['lstm.cellActivation: expected "tanh", "relu"', (m) => m.modules[1].cellActivation = {}],
    ["lstm.batchFirst: expected a boolean", (m) => m.modules[1].batchFirst = 0],
    ["lstm.batchFirst: expected a boolean", (m) => delete m.modules[1].batchFirst],
    ["perChannel: expected a boolean", (m) => m.modules[1].perChannel = 0],
    ["lstm.cells[0][0]: expected 21 elements, got 20", (m) => m.modules[1].cells[0][0].pop()],
    ["lstm.cells[1][0][19]: expected an integer in 0..", (m) => m.modules[1].cells[1][0][19] = 100],
    ["lstm.cells[1][0][19]: expected an integer in 0..", (m) => m.modules[1].cells[1][0][19] = -1],
    [
      "lstm.cells[1][0][19]: expected an integer in 0..",
      (m) => m.modules[1].cells[1][0][19] = "length",
    ],
    ["qparams: expected an array", (m) => m.qparams = {}],
    ["qparams[0]: expected an array", (m) => m.qparams[0] = 5],
    [': expected qparams, got "scale:', (m) => q(m, 19)[1] = 0],
    [': expected qparams, got "scale:', (m) => q(m, 19)[1] = -1],
    [': expected qparams, got "scale:', (m) => q(m, 19)[1] = "1"],
    [': expected qparams, got "zeroPoint:', (m) => q(m, 19)[2] = 256],
    [': expected qparams, got "dtype:', (m) => q(m, 19)[0] = 3],
    [': expected qparams, got "dtype:', (m) => q(m, 19)[0] = "length"],
    ["lstm.input: expected an integer in 0..", (m) => m.modules[1].input = null],
    ["modules.out: expected an input of width 5, got 6", (_, t) => {
      t.set("out.weight", { data: new Int8Array(18), shape: [3, 6] });
    }],
    [
      "out.weight: expected a tensor I8 [,]",
      (_, t) => t.set("out.weight", { data: new Int8Array(15), shape: [3, 5, 1] }),
    ],
    [
      "out.weight: expected a tensor I8 [,]",
      (_, t) => t.set("out.weight", { data: new Int8Array(0), shape: [0, 5] }),
    ],
    ["embedding.bits: expected no such field", (m) => m.modules[0].bits = 8],
    [
      'embedding.weight: expected a tensor F32, U16 or U8 [,], got "I8 [5,4]"',
      (_, t) => t.set("embedding.weight", { data: new Int8Array(20), shape: [5, 4] }),
    ],
    [
      "embedding.weight.scale: expected a tensor F32 [4]",
      (_, t) => t.set("embedding.weight", { data: new Uint8Array(16), shape: [4, 4] }),
    ],
    [
      'lstm.weight_hh_l1: expected a tensor I8 [20,5], got "none"',
      (_, t) => t.delete("lstm.weight_hh_l1"),
    ],
    ["lstm.weight_hh_l0: expected a tensor I8", (_, t) => t.delete("lstm.weight_hh_l0")],
    [
      "lstm.weight_hh_l1: expected a tensor I8 [20,5]",
      (_, t) => t.set("lstm.weight_hh_l1", { data: new Int8Array(80), shape: [20, 4] }),
    ],
    ["lstm.bias_ih_l1: expected a tensor F32 [20]", (_, t) => t.delete("lstm.bias_ih_l1")],
    ["bytes: expected no other tensors", (_, t) => t.delete("lstm.bias_ih_l0")],
    [
      "bytes: expected no other tensors",
      (_, t) => t.set("more", { data: new Int8Array(1), shape: [1] }),
    ],
    [
      "lstm.weight_ih_l0.scale: expected a divisor of 20",
      (_, t) => t.set("lstm.weight_ih_l0.scale", { data: new Float32Array(3).fill(1), shape: [3] }),
    ],
    [
      "lstm.weight_ih_l0.scale: expected a tensor F32",
      (_, t) => t.set("lstm.weight_ih_l0.scale", { data: new Float32Array(0), shape: [0] }),
    ],
    [
      "lstm.weight_ih_l0.scale[1]: expected a positive number",
      (_, t) =>
        t.set("lstm.weight_ih_l0.scale", { data: Float32Array.of(1, -1, 1, 1), shape: [4] }),
    ],
    [
      "lstm.weight_ih_l0.scale[1]: expected a finite number",
      (_, t) =>
        t.set("lstm.weight_ih_l0.scale", { data: Float32Array.of(1, Infinity, 1, 1), shape: [4] }),
    ],
    [
      "lstm.weight_ih_l0.zero_point[0]: expected an integer in -128..127",
      (_, t) =>
        t.set("lstm.weight_ih_l0.zero_point", { data: Int32Array.of(128, 0, 0, 0), shape: [4] }),
    ],
    [
      "lstm.bias_ih_l0[19]: expected a finite number",
      (_, t) => t.set("lstm.bias_ih_l0", { data: new Float32Array(20).fill(NaN, 19), shape: [20] }),
    ],
    [
      'lstm.bias_ih_l0: expected a tensor F32 [20], got "I32 [20]"',
      (_, t) => t.set("lstm.bias_ih_l0", { data: new Int32Array(20), shape: [20] }),
    ],
    [
      "modules.embedding: expected an Embedding to read token ids",
      (m) => m.modules.push(m.modules.shift()),
    ],
  ];
  for (const [message, change] of cases) {
    const error = assertThrows(() => loadModel(tampered(bytes, change)), Error, message, message);
    assert(error instanceof RangeError || error instanceof TypeError, `${error}`);
  }
  loadModel(tampered(bytes, () => 0));
});

Deno.test("loadModel() refuses bytes that are no model", () => {
  assertThrows(
    () => loadModel(null as never),
    TypeError,
    "bytes: expected bytes, as an ArrayBuffer",
  );
  assertThrows(() => loadModel(new Uint8Array(4)), RangeError);
  assertThrows(
    () => loadModel(compileModel(modelOf(plainCase, "none", false))),
    RangeError,
    "loadProgram reads a program",
  );
  const page = new TextEncoder().encode("<!doctype html><title>404</title>");
  assertThrows(() => loadModel(page), RangeError, "bytes: expected a safetensors file");
  const other = writeSafetensors([["w", { data: new Float32Array(1), shape: [1] }]], {
    format: "pt",
  });
  assertThrows(
    () => loadModel(other),
    RangeError,
    "bytes: expected what saveModel gave (float weights",
  );
  const bytes = saveModel(modelOf(plainCase, "none", false));
  for (let length = 0; length < bytes.length; length += 97) {
    assertThrows(() => loadModel(bytes.subarray(0, length)), RangeError, ": expected ");
  }
});

Deno.test("loadModel() gives an error that names something, or a model that runs, when bytes are changed", () => {
  const bytes = saveModel(modelOf({ ...plainCase, hiddenSize: 2 }, "none", true));
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.nat(bytes.length - 1), fc.nat(255)), { minLength: 1, maxLength: 3 }),
      (changes) => {
        const changed = bytes.slice();
        for (const [at, value] of changes) changed[at] = value;
        try {
          const session = loadModel(changed).createSession();
          session.step(new Float32Array(4), new Float32Array(3));
        } catch (error) {
          assert(
            (error instanceof RangeError || error instanceof TypeError) &&
              /: expected /.test(error.message),
            `${error}`,
          );
        }
      },
    ),
    { numRuns: 1000 },
  );
});

Deno.test("loadModel() gives each module its engine when they differ", () => {
  const { modules } = modelOf(plainCase, "none", true);
  const out = modules.get("out") as QuantizedLinear;
  const mixed = new Map(
    [...modules, ["out", new QuantizedLinear({ ...out, engine: "qnnpack" })]] as const,
  );
  const loaded = loadModel(saveModel(new QuantizedModel(mixed)));
  assertEquals([...loaded.modules.values()].map((m) => "engine" in m && m.engine), [
    "fbgemm",
    "qnnpack",
  ]);
});
