import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { parseSafetensors, type SafetensorsEntry } from "../../src/io/safetensors.ts";
import { writeSafetensors } from "../../src/io/safetensors_write.ts";

const VALID = writeSafetensors([
  ["weight", { data: new Int8Array([1, -2, 3, -4, 5, -6]), shape: [2, 3] }],
  ["bias", { data: new Float32Array([0.5, -1]), shape: [2] }],
  ["zeroPoints", { data: new Int32Array([7, 8]), shape: [2] }],
  ["table", { data: new Int16Array([1, 2, 3]), shape: [3] }],
  ["codes", { data: new Uint16Array([40000]), shape: [1, 1] }],
  ["none", { data: new Uint8Array(0), shape: [0] }],
], { format: "1", "quote\"'": "a:b" });

const HEADER_END = 8 + VALID[0]! + 256 * VALID[1]!;

const KNOWN = "U64 I64 F64 F32 U32 I32 U16 I16 I8 U8 BOOL F16 BF16 F8_E5M2 F8_E4M3".split(" ");

/** Parses; true if the file was valid, false if it was refused as it must be. */
function check(bytes: Uint8Array): boolean {
  const before = bytes.slice();
  let parsed;
  try {
    parsed = parseSafetensors(bytes);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    assert(/^[^]+: expected [^]+, got /.test(error.message), error.message);
    assert(error.message.length < 1000, error.message);
    assertEquals(bytes, before);
    return false;
  }
  assertEquals(bytes, before);
  let total = 0;
  const known = new Map<string, SafetensorsEntry>();
  for (const [name, entry] of parsed.tensors) {
    const { shape, dtype } = entry;
    if (!KNOWN.includes(dtype)) {
      assertThrows(() => entry.data, RangeError, ".dtype: expected one of U64, ");
      continue;
    }
    known.set(name, entry);
    const { data } = entry;
    assertEquals(data.length, shape.reduce((a, b) => a * b, 1));
    if (!/^F8|F16/.test(dtype)) total += data.byteLength;
    if (data.buffer === bytes.buffer) {
      assert(data.byteOffset >= bytes.byteOffset + 8);
      assert(
        data.byteOffset + data.byteLength <= bytes.byteOffset + bytes.length,
      );
    }
  }
  assert(total <= bytes.length - 8);
  for (const value of Object.values(parsed.metadata)) {
    assertEquals(typeof value, "string");
  }
  // What parses can be written and read again, unless a name or a metadata
  // string has a lone surrogate, which only an escape in the JSON can give.
  const strings = [
    ...parsed.tensors.keys(),
    ...Object.entries(parsed.metadata).flat(),
  ];
  if (!strings.some((s) => /\p{Cs}/u.test(s))) {
    assertEquals(
      parseSafetensors(writeSafetensors(known, parsed.metadata))
        .tensors.size,
      known.size,
    );
  }
  return true;
}

type Edit = (bytes: number[]) => void;
const at = fc.oneof(fc.nat(VALID.length), fc.nat(15));
const byte = fc.oneof(
  fc.nat(255),
  fc.constantFrom(...new TextEncoder().encode('{}[]":,\\0123456789-eu_ ')),
);
const token = fc.constantFrom(
  "1e999",
  "-0",
  "null",
  "9007199254740993",
  "__proto__",
  '"dtype":"U8",',
  '{"toString":1}',
  "[[[[",
  "\\ud800",
  "\\u0061",
  "\ufeff",
);
const edit: fc.Arbitrary<Edit> = fc.oneof(
  fc.tuple(at, fc.nat(7)).map(([i, bit]): Edit => (b) => {
    if (i < b.length) b[i]! ^= 1 << bit;
  }),
  fc.tuple(at, byte).map(([i, x]): Edit => (b) => {
    if (i < b.length) b[i] = x;
  }),
  fc.tuple(at, byte).map(([i, x]): Edit => (b) => void b.splice(i, 0, x)),
  fc.tuple(at, fc.nat(20)).map(([i, n]): Edit => (b) => void b.splice(i, n)),
  fc.tuple(at, at, fc.nat(30)).map(([i, j, n]): Edit => (b) =>
    void b.splice(i, 0, ...b.slice(j, j + n))
  ),
  fc.tuple(at, token).map(([i, text]): Edit => (b) =>
    void b.splice(i, 0, ...new TextEncoder().encode(text))
  ),
);

Deno.test("parseSafetensors() refuses or reads in range each file with one byte replaced", () => {
  let read = 0;
  let refused = 0;
  const bytes = VALID.slice();
  for (let i = 0; i < HEADER_END; i++) {
    for (const x of [0, 0x22, 0x30, 0x39, 0x3a, 0x5c, 0x7d, 0xff]) {
      bytes[i] = x;
      check(bytes) ? read++ : refused++;
    }
    bytes[i] = VALID[i]!;
  }
  // A few names and spaces may change; most other bytes may not.
  assert(read > 0 && refused > read);
});

Deno.test("parseSafetensors() refuses or reads in range files with random edits", () => {
  assert(check(VALID));
  let read = 0;
  let refused = 0;
  fc.assert(
    fc.property(
      fc.array(edit, { minLength: 1, maxLength: 6 }),
      fc.boolean(),
      fc.nat(3),
      (edits, mend, shift) => {
        const list = [...VALID];
        for (const apply of edits) apply(list);
        // Half of the files get a correct header length again, so that edits reach the later
        // checks.
        if (mend && list.length >= 8) {
          const data = VALID.length - HEADER_END;
          const header = Math.max(0, list.length - 8 - data);
          list.splice(0, 8, header & 255, header >> 8, 0, 0, 0, 0, 0, 0);
        }
        const bytes = new Uint8Array(list.length + shift).subarray(shift);
        bytes.set(list);
        check(bytes) ? read++ : refused++;
      },
    ),
    { numRuns: 5000 },
  );
  assert(read > 0 && refused > 0, `${read} read, ${refused} refused`);
});

Deno.test("parseSafetensors() refuses or reads in range random bytes", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
      check(bytes);
    }),
    { numRuns: 2000 },
  );
});

Deno.test("parseSafetensors() refuses or reads in range any JSON for a header", () => {
  fc.assert(
    fc.property(
      fc.dictionary(
        fc.oneof(fc.string(), fc.constant("__metadata__")),
        fc.oneof(
          fc.jsonValue(),
          fc.record({
            dtype: fc.oneof(fc.constantFrom("U8", "F32"), fc.jsonValue()),
            shape: fc.oneof(fc.array(fc.nat(3)), fc.jsonValue()),
            data_offsets: fc.oneof(
              fc.tuple(fc.nat(9), fc.nat(9)),
              fc.jsonValue(),
            ),
          }),
        ),
        { maxKeys: 3 },
      ),
      fc.nat(9),
      (header, data) => {
        const text = new TextEncoder().encode(JSON.stringify(header));
        const bytes = new Uint8Array(8 + text.length + data);
        new DataView(bytes.buffer).setUint32(0, text.length, true);
        bytes.set(text, 8);
        check(bytes);
      },
    ),
    { numRuns: 2000 },
  );
});
