// Files of torch.save: every form, dtype and view gives torch's tensors, and nothing in them runs.
import { assert, assertEquals, assertThrows } from "@std/assert";
import { Generator } from "@splitgate/splitgate";
import { readTorch } from "@splitgate/splitgate/import/torch";
import { Opaque, unpickle } from "../../../src/io/torch/pickle.ts";
import { bytesOf, EXPECTED, type Recorded } from "./files.ts";
import { CALLS, PICKLES, STATED } from "./pickles.ts";

/** A value as expected.json has it. */
function recorded(value: number | bigint, { dtype }: Recorded): number | string | boolean {
  if (dtype === "BOOL") return value === 1;
  const number = Number(value);
  if (typeof value === "bigint") return `${value}`;
  return Number.isFinite(number)
    ? number
    : Number.isNaN(number)
    ? "nan"
    : number < 0
    ? "-inf"
    : "inf";
}

for (const [file, { key, tensors }] of Object.entries(EXPECTED.files)) {
  if (key === null) continue;
  Deno.test(`readTorch() gives torch's tensors of ${file}`, () => {
    const read = readTorch(bytesOf(file));
    assertEquals(read.key, key);
    assertEquals(read.format, /legacy/.test(file) ? "legacy" : "zip");
    assertEquals([...read.tensors.keys()].sort(), Object.keys(tensors).sort());
    for (const [name, expected] of Object.entries(tensors)) {
      const { dtype, shape, data } = read.tensors.get(name)!;
      assertEquals({ dtype, shape }, { dtype: expected.dtype, shape: expected.shape }, name);
      const values = Array.from<number | bigint>(data as never).map((v) => recorded(v, expected));
      assertEquals(values, expected.values, name);
    }
  });
}

Deno.test("every dtype of torch's tensors and every protocol is among the files", () => {
  const all = Object.values(EXPECTED.files).flatMap(({ tensors }) => Object.values(tensors));
  assertEquals(new Set(all.map(({ dtype }) => dtype)).size, 15);
  for (const protocol of [0, 1, 2, 3, 4, 5]) {
    for (const form of ["zip", "legacy"]) {
      assert(`protocol${protocol}_${form}.pt` in EXPECTED.files);
    }
  }
});

Deno.test("what stands beside a state dict is listed, and only what Python would have to make is opaque", () => {
  for (const file of ["checkpoint.pt", "checkpoint_legacy.pt", "deflated.pt"]) {
    const { others } = readTorch(bytesOf(file));
    const opaque = others.filter((other) => other.opaque).map(({ path, what }) => [path, what]);
    assertEquals(opaque.slice(0, 4), [
      ["args", "argparse.Namespace"],
      ["arguments", "__main__.Arguments"],
      ["array", "numpy._core.multiarray._reconstruct"],
      ["score", "numpy._core.multiarray.scalar"],
    ]);
    assert(opaque.every(([path]) => /^(args|arguments|array|score)/.test(path!)), `${opaque}`);
    const plain = new Map(others.map(({ path, what }) => [path, what]));
    assertEquals(plain.get("epoch"), "3");
    assertEquals(plain.get("best"), "0.25");
    assertEquals(plain.get("bytes"), "bytes");
    assertEquals(plain.get("big"), `${2n ** 70n}`);
    assert(others.some(({ path }) => path.startsWith("optimizer_state.state.0.exp_avg")));
    assertThrows(
      () => readTorch(bytesOf(file), { strict: true }),
      RangeError,
      'checkpoint args: expected plain values, since it is strict, got "argparse.Namespace"',
    );
  }
});

Deno.test("a checkpoint of several state dicts asks which one, and takes any key", () => {
  const bytes = bytesOf("nested.pt");
  const message = "options.key: expected one of encoder, decoder";
  assertThrows(() => readTorch(bytes), RangeError, message);
  assertEquals([...readTorch(bytes, { key: "decoder" }).tensors.keys()], ["weight", "bias"]);
  const all = readTorch(bytes, { key: "" }).tensors;
  assertEquals([...all.keys()].filter((name) => name.endsWith("bias")), [
    "encoder.bias",
    "decoder.bias",
  ]);
  assertThrows(() => readTorch(bytes, { key: "head" }), RangeError, "options.key: expected a key");
});

Deno.test("calls of Python, in protocols 0 to 5, are never executed: they are opaque, or refused", () => {
  assert(EXPECTED.calls.length >= 48);
  for (const { file, call } of EXPECTED.calls) {
    const bytes = bytesOf(file);
    const { tensors, others } = readTorch(bytes);
    assertEquals([...tensors.keys()], ["weight"]);
    assertEquals(others.filter(({ opaque }) => opaque).map(({ what }) => what), [call]);
    assertThrows(() => readTorch(bytes, { strict: true }), RangeError, `got "${call}"`);
  }
  assertThrows(() => Deno.statSync("splitgate-was-here"), Deno.errors.NotFound);
});

/** What a pickle by hand is read as. */
function read(text: string): unknown {
  const bytes = Uint8Array.from(text, (each) => each.charCodeAt(0));
  return unpickle(bytes, 0, { persistent: (id) => ["id", id], call: () => undefined }).value;
}

Deno.test("unpickle() reads what each operation means", () => {
  for (const [text, expected] of PICKLES) assertEquals(read(text), expected, JSON.stringify(text));
  for (const made of CALLS) {
    const opaque = read(made) as Opaque;
    assert(opaque instanceof Opaque);
    assertEquals([opaque.name, opaque.args], ["os.system", [1]]);
  }
  const stated = read(STATED) as Opaque;
  assertEquals([stated.name, stated.state], ["os.system", new Map([["a", 1]])]);
});

Deno.test("unpickle() refuses what is malformed by name", () => {
  const cases: [string, string][] = [
    ["", "expected 1 bytes, got 0"],
    ["0", 'expected a value on the stack, got "none"'],
    ["(0(s", "expected a value on the stack"],
    ["(t\x85\x85", "expected 1 bytes"],
    ["e", "expected a mark on the stack"],
    ["h\x01", "expected a value that was kept, got 1"],
    ["\xff", "expected an operation of a pickle"],
    ["\x80\x06", "expected protocol 0..5, got 6"],
    ["Ix\n.", 'expected an integer, got "x"'],
    [`L${"1".repeat(2000)}\n.`, "expected an integer"],
    ["\x8b\xff\xff\xff\x7f", "expected an integer of at most 1024 bytes"],
    ["X\xff\xff\xff\xffa", "expected 4294967295 bytes, got 1"],
    ["\x8d\xff\xff\xff\xff\xff\xff\xff\xff", "expected 18446744073709552000 bytes"],
    ["K\x01K\x02a", "expected a list, got 1"],
    [")K\x02a", "expected a list"],
    ["K\x01K\x02K\x03s", "expected a dictionary, got 1"],
    ["}(K\x01u", "expected keys and values, got 1"],
    ["K\x01)R", "expected something to call, got 1"],
    ["cos\nsystem\nK\x01R", "expected arguments, got 1"],
    ["K\x01K\x02\x93", "expected names"],
    ["Sabc\n", "expected a string between quotes"],
    ["I1", "expected a line"],
  ];
  for (const [text, message] of cases) {
    assertThrows(() => read(text), RangeError, message, JSON.stringify(text));
  }
});

/** Largest time for a file of any kind. */
const MAX_MILLISECONDS = 1000;

/** Bytes of all values of a file. */
function sizeOf(bytes: Uint8Array): number {
  const buffers = new Set<ArrayBufferLike>();
  for (const tensor of readTorch(bytes).tensors.values()) buffers.add(tensor.data.buffer);
  return [...buffers].reduce((sum, { byteLength }) => sum + byteLength, 0);
}

Deno.test("pickles that would fill memory or time are refused in less than a second", () => {
  const many = (text: string, count: number, end = "") => text.repeat(count) + end;
  // A list of two lists of two lists of ...: 2^100 values.
  let nested = "]K\x01a";
  for (let i = 0; i < 60; i++) nested += `q\x010]h\x01ah\x01a`;
  for (
    const text of [many("}", 3e6), many("]", 3e6), many("(", 5e6), many("K\x01", 5e6), nested + "."]
  ) {
    const file = `\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.\x80\x02}.${text}`;
    const bytes = Uint8Array.from(file, (each) => each.charCodeAt(0));
    const start = performance.now();
    const named = /: expected at most \d+ (objects|operations|values)|tensors|deep/;
    const error = assertThrows(() => readTorch(bytes), RangeError) as Error;
    assert(named.test(error.message) || /bytes/.test(error.message), error.message);
    const took = performance.now() - start;
    assert(took < MAX_MILLISECONDS, `${took} ms of ${JSON.stringify(text.slice(0, 8))}`);
  }
});

Deno.test("4,000 mutated files give values or named errors, none in a second or 64 MB", () => {
  const seed = new Generator(17);
  const random = (below: number) => seed.next() % below;
  const names = Object.keys(EXPECTED.files);
  const files = names.map((name) => bytesOf(name)).filter(({ length }) => length < 30_000);
  let readable = 0;
  let slowest = 0;
  for (let run = 0; run < 4000; run++) {
    const valid = files[run % files.length]!;
    let bytes = valid.slice();
    const from = run % 3 === 0 ? 0 : Math.max(0, valid.length - 2000);
    for (let i = 0; i <= random(4); i++) {
      const at = from + random(valid.length - from);
      bytes[at] = [random(256), 0, 255, bytes[at]! ^ (1 << random(8))][random(4)]!;
    }
    if (run % 7 === 0) bytes = bytes.slice(0, random(bytes.length));
    const start = performance.now();
    try {
      assert(sizeOf(bytes) < valid.length + 2 ** 26);
      readable++;
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      assert(/^[^]+: expected [^]+, got /.test(error.message), error.message);
      assert(error.message.length < 600, error.message);
    }
    slowest = Math.max(slowest, performance.now() - start);
  }
  assert(slowest < MAX_MILLISECONDS, `${slowest} ms`);
  assert(readable > 500 && readable < 3500, `${readable} of 4000 read`);
});

Deno.test("readTorch() says what other files are not", () => {
  assertThrows(() => readTorch(new Uint8Array(0)), RangeError, "bytes: expected a file of torch");
  assertThrows(() => readTorch("model.pt" as never), TypeError, "bytes: expected bytes");
  assertThrows(() => readTorch(bytesOf("views.pt"), { ke: "" } as never), TypeError, "options");
  const whole = bytesOf("views.pt");
  for (const length of [4, 100, whole.length - 1]) {
    assertThrows(() => readTorch(whole.subarray(0, length)), RangeError, "a whole zip archive");
  }
});

/** A file before torch 1.6 of a dictionary: entries as a pickle has them, and a tensor, `w`. */
function legacyFile(entries: string): Uint8Array {
  const storage = "(S'storage'\nctorch\nFloatStorage\nS'0'\nS'cpu'\nI1\nNtQ";
  const tensor = `ctorch._utils\n_rebuild_tensor_v2\n(${storage}I0\n(I1\nt(I1\ntI00\nNtR`;
  const header = "\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.\x80\x02}.";
  const bytes = "\x01\0\0\0\0\0\0\0" + "\0\0\x80\x3f";
  const text = `${header}}S'w'\n${tensor}s${entries}.](S'0'\ne.${bytes}`;
  return Uint8Array.from(text, (each) => each.charCodeAt(0));
}

Deno.test("readTorch() lists what is no tensor, and says what only Python could make", () => {
  const others = (entries: string) => readTorch(legacyFile(entries)).others;
  assertEquals([...readTorch(legacyFile("")).tensors.get("w")!.data], [1]);
  assertEquals(others(""), []);
  const name = { path: "f", what: "os.system", opaque: true };
  assertEquals(others("S'f'\ncos\nsystem\ns"), [name]);
  assertThrows(
    () => readTorch(legacyFile("S'f'\ncos\nsystem\ns"), { strict: true }),
    RangeError,
    'checkpoint f: expected plain values, since it is strict, got "os.system"',
  );
  // An object's attributes that hold nothing are not listed.
  const object = "S'f'\ncos\nsystem\n)R}S'a'\nNsbs";
  assertEquals(others(object), [name]);
  assertEquals(others("S'f'\nNs"), [{ path: "f", what: "null", opaque: false }]);
});

Deno.test("readTorch() reads values a hundred deep, no deeper, and cycles", () => {
  const lists = (count: number) =>
    legacyFile(`S'l'\n${"](".repeat(count)}K\x01${"e".repeat(count)}s`);
  assertEquals(readTorch(lists(99)).others.length, 1);
  assertThrows(() => readTorch(lists(100)), RangeError, "expected values 100 deep, got");
  assertEquals(readTorch(legacyFile("S'l'\n]q\x01h\x01as")).others, []);
});
