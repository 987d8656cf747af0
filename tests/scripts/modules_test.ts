import { assertEquals } from "@std/assert";
import { stop } from "esbuild";
import { pathToFileURL } from "node:url";
import { eager, joinModules, pure } from "../../scripts/modules.ts";

/** What a module exports. */
function load(text: string): Promise<Record<string, unknown>> {
  return import(`data:text/javascript,${encodeURIComponent(text)}`);
}

Deno.test("eager() moves functions in parentheses to the front", () => {
  assertEquals(
    eager("let x = f(1);\nfunction f(y) { return y; }\n"),
    "const f = (function (y) { return y; });\nlet x = f(1);\n\n",
  );
});

Deno.test("eager() leaves what a module does as it is", async () => {
  const text = `import { sep } from "node:path";
import "node:os";
const first = later(2);
const order = [first];
function later(x) { return x === 0 ? [] : [x, ...later(x - 1)]; }
async function waits() { return sep; }
function* counts() { yield* [1, 2]; }
class Kept { static of() { return new Kept(); } }
const arrow = () => first;
export { arrow, counts, Kept, later, order, waits as renamed };
`;
  const before = await load(text);
  const after = await load(eager(text));
  assertEquals(Object.keys(after).sort(), Object.keys(before).sort());
  const results = async (
    { arrow, counts, Kept, later, order, renamed }: Record<string, unknown>,
  ) => [
    (arrow as () => unknown)(),
    [...(counts as () => Iterable<number>)()],
    (Kept as { of(): object }).of().constructor.name,
    (later as { name: string }).name,
    order,
    await (renamed as () => Promise<string>)(),
    (renamed as { name: string }).name,
  ];
  assertEquals(await results(after), await results(before));
});

Deno.test("pure() marks what gives constants their values, and nothing that runs later", () => {
  assertEquals(
    pure("const a = f(1), b = 2, c = [...a, b], d = () => f(a);\nlet e = f(f(1)), { g } = Math;\n"),
    "const a = /* @__PURE__ */ f(1), b = 2, c = /* @__PURE__ */ (() => ([...a, b]))(), " +
      "d = () => f(a);\nlet e = /* @__PURE__ */ (() => (f(f(1))))(), { g } = Math;\n",
  );
  assertEquals(
    pure("const round = Math.fround;\nrun(1);\n"),
    "const round = Math.fround;\nrun(1);\n",
  );
});

Deno.test("pure() changes no value", async () => {
  const text = `const f = (x) => [x, x], names = { ...f(1) }, power = 2 ** 5, length = f(2).length;
class Kept { value = f(3); }
export { f, Kept, length, names, power };
`;
  const values = async (module: Promise<Record<string, unknown>>) => {
    const { f, Kept, length, names, power } = await module as Record<string, never>;
    return JSON.stringify([
      length,
      names,
      power,
      new (Kept as unknown as new () => object)(),
      String(f),
    ]);
  };
  assertEquals(await values(load(pure(text))), await values(load(text)));
});

Deno.test("joinModules() puts all of the runtime into one file, whatever entry points share", async () => {
  const folder = await Deno.makeTempDir({ prefix: "splitgate-modules-" });
  const files = {
    "a.js": "export const a = (x) => x + 1;\n",
    "b.js": "export const b = (x) => 2 * x;\n",
    "c.js": "export const c = (x) => x - 3;\n",
    "runtime.js": `export { a } from "./a.js";
import { b } from "./b.js";
import { c } from "./c.js";
export const run = (x) => c(b(x));
`,
    "first.js": `export { a } from "./a.js";\nexport { b } from "./b.js";\n`,
    "second.js": `export { b } from "./b.js";\nexport { run } from "./runtime.js";\n`,
  };
  try {
    for (const [name, text] of Object.entries(files)) {
      await Deno.writeTextFile(`${folder}/${name}`, text);
    }
    await joinModules(folder, ["runtime.js", "first.js", "second.js"]);
    const shared = [...Deno.readDirSync(`${folder}/shared`)];
    assertEquals(shared.length, 1);
    const load = (name: string) => import(pathToFileURL(`${folder}/${name}`).href);
    const { a, run } = await load("runtime.js");
    assertEquals([a(1), run(4)], [2, 5]);
    const [first, second] = [await load("first.js"), await load("second.js")];
    assertEquals([first.a === a, first.b === second.b, second.run === run], [true, true, true]);
    assertEquals(Object.keys(first), ["a", "b"]);
  } finally {
    await stop();
    await Deno.remove(folder, { recursive: true });
  }
});
