import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { PLAIN, RELAXED } from "../../src/simd/embedded.ts";
import { simdKernels, SimdUnavailableError } from "../../src/simd/load.ts";
import { Arena } from "../../src/simd/memory.ts";

function wasm(name: string): Promise<Uint8Array<ArrayBuffer>> {
  return Deno.readFile(new URL(`../../kernels/simd/${name}.wasm`, import.meta.url));
}

/** Runs `body` with one of WebAssembly's functions replaced, as another engine has it. */
async function replaced(
  name: "validate" | "compile" | "Module",
  by: unknown,
  body: () => Promise<void>,
): Promise<void> {
  const api = WebAssembly as unknown as Record<string, unknown>;
  const original = api[name];
  api[name] = by;
  try {
    await body();
  } finally {
    api[name] = original;
  }
}

/** WebAssembly.Module of an engine that compiles large modules only in threads of their own. */
class Refusing {
  constructor() {
    throw new RangeError("refused");
  }
}

/**
 * Runs `body` as in an engine that does not know the instructions of modules that `knows` denies.
 */
async function ignorant(
  knows: (bytes: Uint8Array<ArrayBuffer>) => boolean,
  body: () => Promise<void>,
): Promise<void> {
  const { Module } = WebAssembly;
  class Ignorant {
    constructor(bytes: Uint8Array<ArrayBuffer>) {
      if (!knows(bytes)) throw new WebAssembly.CompileError("invalid opcode");
      return new Module(bytes);
    }
  }
  await replaced("validate", knows, () => replaced("Module", Ignorant, body));
}

Deno.test("simdKernels() takes the relaxed module when the engine validates it, else the plain one", async () => {
  assertEquals((await simdKernels()).relaxed, WebAssembly.validate(await wasm("relaxed")));
  const { validate } = WebAssembly;
  const size = (await wasm("relaxed")).length;
  const plainOnly = (bytes: Uint8Array<ArrayBuffer>) => bytes.length !== size && validate(bytes);
  await ignorant(plainOnly, async () => assertEquals((await simdKernels()).relaxed, false));
});

Deno.test("simdKernels() takes a compiled module when it is given one", async () => {
  for (const name of ["plain", "relaxed"]) {
    const module = await WebAssembly.compile(await wasm(name));
    assertEquals((await simdKernels({ module })).relaxed, name === "relaxed");
  }
});

Deno.test("simdKernels() throws when the module is another one or none", async () => {
  const other = new WebAssembly.Module(Uint8Array.of(0, 97, 115, 109, 1, 0, 0, 0));
  for (const module of [other, await wasm("plain"), null]) {
    const error = await assertRejects(
      () => simdKernels({ module: module as WebAssembly.Module }),
      TypeError,
    );
    assertEquals(
      error.message.startsWith(
        "module: expected a WebAssembly.Module of plain.wasm or relaxed.wasm",
      ),
      true,
    );
  }
});

Deno.test("simdKernels() refuses unknown options", async () => {
  await assertRejects(
    () => simdKernels({ modul: 1 } as never),
    TypeError,
    "options: expected no options but module",
  );
});

Deno.test("simdKernels() throws when the engine has no SIMD or refuses to compile", async () => {
  await ignorant(() => false, async () => {
    await assertRejects(
      () => simdKernels(),
      SimdUnavailableError,
      "expected an engine with WebAssembly SIMD",
    );
  });
  const refuse = () => Promise.reject(new WebAssembly.CompileError("blocked by the embedder"));
  await replaced("compile", refuse, () =>
    replaced("Module", Refusing, async () => {
      const error = await assertRejects(
        () => simdKernels(),
        SimdUnavailableError,
        "expected leave to compile",
      );
      assertEquals((error.cause as Error).message, "blocked by the embedder");
    }));
});

Deno.test("simdKernels() compiles in another thread when the engine refuses to in this one", async () => {
  await replaced("Module", Refusing, async () => assertEquals((await simdKernels()).name, "simd"));
});

Deno.test("The embedded modules are the files", async () => {
  for (const [name, text] of [["plain", PLAIN], ["relaxed", RELAXED]]) {
    assertEquals(Uint8Array.from(atob(text!), (c) => c.charCodeAt(0)), await wasm(name!));
  }
});

Deno.test("Arena.take() throws when the memory cannot grow, and what it gave stays", () => {
  const arena = new Arena(new WebAssembly.Memory({ initial: 1, maximum: 2 }), false);
  const at = arena.take(100);
  arena.f32[at / 4] = 5;
  assertThrows(() => arena.take(3 * 65536), RangeError, "a WebAssembly memory that cannot grow");
  assertEquals(arena.take(4), at + 112);
  assertEquals(arena.take(65536) % 16, 0);
  assertEquals([arena.f32[at / 4], arena.u8.length], [5, 2 * 65536]);
});
