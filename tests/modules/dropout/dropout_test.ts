import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import {
  convert,
  Dropout,
  Graph,
  Identity,
  Linear,
  LSTM,
  type Module,
  prepare,
  saveModel,
  Sequential,
  tensor,
} from "@splitgate/splitgate";
import { fbgemmQConfig } from "../../../src/qconfig/qconfig.ts";
import { dropoutKind } from "../../../src/modules/dropout/kind.ts";
import { identityKind } from "../../../src/modules/identity/kind.ts";
import type { QuantizedActivation } from "../../../src/modules/activation.ts";
import type { PointwiseDetails } from "../../../src/modules/pointwise.ts";
import { floatsOf } from "../../../src/testing/random.ts";

/** LSTM, Linear, LSTM, Linear, perhaps with Dropout or Identity at any place. */
function modelWith(places: readonly number[], seed: number): Sequential {
  const children: Record<string, Module> = {};
  for (let i = 0; i <= 4; i++) {
    for (let k = 0; k < (places[i] ?? 0); k++) {
      children[`nothing${i}${k}`] = k % 2 === 0 ? new Dropout({ p: 0.3 }) : new Identity();
    }
    if (i === 4) break;
    children[`m${i}`] = i % 2 === 0
      ? new LSTM({ inputSize: 3, hiddenSize: 3, seed })
      : new Linear({ inFeatures: 3, outFeatures: 3, seed });
  }
  return new Sequential(children);
}

Deno.test("a model with Dropout and Identity at any place becomes the same file as one without", () => {
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 0, max: 2 }), { minLength: 5, maxLength: 5 }),
      fc.integer({ min: 0, max: 1000 }),
      (places, seed) => {
        const x = tensor(floatsOf(seed, [12], 2).data, [4, 1, 3]);
        const [plain, other] = [[], places].map((each) => {
          const model = modelWith(each, seed);
          const observed = prepare(model, fbgemmQConfig);
          assertEquals(observed.forward(x), model.forward(x));
          assertEquals([...observed.modules.keys()], ["m0", "m1", "m2", "m3"]);
          return convert(observed);
        });
        assertEquals(other!.fingerprint, plain!.fingerprint);
        // A last one leaves its name to the output.
        assertEquals(places[4]! > 0, other!.outputs[0]!.name !== "m3");
        if (places[4] === 0) assertEquals(saveModel(other!), saveModel(plain!));
      },
    ),
    { numRuns: 20 },
  );
});

Deno.test("outputs that are a Dropout keep their names; one that would be the input is refused", () => {
  const linear = { module: new Linear({ inFeatures: 2, outFeatures: 2 }) };
  const x = tensor([1, 2], [1, 2]);
  const named = new Graph({
    linear,
    a: { module: new Dropout(), inputs: "linear" },
    b: { module: new Identity(), inputs: "linear" },
  }, { outputs: ["a", "b"] });
  const observed = prepare(named, fbgemmQConfig);
  assertEquals(observed.run(x), named.run(x));
  const model = convert(observed);
  const a = new Float32Array(2);
  const b = new Float32Array(2);
  model.createSession().step(x.data, { a, b });
  assert(a.some((value) => value !== 0));
  assertEquals(a, b);
  const bare = new Graph({ linear, a: { module: new Dropout(), inputs: "input" } }, {
    outputs: ["linear", "a"],
  });
  assertThrows(() => prepare(bare, fbgemmQConfig), RangeError, "modules.a: expected a model that");
});

Deno.test("the kinds Dropout and Identity answer as functions that change nothing, in every form", () => {
  for (const [kind, module] of [[dropoutKind, new Dropout()], [identityKind, new Identity()]]) {
    const own = kind as typeof identityKind;
    const observed = own.observe(module as Identity, {
      name: "nothing",
      qconfig: fbgemmQConfig,
      inputs: [fbgemmQConfig.activation()],
      sizes: [2],
      tableRows: null,
      tableRounded: false,
      splitGates: false,
      fit: null,
    });
    const input = {
      dtype: "quint8",
      scale: 0.5,
      zeroPoint: 3,
      quantMin: 0,
      quantMax: 255,
    } as const;
    const context = { name: "nothing", given: [input], input, inputWeights: [] };
    const quantized = own.convert(observed, context) as QuantizedActivation<PointwiseDetails>;
    const x = { data: Uint8Array.of(0, 255), shape: [1, 2], qparams: input };
    assertEquals(quantized.forward(x), x);
    assertEquals(own.ends(quantized).output, { size: 2, qparams: input });
  }
});

Deno.test("new Dropout() and new Identity() refuse bad options", () => {
  // deno-lint-ignore no-explicit-any -- bad on purpose
  const bad = (options: any) => () => new Dropout(options);
  assertThrows(bad({ p: 1.5 }), RangeError, "p: expected a number in 0..1, got 1.5");
  assertThrows(bad({ p: "half" }), TypeError, "p: expected a number");
  assertThrows(bad({ rate: 0.5 }), TypeError, "rate");
  // deno-lint-ignore no-explicit-any -- bad on purpose
  assertThrows(() => new Identity({ p: 1 } as any), TypeError, "p");
});
