import { assertEquals, assertNotEquals, assertThrows } from "@std/assert";
import {
  Embedding,
  Generator,
  Linear,
  LSTM,
  Sequential,
  type Tensor,
  tensor,
} from "@splitgate/splitgate";
import { parseSafetensors } from "../../src/io/safetensors.ts";
import { writeSafetensors } from "../../src/io/safetensors_write.ts";

function model(seed: number) {
  const generator = new Generator(seed);
  return new Sequential({
    embedding: new Embedding({ numEmbeddings: 5, embeddingDim: 3, seed: generator }),
    lstm: new LSTM({
      inputSize: 3,
      hiddenSize: 4,
      numLayers: 2,
      bidirectional: true,
      projSize: 2,
      seed: generator,
    }),
    out: new Linear({ inFeatures: 4, outFeatures: 2, seed: generator }),
  });
}

Deno.test("Module.loadStateDict() takes a safetensors file of the state dict", () => {
  const source = model(1);
  const target = model(2);
  assertNotEquals(source.stateDict(), target.stateDict());
  const { tensors } = parseSafetensors(writeSafetensors(
    [...source.stateDict()].map((
      [name, { data, shape }],
    ) => [name, { data: data as Float32Array, shape }]),
  ));
  target.loadStateDict(tensors);
  assertEquals(target.stateDict(), source.stateDict());
});

Deno.test("Module.loadStateDict() copies, and may be given the module's own memory", () => {
  const lstm = new LSTM({ inputSize: 2, hiddenSize: 2 });
  const before = structuredClone(lstm.stateDict());
  const own = lstm.stateDict();
  lstm.loadStateDict(
    own.set("weight_ih_l0", own.get("weight_hh_l0")!).set(
      "weight_hh_l0",
      lstm.stateDict().get("weight_ih_l0")!,
    ),
  );
  assertEquals(lstm.stateDict().get("weight_ih_l0")!.data, before.get("weight_hh_l0")!.data);
  assertEquals(lstm.stateDict().get("weight_hh_l0")!.data, before.get("weight_ih_l0")!.data);
  const given = new Map(structuredClone(before));
  lstm.loadStateDict(given);
  given.get("bias_ih_l0")!.data.fill(9);
  assertEquals(lstm.stateDict(), before);
});

/** The error of loading a changed state dict, after showing that nothing was loaded. */
function fault(
  kind: typeof RangeError | typeof TypeError,
  change: (tensors: Map<unknown, unknown>) => void,
): string {
  const module = model(1);
  const before = structuredClone(module.stateDict());
  const tensors = new Map<unknown, unknown>(structuredClone(model(2).stateDict()));
  change(tensors);
  const { message } = assertThrows(
    () => module.loadStateDict(tensors as Map<string, Tensor>),
    kind,
  );
  assertEquals(module.stateDict(), before);
  return message;
}

Deno.test("Module.loadStateDict() names every missing, unexpected, wrongly shaped or non-finite tensor at once", () => {
  const message = fault(RangeError, (tensors) => {
    tensors.delete("embedding.weight");
    tensors.delete("lstm.weight_hr_l1_reverse");
    tensors.set("lstm.weight_ih_l2", tensor([1], [1]));
    tensors.set("out.weight", tensor(new Float32Array(8), [4, 2]));
    tensors.set("out.bias", tensor([1, NaN], [2]));
    tensors.set("lstm.bias_ih_l0", tensor(new Float32Array(16), [16, 1]));
    tensors.set("lstm.bias_hh_l0", { data: new Float32Array(15), shape: [16] });
  });
  assertEquals(
    message,
    "tensors: expected the state dict of this Sequential, got " + [
      'missing "embedding.weight" [5, 3]',
      'missing "lstm.weight_hr_l1_reverse" [2, 4]',
      '"lstm.bias_ih_l0" has shape [16, 1], expected [16]',
      '"lstm.bias_hh_l0" has 15 elements, expected 16 for [16]',
      '"out.weight" has shape [4, 2], expected [2, 4]',
      '"out.bias" holds NaN at 1, expected finite numbers',
      'unexpected "lstm.weight_ih_l2"',
    ].join("; "),
  );
});

Deno.test("Module.loadStateDict() refuses tensors that are not F32, and keys that are no strings", () => {
  const F32 = '"out.bias" is not a tensor of F32 [2]';
  for (
    const entry of [null, undefined, 7, { data: Int8Array.of(1, 2), shape: [2] }, {
      data: [1, 2],
      shape: [2],
    }]
  ) {
    assertEquals(
      fault(TypeError, (tensors) => tensors.set("out.bias", entry)).split("got ")[1],
      F32,
    );
  }
  assertEquals(
    fault(
      TypeError,
      (tensors) => tensors.set("out.bias", { data: Float32Array.of(1, 2), shape: 2 }),
    ).split("got ")[1],
    F32,
  );
  const keys = fault(
    RangeError,
    (tensors) => tensors.set(3, tensor([1], [1])).set(Symbol(), null).set("3", null),
  );
  assertEquals(
    keys.split("got ")[1],
    'unexpected a key of type number; unexpected a key of type symbol; unexpected "3"',
  );
});

Deno.test("Module.loadStateDict() refuses what is no Map", () => {
  // deno-lint-ignore no-explicit-any -- bad on purpose
  const load = (tensors: any) => () =>
    new Linear({ inFeatures: 1, outFeatures: 1 }).loadStateDict(tensors);
  assertThrows(load(undefined), TypeError, "tensors: expected a Map of tensors, got undefined");
  assertThrows(
    load({ weight: tensor([1], [1, 1]) }),
    TypeError,
    "tensors: expected a Map of tensors",
  );
});
