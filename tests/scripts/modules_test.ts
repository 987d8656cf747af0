import { assertEquals } from "@std/assert";
import { eager, pure } from "../../scripts/modules.ts";

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
const first = later(2), order = [first];
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
