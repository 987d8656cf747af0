// Every dtype of safetensors: how it is read, and its conversion to float32.
import { assert, assertEquals, assertThrows } from "@std/assert";
import { type AnyTensor, floatTensors, parseSafetensors } from "@splitgate/splitgate/safetensors";
import { writeSafetensors } from "../../src/io/safetensors_write.ts";

/** A file of one tensor, `t`. */
function fileOf(dtype: string, shape: number[], bytes: Uint8Array): Uint8Array {
  const entry = { dtype, shape, data_offsets: [0, bytes.length] };
  const header = new TextEncoder().encode(JSON.stringify({ t: entry }));
  const file = new Uint8Array(8 + header.length + bytes.length);
  new DataView(file.buffer).setUint32(0, header.length, true);
  file.set(header, 8);
  file.set(bytes, 8 + header.length);
  return file;
}

/** The number for given bits by the definition of IEEE 754, in float64. */
function numberOf(bits: number, exponentBits: number, mantissaBits: number, finite: boolean) {
  const sign = bits >> exponentBits + mantissaBits ? -1 : 1;
  const top = 2 ** exponentBits - 1;
  const exponent = (bits >> mantissaBits) & top;
  const fraction = (bits % 2 ** mantissaBits) / 2 ** mantissaBits;
  const bias = 2 ** (exponentBits - 1) - 1;
  if (exponent === top && !finite) return fraction === 0 ? sign * Infinity : NaN;
  if (exponent === top && fraction === 1 - 2 ** -mantissaBits) return NaN;
  return exponent === 0
    ? sign * fraction * 2 ** (1 - bias)
    : sign * (1 + fraction) * 2 ** (exponent - bias);
}

const SMALL = [
  { dtype: "F16", exponent: 5, mantissa: 10, finite: false },
  { dtype: "BF16", exponent: 8, mantissa: 7, finite: false },
  { dtype: "F8_E5M2", exponent: 5, mantissa: 2, finite: false },
  { dtype: "F8_E4M3", exponent: 4, mantissa: 3, finite: true },
];

for (const { dtype, exponent, mantissa, finite } of SMALL) {
  Deno.test(`every value of ${dtype} is read as the same number in float32`, () => {
    const bits = 1 + exponent + mantissa;
    const count = 2 ** bits;
    const codes = bits === 16
      ? Uint16Array.from({ length: count }, (_, i) => i)
      : Uint8Array.from({ length: count }, (_, i) => i);
    const file = fileOf(dtype, [count], new Uint8Array(codes.buffer));
    const entry = parseSafetensors(file).tensors.get("t")!;
    assertEquals([entry.dtype, entry.shape], [dtype, [count]]);
    const { data } = entry;
    assert(data instanceof Float32Array);
    for (let i = 0; i < count; i++) {
      const expected = numberOf(i, exponent, mantissa, finite);
      assert(Object.is(data[i], expected), `${i}: ${data[i]}, not ${expected}`);
    }
    assert(entry.data === data, "the second read gives the same array");
    assertEquals(floatTensors(new Map([["t", entry]])).notes, []);
  });
}

Deno.test("floatTensors() rounds each dtype to float32, and says how many values changed", () => {
  const cases: [string, AnyTensor["data"], number[], number][] = [
    [
      "F64",
      Float64Array.of(0.5, 0.1, 1e300, NaN, -0),
      [0.5, Math.fround(0.1), Infinity, NaN, -0],
      2,
    ],
    ["I64", BigInt64Array.of(-7n, 16777217n), [-7, 16777216], 1],
    ["U64", BigUint64Array.of(2n ** 64n - 1n, 3n), [2 ** 64, 3], 1],
    ["I32", Int32Array.of(-5, 2147483647), [-5, 2147483648], 1],
    ["U32", Uint32Array.of(4294967295, 1), [4294967296, 1], 1],
    ["U16", Uint16Array.of(65535), [65535], 0],
    ["I8", Int8Array.of(-128), [-128], 0],
  ];
  for (const [dtype, data, expected, changed] of cases) {
    const file = writeSafetensors([["t", { data, shape: [data.length] }]]);
    const { tensors } = parseSafetensors(file);
    assertEquals(tensors.get("t"), { dtype, shape: [data.length], data });
    const float = floatTensors(tensors);
    assertEquals(float.tensors.get("t")!.data, Float32Array.from(expected));
    assertEquals(
      float.notes,
      changed === 0
        ? []
        : [`"t": ${changed} of ${data.length} values of ${dtype} rounded to float32`],
    );
  }
});

Deno.test("BOOL is read as 0 and 1", () => {
  const { tensors } = parseSafetensors(fileOf("BOOL", [3], Uint8Array.of(1, 0, 1)));
  assertEquals(tensors.get("t"), { dtype: "BOOL", shape: [3], data: Uint8Array.of(1, 0, 1) });
});

Deno.test("a tensor of an unknown dtype is an error only where it is read", () => {
  const bytes = fileOf("F4", [3], Uint8Array.of(1, 2));
  const { tensors } = parseSafetensors(bytes);
  const entry = tensors.get("t")!;
  assertEquals([entry.dtype, entry.shape], ["F4", [3]]);
  const message = 'tensor "t".dtype: expected one of U64, I64, F64, F32';
  assertThrows(() => entry.data, RangeError, message);
  assertThrows(() => floatTensors(tensors), RangeError, message);
});
