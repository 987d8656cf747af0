import { assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { Generator, LSTM, tensor } from "@splitgate/splitgate";
import { LSTMCell } from "../../../src/modules/lstm/float_cell.ts";
import { random, seeds, sizes } from "../random.ts";

Deno.test("LSTMCell.forward() has the bits of one step of an LSTM with the same weights", () => {
  fc.assert(fc.property(
    fc.record({
      inputSize: sizes,
      hiddenSize: sizes,
      bias: fc.boolean(),
      batch: fc.integer({ min: 1, max: 3 }),
      given: fc.boolean(),
      seed: seeds,
    }),
    ({ inputSize, hiddenSize, bias, batch, given, seed }) => {
      const cell = new LSTMCell({ inputSize, hiddenSize, bias, seed });
      const lstm = new LSTM({ inputSize, hiddenSize, bias, seed });
      const generator = new Generator(seed);
      const x = random(generator, [batch, inputSize]);
      const h = random(generator, [batch, hiddenSize]), c = random(generator, [batch, hiddenSize]);
      const [hNext, cNext] = cell.forward(x, given ? [h, c] : undefined);
      const lift = (t: { data: Float32Array; shape: readonly number[] }) =>
        tensor(t.data, [1, ...t.shape]);
      const [, [hLstm, cLstm]] = lstm.forward(lift(x), given ? [lift(h), lift(c)] : undefined);
      assertEquals([lift(hNext), lift(cNext)], [hLstm, cLstm]);

      const row = (t: { data: Float32Array }, width: number) =>
        tensor(t.data.slice(0, width), [width]);
      assertEquals(
        cell.forward(
          row(x, inputSize),
          given ? [row(h, hiddenSize), row(c, hiddenSize)] : undefined,
        ),
        [row(hNext, hiddenSize), row(cNext, hiddenSize)],
      );
    },
  ));
});

Deno.test("new LSTMCell() refuses bad options", () => {
  // deno-lint-ignore no-explicit-any -- bad on purpose
  const bad = (options: any) => () => new LSTMCell(options);
  assertThrows(bad({ inputSize: 1 }), TypeError, "hiddenSize");
  assertThrows(bad({ inputSize: 0, hiddenSize: 1 }), RangeError, "inputSize");
  assertThrows(bad({ inputSize: 1, hiddenSize: 1, projSize: 1 }), TypeError, 'got "projSize"');
  assertThrows(bad({ inputSize: 1, hiddenSize: 1, bias: 0 }), TypeError, "bias");
  assertThrows(bad({ inputSize: 1, hiddenSize: 1, seed: 2 ** 32 }), RangeError, "seed");
});

Deno.test("LSTMCell.forward() refuses what does not fit, naming it, and leaves the state as it was", () => {
  const cell = new LSTMCell({ inputSize: 2, hiddenSize: 3 });
  const h = tensor([1, 2, 3], [1, 3]);
  const c = tensor([4, 5, 6], [1, 3]);
  // deno-lint-ignore no-explicit-any -- bad on purpose
  const call = (...args: any[]) => () => cell.forward(...args as [any]);
  assertThrows(
    call(tensor([1, 2, 3], [1, 3])),
    RangeError,
    "x.shape: expected [batch, 2] or [2], got [1, 3]",
  );
  assertThrows(call(tensor([1, 2], [1, 1, 2])), RangeError, "x.shape");
  assertThrows(call(tensor([1], [])), RangeError, "x.shape");
  assertThrows(call(tensor([], [0, 2])), RangeError, "x.shape");
  assertThrows(call(tensor([1, NaN], [1, 2])), RangeError, "x.data[1]");
  assertThrows(call(tensor([1, 2], [1, 2]), h), TypeError, "state");
  assertThrows(
    call(tensor([1, 2], [2]), [h, c]),
    RangeError,
    "state[0].shape: expected [3], got [1, 3]",
  );
  assertThrows(
    call(tensor([1, 2], [1, 2]), [h, tensor([4, 5], [1, 2])]),
    RangeError,
    "state[1].shape",
  );
  assertEquals([...h.data, ...c.data], [1, 2, 3, 4, 5, 6]);
});
