import { assertEquals, assertThrows } from "@std/assert";
import { perTensorAffine, qtensor, tensor, tokens } from "@splitgate/splitgate";

Deno.test("tensor() keeps a Float32Array and copies an array of numbers", () => {
  const data = Float32Array.of(1, 2);
  const numbers = [1, 0.1];
  const shape = [2];
  assertEquals(tensor(data, shape).data === data, true);
  const copied = tensor(numbers, shape);
  numbers[0] = 9;
  shape[0] = 9;
  assertEquals(copied, { data: Float32Array.of(1, 0.1), shape: [2] });
});

Deno.test("tensor(), tokens() and qtensor() refuse what is no such data", () => {
  assertThrows(
    () => tensor(["1", 2] as never, [2]),
    TypeError,
    'data[0]: expected a number, got "1"',
  );
  assertThrows(
    () => tensor([1, null] as never, [2]),
    TypeError,
    "data[1]: expected a number, got null",
  );
  assertThrows(
    () => tensor(new Float64Array(2) as never, [2]),
    TypeError,
    "data: expected a Float32Array",
  );
  assertThrows(
    () => tensor([1, 2], [3]),
    RangeError,
    "data: expected 3 elements for shape [3], got 2",
  );
  assertThrows(() => tensor([1, 2], [-2]), RangeError, "shape[0]");
  assertThrows(() => tensor([1, 2], 2 as never), TypeError, "shape: expected an array");
  assertThrows(() => tokens([1.5], [1]), RangeError, "data[0]: expected an integer");
  assertThrows(
    () => tokens(Float32Array.of(1) as never, [1]),
    TypeError,
    "data: expected an Int32Array",
  );
  const qparams = perTensorAffine({ dtype: "quint8", scale: 1, zeroPoint: 0 });
  assertThrows(
    () => qtensor(new Int8Array(1), [1], qparams),
    TypeError,
    "data: expected an array of quint8",
  );
  assertThrows(
    () => qtensor(new Uint8Array(2), [1], qparams),
    RangeError,
    "data: expected 1 elements",
  );
  assertThrows(
    () => qtensor(new Uint8Array(1), [1], undefined as never),
    TypeError,
    "qparams: expected quantization",
  );
});
