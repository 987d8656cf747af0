import { assertEquals, assertThrows } from "@std/assert";
import {
  Embedding,
  Generator,
  Linear,
  LSTM,
  type Module,
  Sequential,
  tensor,
  tokens,
} from "@splitgate/splitgate";

function parts(seed = new Generator(5)) {
  const embedding = new Embedding({ numEmbeddings: 10, embeddingDim: 4, seed });
  const lstm = new LSTM({ inputSize: 4, hiddenSize: 3, bidirectional: true, seed });
  const out = new Linear({ inFeatures: 6, outFeatures: 2, seed });
  return { embedding, lstm, out };
}

Deno.test("Sequential.forward() passes each child's output on, of an LSTM the output only", () => {
  const { embedding, lstm, out } = parts();
  const x = tokens([1, 9, 0, 4, 4, 2], [3, 2]);
  const expected = out.forward(lstm.forward(embedding.forward(x))[0]);
  assertEquals(new Sequential({ embedding, lstm, out }).forward(x), expected);
  assertEquals(
    new Sequential({ body: new Sequential({ embedding, lstm }), out }).forward(x),
    expected,
  );
});

Deno.test("Sequential.stateDict() prefixes the children's names when nested", () => {
  const { embedding, lstm, out } = parts();
  const model = new Sequential({ body: new Sequential({ embedding, lstm }), out });
  assertEquals([...model.stateDict().keys()], [
    "body.embedding.weight",
    ...[...lstm.stateDict().keys()].map((name) => `body.lstm.${name}`),
    "out.weight",
    "out.bias",
  ]);
});

Deno.test("new Sequential() refuses children that are no modules, badly named or do not fit", () => {
  const { embedding, lstm, out } = parts();
  // deno-lint-ignore no-explicit-any -- bad on purpose
  const bad = (children: any) => () => new Sequential(children);
  assertThrows(bad(null), TypeError, "children: expected an object of modules, got null");
  assertThrows(bad({}), RangeError, "children: expected at least one module");
  assertThrows(
    bad({ out: {} }),
    TypeError,
    "children.out: expected a module: Graph, Sequential, ",
  );
  assertThrows(bad({ embedding, out: null }), TypeError, "children.out");
  assertThrows(bad({ "a.b": out }), RangeError, 'got "a.b"');
  assertThrows(bad({ "": out }), RangeError, "children");
  assertThrows(
    bad({ embedding, out }),
    RangeError,
    "children.out: expected a module that takes the width 4",
  );
  assertThrows(
    bad({ lstm, embedding }),
    RangeError,
    "children.embedding: expected a module that takes the width 6",
  );
  assertThrows(bad({ embedding, inner: new Sequential({ out }) }), RangeError, "children.inner");
});

Deno.test("Sequential.forward() refuses what its first child refuses", () => {
  const model = new Sequential(parts() as Record<string, Module>);
  assertThrows(() => model.forward(tensor([1], [1])), TypeError, "x.data");
  assertThrows(() => model.forward(tokens([10], [1, 1])), RangeError, "x.data[0]");
});
