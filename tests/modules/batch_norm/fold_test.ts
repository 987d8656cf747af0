import { assert, assertAlmostEquals, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import {
  BatchNorm1d,
  convert,
  Dropout,
  Generator,
  getPreset,
  Graph,
  LayerNorm,
  Linear,
  LinearReLU,
  LSTM,
  type Module,
  prepare,
  PRESET_NAMES,
  QConfigMapping,
  quantizeDynamic,
  ReLU,
  Sequential,
  tensor,
} from "@splitgate/splitgate";
import { BackendConfig, fbgemmBackendConfig } from "@splitgate/splitgate/qconfig";
import { foldBatchNorm } from "../../../kernels/ops/normalize.ts";
import type { ObservedLinear } from "../../../src/modules/linear/observed.ts";
import type { QuantizedLinear } from "../../../src/modules/linear/quantized.ts";
import { random, seeds, sizes } from "../../../src/testing/float_lstms.ts";

const qconfig = getPreset("fbgemm");

/** A module whose numbers are drawn. */
function batchNormOf(generator: Generator, numFeatures: number, affine = true): BatchNorm1d {
  const norm = new BatchNorm1d({ numFeatures, affine });
  for (const { data } of norm.stateDict().values()) generator.uniform(data, -2, 2);
  generator.uniform(norm.runningVar, 0.01, 3);
  return norm;
}

/** Names of the modules that are observed, with their kinds. */
function preparedKinds(model: Module): Record<string, string> {
  const { modules } = prepare(model, qconfig);
  return Object.fromEntries([...modules].map(([name, { kind }]) => [name, kind]));
}

Deno.test("prepare() folds a BatchNorm1d into the Linear before it, to the last bit of foldBatchNorm()", () => {
  let largest = 0;
  fc.assert(fc.property(
    fc.record({ inFeatures: sizes, outFeatures: sizes, bias: fc.boolean(), affine: fc.boolean() }),
    seeds,
    ({ inFeatures, outFeatures, bias, affine }, seed) => {
      const generator = new Generator(seed);
      const linear = new Linear({ inFeatures, outFeatures, bias, seed: generator });
      const norm = batchNormOf(generator, outFeatures, affine);
      const before = structuredClone([...linear.stateDict(), ...norm.stateDict()]);
      const model = new Sequential({ linear, norm });
      const observed = prepare(model, qconfig);
      assertEquals([...observed.modules.keys()], ["linear"]);
      const { linear: folded } = observed.modules.get("linear") as ObservedLinear;
      const expected = foldBatchNorm("linear", linear.weight, linear.bias, norm);
      assertEquals([folded.weight, folded.bias], [expected.weight, expected.bias]);
      // The model that was given stays as it was.
      assertEquals([...linear.stateDict(), ...norm.stateDict()], before);
      const x = random(generator, [4, inFeatures]);
      const unfolded = model.forward(x).data;
      observed.forward(x).data.forEach((y, i) => {
        // Both round products of values up to 2 * 10 * 2; the mean cancels some of their bits.
        largest = Math.max(largest, Math.abs(y - unfolded[i]!));
      });
    },
  ));
  assert(largest > 0 && largest < 1e-4, `${largest}`);
});

Deno.test("BatchNorm1d is folded across the edges of models in models, several of them one after the other", () => {
  const seed = new Generator(3);
  const inner = new Sequential({
    linear: new Linear({ inFeatures: 2, outFeatures: 3, seed }),
  });
  const model = new Sequential({
    inner,
    norm: batchNormOf(seed, 3),
    again: batchNormOf(seed, 3),
    out: new Linear({ inFeatures: 3, outFeatures: 1, seed }),
  });
  const observed = prepare(model, qconfig);
  assertEquals([...observed.modules.keys()], ["inner.linear", "out"]);
  const x = random(seed, [5, 2]);
  const expected = model.forward(x).data;
  observed.forward(x).data.forEach((y, i) => assertAlmostEquals(y, expected[i]!, 1e-4));
});

Deno.test("BatchNorm1d stands alone where the Linear's own output is read, relu'd or given, and where there is none", () => {
  const linear = { module: new Linear({ inFeatures: 2, outFeatures: 3 }) };
  const norm = { module: new BatchNorm1d({ numFeatures: 3 }) };
  const out = { module: new Linear({ inFeatures: 3, outFeatures: 1 }) };
  assertEquals(
    preparedKinds(
      new Graph(
        { linear, norm: { ...norm, inputs: "linear" }, out: { ...out, inputs: "linear" } },
        {
          outputs: ["norm", "out"],
        },
      ),
    ),
    { linear: "Linear", norm: "BatchNorm1d", out: "Linear" },
  );
  assertEquals(preparedKinds(new Graph({ linear, norm }, { outputs: ["linear", "norm"] })), {
    linear: "Linear",
    norm: "BatchNorm1d",
  });
  const relu = new LinearReLU({ inFeatures: 2, outFeatures: 3 });
  assertEquals(preparedKinds(new Sequential({ relu, norm: norm.module })), {
    relu: "Linear",
    norm: "BatchNorm1d",
  });
  const lstm = new LSTM({ inputSize: 2, hiddenSize: 3 });
  assertEquals(preparedKinds(new Sequential({ lstm, norm: norm.module })), {
    lstm: "LSTM",
    norm: "BatchNorm1d",
  });
  assertEquals(preparedKinds(norm.module), { batchnorm1d: "BatchNorm1d" });
});

Deno.test("Linear, BatchNorm1d and ReLU become one Linear with ReLU, whatever is left out between them", () => {
  fc.assert(fc.property(
    fc.record({ inFeatures: sizes, outFeatures: sizes, bias: fc.boolean(), between: fc.boolean() }),
    seeds,
    ({ inFeatures, outFeatures, bias, between }, seed) => {
      const generator = new Generator(seed);
      const linear = new Linear({ inFeatures, outFeatures, bias, seed: generator });
      const norm = batchNormOf(generator, outFeatures);
      const left = (name: string): Record<string, Module> =>
        between ? { [name]: new Dropout({ p: 0.5 }) } : {};
      const observed = prepare(
        new Sequential({ linear, ...left("a"), norm, ...left("b"), relu: new ReLU() }),
        qconfig,
      );
      assertEquals([...observed.modules.keys()], ["linear"]);
      const { linear: fused } = observed.modules.get("linear") as ObservedLinear;
      const expected = foldBatchNorm("linear", linear.weight, linear.bias, norm);
      assert(fused instanceof LinearReLU);
      assertEquals([fused.weight, fused.bias], [expected.weight, expected.bias]);
      observed.forward(random(generator, [4, inFeatures]));
      const quantized = convert(observed).modules.get("linear") as QuantizedLinear;
      assert(quantized.relu);
    },
  ));
  // A BatchNorm1d after the ReLU is not folded.
  const seed = new Generator(1);
  const linear = new Linear({ inFeatures: 2, outFeatures: 3 });
  const norm = batchNormOf(seed, 3);
  assertEquals(
    [...prepare(new Sequential({ linear, relu: new ReLU(), norm }), qconfig).modules.keys()],
    ["linear", "norm"],
  );
});

Deno.test("A BatchNorm1d that is an output keeps its name when it is folded", () => {
  const linear = { module: new Linear({ inFeatures: 2, outFeatures: 3 }) };
  const norm = { module: batchNormOf(new Generator(1), 3) };
  const other = { module: new Linear({ inFeatures: 2, outFeatures: 1 }), inputs: "input" };
  const model = new Graph({ linear, norm, other }, { outputs: ["norm", "other"] });
  const observed = prepare(model, qconfig);
  const x = tensor([1, 2, -3, 0.5], [2, 2]);
  const [y, z] = observed.run(x).values();
  assertEquals([...observed.run(x).keys()], ["norm", "other"]);
  model.run(x).get("norm")!.data.forEach((value, i) => {
    assertAlmostEquals(y!.data[i]!, value, 1e-5);
  });
  assertEquals(z, model.run(x).get("other"));
  assertEquals([...convert(observed).outputs].map(({ name }) => name), ["norm", "other"]);
});

Deno.test("prepare() names a BatchNorm1d that has no variance, or whose folded weights overflow", () => {
  const linear = new Linear({ inFeatures: 2, outFeatures: 3 });
  const norm = new BatchNorm1d({ numFeatures: 3, eps: 0 });
  const model = new Sequential({ linear, norm });
  norm.runningVar[1] = 0;
  const hint = "a batch-norm without variance";
  assertThrows(() => prepare(model, qconfig), RangeError, `modules.norm.running_var[1]`);
  assertThrows(() => prepare(model, qconfig), RangeError, hint);
  norm.runningVar.fill(1);
  norm.weight!.fill(3e38);
  linear.weight.fill(2);
  assertThrows(() => prepare(model, qconfig), RangeError, "modules.norm: folded weight");
});

/** Linear, BatchNorm1d after a ReLU, LayerNorm, Linear. */
function mixed(seed: Generator): Sequential {
  const layer = new LayerNorm({ normalizedShape: 4 });
  for (const { data } of layer.stateDict().values()) seed.uniform(data, -2, 2);
  return new Sequential({
    linear: new LinearReLU({ inFeatures: 3, outFeatures: 4, seed }),
    norm: batchNormOf(seed, 4),
    layer,
    out: new Linear({ inFeatures: 4, outFeatures: 2, seed }),
  });
}

Deno.test("prepare() and convert() quantize BatchNorm1d and LayerNorm under every preset, near to the float model", () => {
  for (const name of PRESET_NAMES) {
    const seed = new Generator(11);
    const model = mixed(seed);
    const observed = prepare(model, getPreset(name));
    const x = random(seed, [20, 3]);
    const y = observed.forward(x).data;
    // No observer has changed the float model.
    assertEquals(y, model.forward(x).data);
    const quantized = convert(observed);
    const integers = new Float32Array(y.length);
    quantized.createSession().run(x.data, integers);
    const rms = (values: Float32Array) =>
      Math.sqrt(values.reduce((sum, value) => sum + value * value, 0) / values.length);
    const noise = rms(integers.map((value, i) => value - y[i]!)) / rms(y);
    assert(noise < 0.1, `${name}: ${noise}`);
  }
});

Deno.test("BatchNorm1d and LayerNorm stay float32 without a QConfig, behind float32, and under dynamic QConfigs", () => {
  const x = random(new Generator(5), [6, 3]);
  const model = mixed(new Generator(4));
  const without = new QConfigMapping().setGlobal(qconfig)
    .setModuleName("norm", null)
    .setModuleName("layer", null);
  const observed = prepare(model, without);
  observed.forward(x);
  const { modules } = convert(observed);
  for (const name of ["norm", "layer"]) {
    const { input, output } = modules.get(name) as unknown as Record<string, unknown>;
    assertEquals([input, output], [null, null]);
  }
  const dynamic = quantizeDynamic(model);
  assertEquals(dynamic.output, null);
  const y = new Float32Array(12);
  dynamic.createSession({ batch: 6 }).step(x.data, y);
  assert(y.every(Number.isFinite));
  const alone = convert(prepare(new LayerNorm({ normalizedShape: 3 }), qconfig));
  assertEquals([alone.input, alone.output], [null, null]);
});

Deno.test("BatchNorm1d and LayerNorm are held to a target, by name", () => {
  const model = mixed(new Generator(4));
  const { linear, batch_norm } = fbgemmBackendConfig.patterns;
  // Modules after one that stays float32 are not checked.
  for (
    const [patterns, name, op] of [
      [{ linear: linear! }, "norm", "batch_norm"],
      [{ linear: linear!, batch_norm: batch_norm! }, "layer", "layer_norm"],
    ] as const
  ) {
    const backendConfig = new BackendConfig("plain", patterns);
    assertThrows(
      () => prepare(model, qconfig, { backendConfig }),
      RangeError,
      `${name}: expected what plain runs`,
    );
    const { unsupported } = prepare(model, qconfig, { backendConfig, onUnsupported: "float" });
    assertEquals(unsupported.map((each) => [each.name, each.op]), [[name, op]]);
  }
  assertEquals(prepare(model, qconfig, { backendConfig: fbgemmBackendConfig }).unsupported, []);
});
