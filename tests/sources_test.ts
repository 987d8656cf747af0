/**
 * What all sources and tests keep to, wherever they stand.
 */
import { assert, assertEquals } from "@std/assert";

const ROOT = new URL("../", import.meta.url);

/** Paths of all modules below a folder, from the repository's root. */
function modulesIn(folder: string): string[] {
  return [...Deno.readDirSync(new URL(folder, ROOT))].flatMap(({ name, isDirectory }) =>
    isDirectory
      ? name === "node_modules" ? [] : modulesIn(`${folder}${name}/`)
      : /\.m?[jt]s$/.test(name)
      ? [folder + name]
      : []
  );
}

const FOLDERS = ["src", "kernels", "tests", "bench", "scripts", "site", "demo", "examples"];
const MODULES = FOLDERS.flatMap((folder) => modulesIn(`${folder}/`)).sort();
const TESTS = MODULES.filter((path) => path.startsWith("tests/"));

/** Modules, this one aside, in which an expression is found. */
function modulesWith(expression: RegExp, paths: readonly string[] = MODULES): string[] {
  return paths.filter((path) =>
    path !== "tests/sources_test.ts" &&
    expression.test(Deno.readTextFileSync(new URL(path, ROOT)))
  );
}

Deno.test("random numbers come from the generator of src/testing, or from PyTorch's", () => {
  // Multipliers and steps of well-known generators: mulberry32, LCGs, splitmix, xorshift, MT19937.
  const own =
    /0x6d2b79f5|\b1664525\b|\b22695477\b|\b1103515245\b|\b48271\b|\b16807\b|\b69069\b|0x9e3779b9|0x9908b0df|\^=? ?\w+ << 13/i;
  assertEquals(modulesWith(own), ["src/core/generator.ts", "src/testing/random.ts"]);
  // A seed that nobody gave, which is then printed.
  assertEquals(modulesWith(/Math\.random\(/), [
    "src/testing/fuzz.ts",
    "tests/fuzz/grow.ts",
    "tests/fuzz/main.ts",
  ]);
});

Deno.test("the path of a URL is not taken for the name of a file", () => {
  // It escapes spaces, and begins with a slash before a drive's letter: fileURLToPath() and
  // pathToFileURL() are for that.
  const path = /import\.meta\.(url\)?|resolve\([^)]*\))\.(slice|replace|pathname)/;
  assertEquals(modulesWith(path), []);
  assertEquals(modulesWith(/["'`]file:\/\/\$\{/), []);
});

Deno.test("lines end in the same way on every system", () => {
  // .gitattributes sees to it where git would write CRLF: texts are compared byte by byte.
  assert(MODULES.length > 300);
  assertEquals(modulesWith(/\r\n/), []);
});

/** Folders of tests of something other than modules of `src/` and `kernels/`. */
const OTHERS = [
  "bench",
  "corpus",
  "demo",
  "fuzz",
  "golden",
  "models",
  "oracle",
  "runtimes",
  "scripts",
  "soak",
];

Deno.test("tests stand where what they test stands", () => {
  const exists = (path: string) => {
    try {
      return Deno.statSync(new URL(path, ROOT)) !== null;
    } catch {
      return false;
    }
  };
  let mirrored = 0;
  for (const test of TESTS) {
    const [, folder = ""] = /^tests\/(.*)\//.exec(test) ?? [];
    const [top] = folder.split("/");
    if (folder === "" || OTHERS.includes(top!)) continue;
    const source = top === "kernels" ? folder : `src/${folder}`;
    // Data and helpers of one test may have a folder beside it.
    assert(exists(source) || exists(`tests/${folder}_test.ts`) || /\/files$/.test(folder), test);
    mirrored++;
    const [, tested] = /([^/]*)_test\.ts$/.exec(test) ?? [];
    if (top === "kernels" && tested !== undefined) assert(exists(`${source}/${tested}.ts`), test);
  }
  assert(mirrored > 100);
});
