// Examples run by `deno task doc`; here, that there is one wherever a user may look for it.
import { assert, assertEquals } from "@std/assert";
import { fileURLToPath } from "node:url";
import config from "../../deno.json" with { type: "json" };

const ROOT = fileURLToPath(new URL("../../", import.meta.url));

/** What is used of the JSON of `deno doc`. */
interface Documented {
  readonly nodes: Readonly<Record<string, { readonly symbols: readonly Symbol[] }>>;
}
interface Symbol {
  readonly name: string;
  readonly declarations: readonly {
    readonly kind: string;
    readonly jsDoc?: { readonly tags?: readonly { readonly kind: string }[] };
  }[];
}

async function documentationOf(path: string): Promise<readonly Symbol[]> {
  const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["doc", "--json", path],
    cwd: ROOT,
  }).output();
  const decoder = new TextDecoder();
  if (!success) throw new Error(decoder.decode(stderr));
  const { nodes }: Documented = JSON.parse(decoder.decode(stdout));
  return Object.values(nodes).flatMap(({ symbols }) => symbols);
}

const ENTRIES = Object.values(config.exports).filter((path) => path.endsWith(".ts"));

/**
 * The entry whose types only authors of kernels meet, as what its functions, which have examples,
 * take and give: parts of a program.
 */
const OF_KERNEL_AUTHORS = "./backend.ts";

/** Programs of modules, which running halves of these entries run and nobody else writes. */
const isProgram = (path: string, name: string) =>
  path.includes("runtime") &&
  (/Program$|^Program|^NodeProgram$|^RunningKind$|^ModuleInstance$|^Backend$|Port$/.test(name));

for (const path of ENTRIES) {
  Deno.test(`everything that ${path} exports for its users has an example`, async () => {
    const values: Record<string, unknown> = await import(`../../${path.slice(2)}`);
    const without: string[] = [];
    let checked = 0;
    for (const { name, declarations } of await documentationOf(path)) {
      const isType = values[name] === undefined;
      if (isType && (path === OF_KERNEL_AUTHORS || isProgram(path, name))) continue;
      // Numbers are those of a layout.
      if (typeof values[name] === "number") continue;
      checked++;
      const tags = declarations.flatMap(({ jsDoc }) => jsDoc?.tags ?? []);
      if (!tags.some(({ kind }) => kind === "example")) without.push(name);
    }
    assertEquals(without, []);
    assert(checked > 0);
  });
}
