import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { parseSafetensors, type SafetensorsArray } from "../../src/io/safetensors.ts";
import { type SafetensorsInput, writeSafetensors } from "../../src/io/safetensors_write.ts";

/** A file with any header, valid or not. */
function file(header: string | Uint8Array, data = 0, length?: number) {
  const text = typeof header === "string" ? new TextEncoder().encode(header) : header;
  const bytes = new Uint8Array(8 + text.length + data);
  new DataView(bytes.buffer).setBigUint64(
    0,
    BigInt(length ?? text.length),
    true,
  );
  bytes.set(text, 8);
  for (let i = 0; i < data; i++) bytes[8 + text.length + i] = i + 1;
  return bytes;
}

function entry(dtype: string, shape: string, offsets: string): string {
  return `{"dtype":"${dtype}","shape":${shape},"data_offsets":${offsets}}`;
}

function bytesOf(data: SafetensorsArray): Uint8Array {
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}

const ARRAYS = [
  ["F64", Float64Array],
  ["F32", Float32Array],
  ["U32", Uint32Array],
  ["I32", Int32Array],
  ["U16", Uint16Array],
  ["I16", Int16Array],
  ["I8", Int8Array],
  ["U8", Uint8Array],
] as const;

// No key that is a single backslash: once V8 15 has parsed one, its JSON.parse takes "\\u000e" in
// that place for it.
const text = fc.oneof(
  fc.string({ unit: "binary", maxLength: 12 }).filter((value) => value !== "\\"),
  fc.constantFrom("__proto__", "constructor", "0", "10", 'a":"b', "\\\\", ":"),
);

const tensor: fc.Arbitrary<SafetensorsInput> = fc.tuple(
  fc.array(fc.nat(4), { maxLength: 3 }),
  fc.constantFrom(...ARRAYS),
  fc.infiniteStream(fc.nat(255)),
).map(([shape, [, type], stream]) => {
  const data = new type(shape.reduce((a, b) => a * b, 1));
  // Any bits, so NaNs with payloads are among the floats.
  const bytes = bytesOf(data);
  for (let i = 0; i < bytes.length; i++) bytes[i] = stream.next().value;
  return { data, shape };
});

const model = fc.record({
  tensors: fc.uniqueArray(
    fc.tuple(text.filter((name) => name !== "__metadata__"), tensor),
    { selector: ([name]) => name, maxLength: 8 },
  ),
  metadata: fc.uniqueArray(fc.tuple(text, text), {
    selector: ([key]) => key,
    maxLength: 4,
  }),
});

Deno.test("parseSafetensors() returns what writeSafetensors() wrote, bit for bit, at any offset", () => {
  fc.assert(
    fc.property(model, fc.nat(7), ({ tensors, metadata }, shift) => {
      const written = writeSafetensors(tensors, Object.fromEntries(metadata));
      const padded = new Uint8Array(written.length + shift + 3).fill(255);
      padded.set(written, shift);
      const parsed = parseSafetensors(
        padded.subarray(shift, shift + written.length),
      );
      assertEquals(parsed.tensors.size, tensors.length);
      for (const [name, { data, shape }] of tensors) {
        const got = parsed.tensors.get(name)!;
        assertEquals(got.shape, shape);
        assertEquals(got.data.constructor, data.constructor);
        assertEquals(
          got.dtype,
          ARRAYS.find(([, type]) => data instanceof type)?.[0],
        );
        assertEquals(bytesOf(got.data), bytesOf(data));
        // Shared where aligned, copied elsewhere; the writer aligns all.
        assertEquals(
          got.data.buffer === padded.buffer,
          shift % data.BYTES_PER_ELEMENT === 0,
        );
      }
      assertEquals(Object.entries(parsed.metadata).sort(), metadata.sort());
    }),
  );
});

Deno.test("writeSafetensors() gives the same bytes in whatever order its input comes", () => {
  fc.assert(
    fc.property(model, ({ tensors, metadata }) => {
      const first = writeSafetensors(tensors, Object.fromEntries(metadata));
      assertEquals(
        writeSafetensors(
          tensors.toReversed(),
          Object.fromEntries(metadata.toReversed()),
        ),
        first,
      );
      const parsed = parseSafetensors(first);
      assertEquals(writeSafetensors(parsed.tensors, parsed.metadata), first);
    }),
  );
});

// safetensors.numpy.save of Python's safetensors 0.8.0.
const REFERENCE = "4AEAAAAAAAB7Il9fbWV0YWRhdGFfXyI6eyJrIjoidjogXCJ4XCIifSwiYi" +
  "I6eyJkdHlwZSI6IkYzMiIsInNoYXBlIjpbMl0sImRhdGFfb2Zmc2V0cyI6WzAsOF19LCJlb" +
  "XB0eSI6eyJkdHlwZSI6IkYzMiIsInNoYXBlIjpbMCwzXSwiZGF0YV9vZmZzZXRzIjpbOCw4" +
  "XX0sIjEwIjp7ImR0eXBlIjoiSTMyIiwic2hhcGUiOlsxXSwiZGF0YV9vZmZzZXRzIjpbOCw" +
  "xMl19LCIyIjp7ImR0eXBlIjoiVTE2Iiwic2hhcGUiOltdLCJkYXRhX29mZnNldHMiOlsxMi" +
  "wxNF19LCLDqSI6eyJkdHlwZSI6IkkxNiIsInNoYXBlIjpbMl0sImRhdGFfb2Zmc2V0cyI6W" +
  "zE0LDE4XX0sImEiOnsiZHR5cGUiOiJJOCIsInNoYXBlIjpbMywxXSwiZGF0YV9vZmZzZXRz" +
  "IjpbMTgsMjFdfSwicVwiXFxcbiI6eyJkdHlwZSI6IlU4Iiwic2hhcGUiOlsxXSwiZGF0YV9" +
  "vZmZzZXRzIjpbMjEsMjJdfSwieiI6eyJkdHlwZSI6IlU4Iiwic2hhcGUiOlszXSwiZGF0YV" +
  "9vZmZzZXRzIjpbMjIsMjVdfX0AAMA/AAAAwAcAAAD///v/BQAB/gMJ+gEC";

Deno.test("writeSafetensors() writes the bytes that the reference implementation writes", () => {
  const written = writeSafetensors([
    ["b", { data: new Float32Array([1.5, -2]), shape: [2] }],
    ["a", { data: new Int8Array([1, -2, 3]), shape: [3, 1] }],
    ["10", { data: new Int32Array([7]), shape: [1] }],
    ["2", { data: new Uint16Array([65535]), shape: [] }],
    ["é", { data: new Int16Array([-5, 5]), shape: [2] }],
    ["z", { data: new Uint8Array([250, 1, 2]), shape: [3] }],
    ["empty", { data: new Float32Array(0), shape: [0, 3] }],
    ['q"\\\n', { data: new Uint8Array([9]), shape: [1] }],
  ], { k: 'v: "x"' });
  assertEquals(btoa(String.fromCharCode(...written)), REFERENCE);
});

for (
  const [language, rows] of [["thai", 74], ["lao", 73], ["burmese", 188]]
) {
  Deno.test(`parseSafetensors() reads the ${language} model of the demo`, () => {
    const bytes = Deno.readFileSync(
      new URL(`../../demo/data/${language}.safetensors`, import.meta.url),
    );
    const { tensors, metadata } = parseSafetensors(bytes);
    const lstm = (suffix: string) => [
      ["lstm.weight_ih_l0" + suffix, [108, 40]],
      ["lstm.weight_hh_l0" + suffix, [108, 27]],
      ["lstm.bias_ih_l0" + suffix, [108]],
      ["lstm.bias_hh_l0" + suffix, [108]],
    ];
    assertEquals(
      Object.fromEntries([...tensors].map(([k, { shape }]) => [k, shape])),
      Object.fromEntries([
        ["embedding.weight", [rows, 40]],
        ...lstm(""),
        ...lstm("_reverse"),
        ["out.weight", [4, 54]],
        ["out.bias", [4]],
      ]),
    );
    for (const [name, { dtype, data }] of tensors) {
      assertEquals(dtype, "F32");
      assert(data instanceof Float32Array && data.every(Number.isFinite));
      if (name.startsWith("lstm.bias_hh")) assert(data.every((x) => x === 0));
      else assert(data.some((x) => x !== 0), name);
    }
    assertEquals({ ...metadata }, {});
    assertEquals(
      parseSafetensors(writeSafetensors(tensors)).tensors,
      tensors,
    );
  });
}

Deno.test("parseSafetensors() copies what is not aligned and shares the rest", () => {
  const header = `{"a":${entry("U8", "[1]", "[0,1]")},"b":${entry("I16", "[2]", "[1,5]")}}`;
  // Of even length, so that b begins at an odd offset.
  const bytes = file(header.padEnd(Math.ceil(header.length / 8) * 8), 5);
  const { tensors } = parseSafetensors(bytes);
  assertEquals(tensors.get("a")?.data, new Uint8Array([1]));
  bytes.fill(9, -5);
  assertEquals(tensors.get("a")?.data, new Uint8Array([9]));
  assertEquals(tensors.get("b")?.data, new Int16Array([0x0302, 0x0504]));
});

Deno.test("parseSafetensors() takes an empty file, scalars, empty tensors and any order of entries", () => {
  assertEquals(parseSafetensors(file("{}")).tensors.size, 0);
  const { tensors } = parseSafetensors(file(
    `{"b":${entry("U8", "[]", "[1,2]")},"none":${
      entry("F32", "[9007199254740991,0]", "[1,1]")
    },"a":${entry("I8", "[1,1]", "[0,1]")}} \n`,
    2,
  ));
  assertEquals([...tensors.keys()], ["a", "none", "b"]);
  assertEquals(tensors.get("none")?.data, new Float32Array(0));
  assertEquals(tensors.get("b"), {
    dtype: "U8",
    shape: [],
    data: new Uint8Array([2]),
  });
});

Deno.test("parseSafetensors() takes names of Object.prototype for names", () => {
  const { tensors, metadata } = parseSafetensors(file(
    `{"__metadata__":{"__proto__":"p","toString":"t"},` +
      `"__proto__":${entry("U8", "[1]", "[0,1]")},` +
      `"constructor":${entry("U8", "[1]", "[1,2]")}}`,
    2,
  ));
  assertEquals([...tensors.keys()], ["__proto__", "constructor"]);
  assertEquals(Object.entries(metadata), [
    ["__proto__", "p"],
    ["toString", "t"],
  ]);
  assertEquals(metadata.valueOf, undefined);
  assertEquals(({} as Record<string, unknown>).dtype, undefined);
});

Deno.test("parseSafetensors() does not take colons and escapes in strings for keys", () => {
  const bytes = writeSafetensors([
    ['a":{"b":', { data: new Uint8Array(1), shape: [1] }],
    ["\\", { data: new Uint8Array(1), shape: [1] }],
  ], { '\\":': '{"x":[1,{"y\\\\":2}]}\\' });
  const { tensors, metadata } = parseSafetensors(bytes);
  assertEquals([...tensors.keys()], ["\\", 'a":{"b":']);
  assertEquals(metadata['\\":'], '{"x":[1,{"y\\\\":2}]}\\');
});

Deno.test("parseSafetensors() reads metadata of some megabytes", () => {
  const long = '"\\:'.repeat(1_000_000);
  const bytes = writeSafetensors([], { long });
  assert(parseSafetensors(bytes).metadata.long === long);
});

Deno.test("parseSafetensors() throws a TypeError when given no bytes", () => {
  const wrong: unknown[] = [undefined, null, "{}", new Blob([]), [1]];
  for (const bytes of wrong) {
    assertThrows(
      () => parseSafetensors(bytes as Uint8Array),
      TypeError,
      "bytes: expected bytes, as an ArrayBuffer or a view of one such as Uint8Array, got",
    );
  }
});

const U8 = entry("U8", "[2]", "[0,2]");
const deep = "[".repeat(200_000) + "]".repeat(200_000);
const HOSTILE: [what: string, bytes: Uint8Array, message: string][] = [
  [
    "no bytes",
    new Uint8Array(0),
    'bytes: expected a safetensors file (was it written to the end?), got "an empty file"',
  ],
  [
    "7 bytes",
    new Uint8Array(7),
    "bytes: expected a whole safetensors file of at least 8 bytes, got 7",
  ],
  [
    "a header longer than the file",
    file("{}", 0, 3),
    "bytes: expected a whole safetensors file of at least 11 bytes, got 10",
  ],
  [
    "a header length of 2^32 + 2",
    file("{}", 0, 2 ** 32 + 2),
    'bytes: expected a safetensors file, got "another file, which begins',
  ],
  [
    "a header length of 2^64 - 1",
    new Uint8Array(16).fill(255),
    'bytes: expected a safetensors file, got "another file, which begins',
  ],
  [
    "an empty header",
    file("", 4),
    'bytes: expected a safetensors file, got "another file, which begins',
  ],
  [
    "a header that is not UTF-8",
    file(Uint8Array.of(0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d)),
    'header: expected JSON, got "TypeError',
  ],
  [
    "a header that is not JSON",
    file("{a:1}"),
    'header: expected JSON, got "SyntaxError',
  ],
  [
    "a byte order mark",
    file("\ufeff{}"),
    'bytes: expected a safetensors file, got "another file, which begins',
  ],
  ["a cut header", file("{}  ", 0, 1), "header: expected JSON"],
  [
    "a header with leading space",
    file(" {}"),
    'bytes: expected a safetensors file, got "another file, which begins',
  ],
  [
    "an array for a header",
    file("[]"),
    'bytes: expected a safetensors file, got "another file, which begins',
  ],
  [
    "null for a header",
    file("null"),
    'bytes: expected a safetensors file, got "another file, which begins',
  ],
  [
    "a string for a header",
    file('"{"'),
    'bytes: expected a safetensors file, got "another file, which begins',
  ],
  [
    "a repeated tensor",
    file(`{"a":${U8},"a":${U8}}`, 2),
    "header: expected 4 keys, each once, got 8",
  ],
  [
    "a repeated tensor spelt with an escape",
    file(`{"a":${U8},"\\u0061":${U8}}`, 2),
    "header: expected 4 keys, each once, got 8",
  ],
  [
    "a repeated field",
    file(`{"a":{"dtype":"F32",${U8.slice(1)}}`, 2),
    "header: expected 4 keys, each once, got 5",
  ],
  [
    "a repeated metadata key",
    file(`{"__metadata__":{"k":"1","k":"2"}}`),
    "header: expected 2 keys, each once, got 3",
  ],
  [
    "repeated metadata",
    file(`{"__metadata__":{},"__metadata__":{}}`),
    "header: expected 1 keys, each once, got 2",
  ],
  [
    "metadata that is an array",
    file('{"__metadata__":[]}'),
    'tensor "__metadata__": expected an object, got []',
  ],
  [
    "metadata that is null",
    file('{"__metadata__":null}'),
    'tensor "__metadata__": expected an object, got null',
  ],
  [
    "metadata with a number",
    file('{"__metadata__":{"k":1}}'),
    'metadata "k": expected a string, got 1',
  ],
  [
    "metadata with an object",
    file('{"__metadata__":{"k":{}}}'),
    'metadata "k": expected a string, got Object',
  ],
  ...["null", "1", '"x"'].map((value): [string, Uint8Array, string] => [
    `${value} for an entry`,
    file(`{"a":${value}}`),
    `tensor "a": expected an object, got ${value}`,
  ]),
  ["[1,2,3] for an entry", file('{"a":[1,2,3]}'), 'tensor "a": expected an object, got [1, 2, 3]'],
  [
    "{} for an entry",
    file('{"a":{}}'),
    'tensor "a": expected shape, data_offsets and a dtype such as F32, got undefined',
  ],
  [
    "an entry with another field",
    file(`{"a":{"x":1,${U8.slice(1)}}`, 2),
    'tensor "a": expected shape, data_offsets and a dtype alone, got [x, ',
  ],
  [
    "an entry with its fields in __proto__",
    file(`{"a":{"__proto__":${U8},"x":1,"y":2}}`, 2),
    'tensor "a": expected shape, data_offsets and a dtype such as F32, got',
  ],
  ...["u8", "constructor", "", "F32 ", "\u00c4", "F".repeat(17)].map((
    dtype,
  ): [string, Uint8Array, string] => [
    `dtype ${JSON.stringify(dtype)}`,
    file(`{"a":${entry(dtype, "[1]", "[0,2]")}}`, 2),
    `tensor "a": expected shape, data_offsets and a dtype such as F32, got ${
      JSON.stringify(dtype)
    }`,
  ]),
  [
    "a dtype in an array",
    file(`{"a":{"dtype":["U8"],"shape":[2],"data_offsets":[0,2]}}`, 2),
    'tensor "a": expected shape, data_offsets and a dtype such as F32, got',
  ],
  ...[
    ["2", "2"],
    ["null", "null"],
    ['{"length":1}', "Object"],
    ["[-1]", "[-1]"],
    ["[1.5]", "[1.5]"],
    ['["2"]', "[2]"],
    ["[null]", "[null]"],
    ["[1e999]", "[Infinity]"],
    ["[9007199254740992]", "[9007199254740992]"],
    [`[${deep}]`, ""],
    ['[{"toString":1,"toJSON":2}]', "[...]"],
    ['{"constructor":{"name":{"toString":1}}}', "Object"],
  ].map(([shape, got]): [string, Uint8Array, string] => [
    `shape ${shape!.slice(0, 40)}`,
    file(`{"a":${entry("U8", shape!, "[0,2]")}}`, 2),
    'tensor "a".shape: expected integers of a product below 2^53, got ' +
    got,
  ]),
  ...[["[2.0]", "[0,2]"], ["[2e0]", "[0,2]"], ["[2]", "[0,2E0]"], ["[2]", "[-0,2]"], [
    "[-0,2]",
    "[0,0]",
  ]].map((
    [shape, offsets],
  ): [string, Uint8Array, string] => [
    `a number in ${shape} at ${offsets} that is an integer only in value`,
    file(`{"a":${entry("U8", shape!, offsets!)}}`, 2),
    "header: expected numbers of digits alone, got",
  ]),
  [
    "a name of half a character",
    file(`{"\\ud800":${U8}}`, 2),
    'tensor: expected no lone surrogates, got "\\ud800"',
  ],
  [
    "metadata of half a character",
    file('{"__metadata__":{"k":"\\udfff"}}'),
    'metadata "k": expected no lone surrogates, got "\\udfff"',
  ],
  [
    "a size that no float64 holds, before a 0",
    file(`{"a":${entry("U8", "[0,9007199254740993]", "[0,0]")}}`),
    'tensor "a".shape: expected integers of a product below 2^53',
  ],
  [
    "a header of more than 100 MB",
    file("{}".padEnd(100_000_001)),
    'bytes: expected a safetensors file, got "another file, which begins',
  ],
  [
    "a shape whose product overflows",
    file(`{"a":${entry("U8", "[94906266,94906267]", "[0,2]")}}`, 2),
    'tensor "a".shape: expected integers of a product below 2^53, got [94906266, 94906267]',
  ],
  [
    "a shape whose product overflows before a 0",
    file(`{"a":${entry("U8", "[9007199254740991,2,0]", "[0,0]")}}`),
    'tensor "a".shape: expected integers of a product below 2^53',
  ],
  ...["0", "null", "[0]", "[0,1,2]", "[0,1.5]", '["0","2"]'].map((
    offsets,
  ): [string, Uint8Array, string] => [
    `data_offsets ${offsets}`,
    file(`{"a":${entry("U8", "[2]", offsets)}}`, 2),
    `tensor "a".data_offsets: expected 2 bytes within 2, got ${
      offsets.replaceAll('"', "").replaceAll(",", ", ")
    }`,
  ]),
  ...([
    ["F32", "[2]", "[0,2]", 2, 8],
    ["F32", "[1]", "[4,0]", 4, 4],
    ["U8", "[3]", "[0,3]", 2, 3],
    ["U8", "[1]", "[0,2]", 2, 1],
    ["I16", "[2,3]", "[0,6]", 6, 12],
    ["U8", "[9007199254740991]", "[0,9007199254740991]", 2, 2 ** 53 - 1],
    ["F32", "[9007199254740991]", "[0,4]", 4, (2 ** 53 - 1) * 4],
    ["U8", "[0]", "[3,3]", 2, 0],
  ] as const).map(([dtype, shape, offsets, data, size]): [
    string,
    Uint8Array,
    string,
  ] => [
    `${dtype} ${shape} at ${offsets} of ${data}`,
    file(`{"a":${entry(dtype, shape, offsets)}}`, data),
    `expected ${size} bytes`,
  ]),
  [
    "an overlap",
    file(`{"a":${U8},"b":${entry("U8", "[2]", "[1,3]")}}`, 4),
    'tensor "b": expected to begin at 2, got 1',
  ],
  [
    "two tensors in one place",
    file(`{"a":${U8},"b":${U8}}`, 4),
    'tensor "b": expected to begin at 2',
  ],
  [
    "a hole",
    file(`{"b":${entry("U8", "[1]", "[3,4]")},"a":${U8}}`, 3),
    'tensor "b".data_offsets: expected 1 bytes within 3, got [3, 4]',
  ],
  [
    "a hole that the file has room for",
    file(`{"b":${entry("U8", "[1]", "[3,4]")},"a":${U8}}`, 4),
    'tensor "b": expected to begin at 2, got 3',
  ],
  [
    "an overlap that the file ends with",
    file(`{"a":${U8},"b":${entry("U8", "[2]", "[1,3]")}}`, 3),
    'tensor "b": expected to begin at 2, got 1',
  ],
  [
    "a tensor before the data",
    file(`{"a":${entry("U8", "[2]", "[-1,1]")}}`, 2),
    'tensor "a".data_offsets: expected 2 bytes within 2, got [-1, 1]',
  ],
  [
    "a hole at the front",
    file(`{"a":${entry("U8", "[2]", "[1,3]")}}`, 2),
    'tensor "a".data_offsets: expected 2 bytes within 2, got [1, 3]',
  ],
  [
    "an empty tensor inside another",
    file(`{"a":${U8},"b":${entry("U8", "[0]", "[1,1]")}}`, 2),
    'tensor "b": expected to begin at 2',
  ],
  [
    "trailing bytes",
    file(`{"a":${U8}}`, 5),
    "bytes: expected 2 bytes of data, got 5",
  ],
  [
    "data without tensors",
    file("{}", 1),
    "bytes: expected 0 bytes of data, got 1",
  ],
];

for (const [what, bytes, message] of HOSTILE) {
  Deno.test(`parseSafetensors() throws a RangeError when given ${what}`, () => {
    const error = assertThrows(
      () => parseSafetensors(bytes),
      RangeError,
      message,
    );
    // Short, whatever the file holds.
    assert(error.message.length < 400, error.message.slice(0, 400));
  });
}

Deno.test("writeSafetensors() lays I64 out as the reference library does, and parseSafetensors() reads it", () => {
  // safetensors.torch.save of the same tensors
  const recorded = Uint8Array.from(
    atob(
      "4AAAAAAAAAB7ImEiOnsiZHR5cGUiOiJJNjQiLCJzaGFwZSI6WzJdLCJkYXRhX29mZnNldHMiOlswLDE2" +
        "XX0sIm4iOnsiZHR5cGUiOiJJNjQiLCJzaGFwZSI6W10sImRhdGFfb2Zmc2V0cyI6WzE2LDI0XX0sImIi" +
        "OnsiZHR5cGUiOiJGMzIiLCJzaGFwZSI6WzJdLCJkYXRhX29mZnNldHMiOlsyNCwzMl19LCJjIjp7ImR0" +
        "eXBlIjoiSTgiLCJzaGFwZSI6WzFdLCJkYXRhX29mZnNldHMiOlszMiwzM119fSAgICAgIAUAAAAAAAAA" +
        "AAAAAAAAAED5/////////wAAgD8AAABAAQ==",
    ),
    (c) => c.charCodeAt(0),
  );
  const tensors: [string, SafetensorsInput][] = [
    ["b", { data: Float32Array.of(1, 2), shape: [2] }],
    ["n", { data: BigInt64Array.of(-7n), shape: [] }],
    ["c", { data: Int8Array.of(1), shape: [1] }],
    ["a", { data: BigInt64Array.of(5n, 2n ** 62n), shape: [2] }],
  ];
  assertEquals(writeSafetensors(tensors), recorded);
  const read = parseSafetensors(recorded).tensors;
  assertEquals(read.get("n"), { dtype: "I64", data: BigInt64Array.of(-7n), shape: [] });
  assertEquals(read.get("a")!.data, BigInt64Array.of(5n, 2n ** 62n));
});

Deno.test("parseSafetensors() keeps messages short when names are long", () => {
  const error = assertThrows(
    () => parseSafetensors(file(`{"${"n".repeat(1e6)}":1}`)),
    RangeError,
  );
  assert(error.message.length < 400);
});

Deno.test("parseSafetensors() throws a RangeError at each truncation of a file", () => {
  const whole = writeSafetensors([
    ["a", { data: new Float32Array([1, 2]), shape: [2] }],
    ["b", { data: new Int8Array([1, 2, 3]), shape: [3] }],
  ], { k: "v" });
  for (let length = 0; length < whole.length; length++) {
    assertThrows(() => parseSafetensors(whole.subarray(0, length)), RangeError);
  }
});

Deno.test("writeSafetensors() throws a TypeError for the wrong kind of input", () => {
  const tensor = { data: new Uint8Array(1), shape: [1] };
  // deno-lint-ignore no-explicit-any
  const write: (...args: any[]) => Uint8Array = writeSafetensors as any;
  for (
    const [args, message] of [
      [[null], "tensors: expected an iterable"],
      [[{ a: tensor }], "tensors: expected an iterable"],
      [[["a"]], "tensors: expected pairs"],
      [[[[1, tensor]]], "tensor name: expected a string, got 1"],
      [[[["a"]]], 'tensor "a" data: expected a Float32Array'],
      [[[["a", { shape: [1], data: [1] }]]], 'tensor "a" data'],
      [
        [[["a", { shape: [1], data: new DataView(new ArrayBuffer(1)) }]]],
        'tensor "a" data',
      ],
      [
        [[["a", { shape: [1], data: new Uint8ClampedArray(1) }]]],
        'tensor "a" data',
      ],
      [[[["a", { data: tensor.data }]]], 'tensor "a" shape: expected an array'],
      [
        [[["a", { data: tensor.data, shape: ["1"] }]]],
        'tensor "a" shape[0]: expected an integer',
      ],
      [[[], null], "metadata: expected an object of strings, got null"],
      [[[], ["x"]], "metadata: expected an object of strings"],
      [[[], { k: 1 }], 'metadata "k": expected a string, got 1'],
    ] as const
  ) assertThrows(() => write(...args), TypeError, message);
});

Deno.test("writeSafetensors() throws a RangeError for the wrong value", () => {
  const data = new Uint8Array(2);
  const ok = { data, shape: [2] };
  for (
    const [tensors, metadata, message] of [
      [[["a", ok], ["a", ok]], {}, "tensor name: expected each name once"],
      [[["__metadata__", ok]], {}, "tensor name: expected a name that is not"],
      [[["\ud800", ok]], {}, "tensor name: expected a string without lone"],
      [[], { "\udfff": "v" }, "metadata key: expected a string without lone"],
      [[], { k: "\ud800" }, 'metadata "k": expected a string without lone'],
      [[["a", { data, shape: [3] }]], {}, "expected a product of 2, got [3]"],
      [[["a", { data, shape: [] }]], {}, 'tensor "a" shape: expected a prod'],
      [[["a", { data, shape: [-2] }]], {}, 'tensor "a" shape[0]: expected an'],
      [[["a", { data, shape: [0.5] }]], {}, 'tensor "a" shape[0]: expected an'],
      [
        [["a", { data: new Uint8Array(0), shape: [2 ** 30, 2 ** 30, 0] }]],
        {},
        'tensor "a" shape: expected a product below 2^53',
      ],
    ] as [[string, SafetensorsInput][], Record<string, string>, string][]
  ) {
    assertThrows(
      () => writeSafetensors(tensors, metadata),
      RangeError,
      message,
    );
  }
});

Deno.test("writeSafetensors() throws a RangeError when the header passes 100 MB", () => {
  assertThrows(
    () => writeSafetensors([], { k: "x".repeat(100_000_000) }),
    RangeError,
    "header: expected at most 100000000 bytes, got",
  );
});

/**
 * Text of a header, bytes of data, and what the reference library finds: null where it refuses the
 * file.
 */
type Recorded = [
  header: string,
  size: number,
  found: Record<string, [dtype: string, shape: number[]]> | null,
];

/** What this package refuses and the reference does not. */
const STRICTER = /keys, each once|dtype alone|expected an object, got (null|\[)/;

Deno.test("parseSafetensors() refuses what the reference library refuses, and reads the same from what both take", async () => {
  const path = new URL("safetensors_headers.json", import.meta.url);
  const seen = { refused: 0, read: 0, stricter: 0 };
  for (const [header, size, found] of JSON.parse(await Deno.readTextFile(path)) as Recorded[]) {
    const bytes = file(header, size);
    if (found === null) {
      const readAll = () => [...parseSafetensors(bytes).tensors.values()].map(({ data }) => data);
      assertThrows(readAll, RangeError, ": expected ", header);
      seen.refused++;
      continue;
    }
    try {
      const { tensors } = parseSafetensors(bytes);
      const shapes = [...tensors].map(([name, { dtype, shape }]) => [name, [dtype, shape]]);
      assertEquals(Object.fromEntries(shapes), found, header);
      seen.read++;
    } catch (error) {
      assert(STRICTER.test((error as Error).message), `${header}: ${error}`);
      seen.stricter++;
    }
  }
  assert(seen.refused > 500 && seen.read > 400 && seen.stricter < 150, JSON.stringify(seen));
});
