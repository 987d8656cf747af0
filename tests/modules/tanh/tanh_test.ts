import { assertEquals, assertThrows } from "@std/assert";
import { perTensorAffine, Tanh } from "@splitgate/splitgate";
import { MinMaxObserver } from "@splitgate/splitgate/qconfig";
import { tanhFloat32 } from "../../../kernels/numeric/float_functions.ts";
import { fbgemmQConfig } from "../../../src/qconfig/qconfig.ts";
import { afterLinear, holdActivation } from "../activations.ts";

holdActivation({
  kind: "Tanh",
  make: () => new Tanh(),
  float: () => (row) => row.map(tanhFloat32),
});

Deno.test("Tanh's output has torch's fixed parameters, of the QConfig's dtype and width", () => {
  const of = (args: NonNullable<ConstructorParameters<typeof MinMaxObserver>[0]>) =>
    afterLinear(new Tanh(), { ...fbgemmQConfig, activation: MinMaxObserver.withArgs(args) })
      .own.output;
  assertEquals(of({}), perTensorAffine({ dtype: "quint8", scale: 2 / 256, zeroPoint: 128 }));
  const signed = perTensorAffine({ dtype: "qint8", scale: 2 / 256, zeroPoint: 0 });
  assertEquals(of({ dtype: "qint8", quantMin: -64, quantMax: 63 }), signed);
  const wide = { dtype: "qint32", quantMin: -32768, quantMax: 32767 } as const;
  assertEquals(of(wide), perTensorAffine({ ...wide, scale: 2 ** -15, zeroPoint: 0 }));
  const positive = { dtype: "qint32", quantMin: 0, quantMax: 65535 } as const;
  assertEquals(of(positive), perTensorAffine({ ...positive, scale: 2 ** -15, zeroPoint: 32768 }));
});

Deno.test("new Tanh() refuses options", () => {
  // deno-lint-ignore no-explicit-any -- bad on purpose
  assertThrows(() => new Tanh({ dim: 1 } as any), TypeError, "dim");
});
