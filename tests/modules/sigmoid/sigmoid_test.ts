import { assert, assertEquals, assertThrows } from "@std/assert";
import { Linear, perTensorAffine, prepare, Sequential, Sigmoid } from "@splitgate/splitgate";
import {
  BackendConfig,
  FakeQuantize,
  fbgemmBackendConfig,
  FixedQParamsObserver,
  MinMaxObserver,
  qnnpackBackendConfig,
} from "@splitgate/splitgate/qconfig";
import { fbgemmQConfig, qnnpackQConfig } from "../../../src/qconfig/qconfig.ts";
import { sigmoidFloat32 } from "../../../kernels/numeric/float_functions.ts";
import { afterLinear, holdActivation } from "../activations.ts";

holdActivation({
  kind: "Sigmoid",
  make: () => new Sigmoid(),
  float: () => (row) => row.map(sigmoidFloat32),
});

Deno.test("Sigmoid's output has torch's fixed parameters, of the QConfig's dtype and width", () => {
  const of = (args: NonNullable<ConstructorParameters<typeof MinMaxObserver>[0]>) =>
    afterLinear(new Sigmoid(), { ...fbgemmQConfig, activation: MinMaxObserver.withArgs(args) })
      .own.output;
  const eight = perTensorAffine({ dtype: "quint8", scale: 1 / 256, zeroPoint: 0 });
  assertEquals(of({}), eight);
  assertEquals(of({ quantMin: 0, quantMax: 127 }), eight);
  assertEquals(
    of({ dtype: "qint8", quantMin: -64, quantMax: 63 }),
    perTensorAffine({ dtype: "qint8", scale: 1 / 256, zeroPoint: -128 }),
  );
  const wide = { dtype: "qint32", quantMin: -32768, quantMax: 32767 } as const;
  assertEquals(of(wide), perTensorAffine({ ...wide, scale: 2 ** -16, zeroPoint: -32768 }));
  const positive = { dtype: "qint32", quantMin: 0, quantMax: 65535 } as const;
  assertEquals(of(positive), perTensorAffine({ ...positive, scale: 2 ** -16, zeroPoint: 0 }));
});

Deno.test("Sigmoid's output is fake-quantized with its fixed parameters where the QConfig's is", () => {
  const activation = FakeQuantize.withArgs({ observer: MinMaxObserver.withArgs({}) });
  const model = new Sequential({
    linear: new Linear({ inFeatures: 2, outFeatures: 3 }),
    sigmoid: new Sigmoid(),
  });
  const observed = prepare(model, { ...fbgemmQConfig, activation });
  const { output } = observed.modules.get("sigmoid")!;
  assert(output instanceof FakeQuantize && output.observer instanceof FixedQParamsObserver);
});

Deno.test("Sigmoid is held to a target that runs it, or not", () => {
  for (
    const [qconfig, backend] of [
      [fbgemmQConfig, fbgemmBackendConfig],
      [qnnpackQConfig, qnnpackBackendConfig],
    ] as const
  ) {
    assertEquals(afterLinear(new Sigmoid(), qconfig, backend).own.output!.scale, 1 / 256);
  }
  const { linear } = fbgemmBackendConfig.patterns;
  const bare = new BackendConfig("bare", { linear: linear! });
  const expected = "activation: expected what bare runs";
  assertThrows(() => afterLinear(new Sigmoid(), fbgemmQConfig, bare), RangeError, expected);
  const model = new Sequential({
    linear: new Linear({ inFeatures: 2, outFeatures: 3 }),
    sigmoid: new Sigmoid(),
  });
  const options = { backendConfig: bare, onUnsupported: "float" } as const;
  const { unsupported, modules } = prepare(model, fbgemmQConfig, options);
  assertEquals(unsupported.map(({ name, op }) => [name, op]), [["sigmoid", "sigmoid"]]);
  assertEquals(modules.get("sigmoid")!.output, null);
});

Deno.test("new Sigmoid() refuses options", () => {
  // deno-lint-ignore no-explicit-any -- bad on purpose
  assertThrows(() => new Sigmoid({ dim: 1 } as any), TypeError, "dim");
});
