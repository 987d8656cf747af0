import { assertEquals } from "@std/assert";
import { eager } from "../../scripts/modules.ts";

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
