import { assertEquals } from "@std/assert";
import { fileURLToPath } from "node:url";
import plugin, { HOT } from "../../scripts/lint/rules.ts";

const read = (path: string) => Deno.readTextFileSync(new URL(`../../${path}`, import.meta.url));
const lint = (path: string, source: string) =>
  Deno.lint.runPlugin(plugin, fileURLToPath(new URL(`../../${path}`, import.meta.url)), source);

Deno.test("max-parameters reports functions, methods and arrows of sources with more than five", () => {
  const source = `
    function five(a, b, c, d, e) {}
    function six(a, b, c, d, e, f) {}
    const arrow = (a, b, c, d, e, f) => {};
    class Some { method(a, b, c, d, e, f) {} #hidden(a, b, c, d, e, f) {} }
  `;
  const messages = lint("src/core/some.ts", source).map(({ message }) => message);
  assertEquals(messages, Array(4).fill("6 parameters, expected at most 5"));
  assertEquals(lint("tests/core/some.ts", source).length, 0);
});

Deno.test("max-parameters lets those through that are listed for their file, by name", () => {
  const source = "export function quantizeCentered(a, b, c, d, e, f) {}";
  assertEquals(lint("src/runtime/centered.ts", source).length, 0);
  assertEquals(lint("src/runtime/rows.ts", source).length, 1);
});

Deno.test("no function is listed as hot that does not have more than five parameters", () => {
  for (const [path, functions] of Object.entries(HOT)) {
    const source = read(path);
    for (const name of Object.keys(functions)) {
      // Under another name it must be reported.
      const renamed = source.replaceAll(new RegExp(`(?<![\\w#])${name}\\b`, "g"), `${name}Renamed`);
      assertEquals(lint(path, renamed).length > 0, true, `${path}: ${name}`);
    }
  }
});

Deno.test("unused-mapping reports a QConfigMapping that is made and thrown away", () => {
  const source = `
    mapping.setModuleName("a", null);
    for (const name of names) mapping.setObjectType(name, null);
    mapping = mapping.setModuleName("a", null);
    const other = new QConfigMapping().setGlobal(null).setPart("sigmoid", null);
    names.reduce((each, name) => each.setModuleName(name, null), mapping);
    window.setTimeout(() => {});
  `;
  const messages = lint("site/some.ts", source).map(({ message }) => message);
  assertEquals(
    messages,
    ["setModuleName", "setObjectType"].map((name) =>
      `${name} gives another QConfigMapping and changes none`
    ),
  );
});
