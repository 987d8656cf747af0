import { assert, assertThrows } from "@std/assert";
import { loadModel } from "../../src/io/model_file.ts";
import { saveModel } from "../../src/io/model_write.ts";
import { compileModel } from "../../src/io/program_write.ts";
import { parseSafetensors } from "../../src/io/safetensors.ts";
import { type SafetensorsInput, writeSafetensors } from "../../src/io/safetensors_write.ts";
import { Linear } from "../../src/modules/linear/float.ts";
import { loadProgram } from "../../src/runtime/load.ts";
import { readTree } from "./tree.ts";
import { modelOf, plainCase } from "../../src/testing/quantized_models.ts";

/**
 * Characters that clear a terminal, turn the direction of writing, end a line, or are half of one.
 */
const CONTROLS = "\0\x1b[2J\x07\x7f\x9b\u202e\u2066\u200f\u061c\u2028\ufeff";
const NAMES = [CONTROLS.repeat(20), `${CONTROLS}${"x".repeat(3000)}${CONTROLS}`];

/** Values that a field of a file may have instead of its own. */
const VALUES = [
  ...NAMES,
  NAMES,
  Array(30).fill(NAMES[1]),
  { [NAMES[1]!]: 1 },
  Array(1000).fill(1),
  1e300,
];

/**
 * Max length of a message from errors.ts: a name, the expectation (a list of all kinds, say), the
 * value, and words in between.
 */
const LONGEST = 100 + 240 + 100 + 20;

/** The messages of errors, checked. */
function messages(): { try: (run: () => unknown) => void; count: () => number } {
  let count = 0;
  return {
    count: () => count,
    try(run) {
      try {
        run();
      } catch (error) {
        const { message } = error as Error;
        assert(error instanceof RangeError || error instanceof TypeError, `${error}`);
        assert(message.length <= LONGEST, `${message.length} characters: ${message.slice(0, 600)}`);
        assert(!/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/u.test(message), JSON.stringify(message));
        count++;
      }
    },
  };
}

/** Copies of a JSON value, in each of which one field has another value or key. */
function* changed(json: unknown): Generator<unknown> {
  for (const value of VALUES) yield value;
  if (typeof json !== "object" || json === null) return;
  const copy = (): Record<string, unknown> =>
    (Array.isArray(json) ? [...json] : { ...json }) as Record<string, unknown>;
  // The first of many of the same kind, and the last.
  const keys = Object.keys(json);
  for (const key of keys.length > 12 ? [...keys.slice(0, 6), keys.at(-1)!] : keys) {
    for (const value of changed((json as Record<string, unknown>)[key])) {
      yield Object.assign(copy(), { [key]: value });
    }
    for (const name of NAMES) {
      const { [key]: moved, ...rest } = copy();
      yield { ...rest, [name]: moved };
    }
  }
  for (const name of NAMES) yield Object.assign(copy(), { [name]: 1 });
}

const model = modelOf({ ...plainCase, hiddenSize: 2, granularity: "tensor" }, "8", true);
const file = saveModel(model);

Deno.test("loadModel() says in short what is wrong, without control characters, whatever the file's names are", () => {
  const { tensors, tree } = readTree(file);
  const errors = messages();
  for (const json of changed(tree)) {
    errors.try(() => loadModel(writeSafetensors(tensors, { splitgate: JSON.stringify(json) })));
  }
  // Modules with such names, and their tensors: the fault is found later.
  for (const name of [NAMES[1]!, "y".repeat(100_000)]) {
    const modules = tree.modules.map((each: object, i: number) => ({
      ...each,
      name: `${name}${i}`,
    }));
    const renamed = new Map<string, SafetensorsInput>(
      [...tensors].map(([key, tensor]) => {
        const i = tree.modules.findIndex((each: { name: string }) =>
          key.startsWith(`${each.name}.`)
        );
        return [`${name}${i}${key.slice(key.indexOf("."))}`, tensor];
      }),
    );
    const write = (json: unknown, given = renamed): Uint8Array =>
      writeSafetensors(given, { splitgate: JSON.stringify(json) });
    loadModel(write({ ...tree, modules }));
    for (let i = 0; i < modules.length; i++) {
      for (const key of Object.keys(modules[i])) {
        const list = modules.toSpliced(i, 1, { ...modules[i], [key]: NAMES[0] });
        errors.try(() => loadModel(write({ ...tree, modules: list })));
      }
    }
    for (const key of renamed.keys()) {
      const fewer = new Map(renamed);
      fewer.delete(key);
      errors.try(() => loadModel(write({ ...tree, modules }, fewer)));
      fewer.set(key, { data: new Int8Array(0), shape: Array(100).fill(0) });
      errors.try(() => loadModel(write({ ...tree, modules }, fewer)));
    }
  }
  assert(errors.count() > 500, `${errors.count()}`);
});

Deno.test("parseSafetensors() says in short what is wrong, without control characters", () => {
  const errors = messages();
  const header = {
    __metadata__: { key: "value" },
    a: { dtype: "U8", shape: [2], data_offsets: [0, 2] },
    b: { dtype: "U8", shape: [1], data_offsets: [2, 3] },
  };
  for (const json of changed(header)) {
    const text = new TextEncoder().encode(JSON.stringify(json));
    const bytes = new Uint8Array(8 + text.length + 3);
    new DataView(bytes.buffer).setUint32(0, text.length, true);
    bytes.set(text, 8);
    errors.try(() => parseSafetensors(bytes));
  }
  for (const name of NAMES) {
    const text = new TextEncoder().encode(name);
    errors.try(() => parseSafetensors(text));
    errors.try(() => loadProgram(text));
  }
  assert(errors.count() > 100, `${errors.count()}`);
});

Deno.test("loadProgram() says in short what is wrong, without control characters", () => {
  const errors = messages();
  const program = compileModel(model);
  const start = new DataView(program.buffer).getInt32(12, true);
  const json = JSON.parse(new TextDecoder().decode(program.subarray(start, -4)));
  for (const each of changed(json)) {
    const text = new TextEncoder().encode(JSON.stringify(each));
    const bytes = new Uint8Array(Math.ceil((start + text.length) / 4) * 4 + 4).fill(32, start);
    bytes.set(program.subarray(0, start));
    bytes.set(text, start);
    new DataView(bytes.buffer).setInt32(8, bytes.length, true);
    errors.try(() => loadProgram(bytes, { verify: false }));
  }
  assert(errors.count() > 100, `${errors.count()}`);
});

Deno.test("loadStateDict() names some of the tensors that do not fit, and counts the others", () => {
  const tensors = new Map(
    Array.from({ length: 100 }, (_, i) => [`${NAMES[1]}${i}`, { data: null, shape: [] }]),
  );
  const linear = new Linear({ inFeatures: 1, outFeatures: 1 });
  const { message } = assertThrows(() => linear.loadStateDict(tensors), RangeError, "and 82 more");
  assert(message.length < 3000 && !/[\p{Cc}\p{Cf}]/u.test(message), message);
});
