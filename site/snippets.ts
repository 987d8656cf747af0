/**
 * Example programs that run the model on each platform, ready to copy.
 *
 * @module
 */
import { importLines, loadOptions, type RunningHalf } from "../src/cli/running_halves.ts";

/** The properties of a model that a snippet needs. */
export interface SnippetModel {
  /** Name of the program's file. */
  readonly file: string;
  /** Width of a step; 1 for token ids. */
  readonly inputSize: number;
  readonly tokens: boolean;
  readonly outputSize: number;
  /** Whether the first output has one row per step. */
  readonly time: boolean;
  /** Running halves that are not part of `./runtime`. */
  readonly kinds: readonly RunningHalf[];
}

/** The platforms that there are snippets for. */
export const PLATFORMS: readonly string[] = ["Cloudflare", "Deno", "Bun", "Node", "Browser"];

/** How each platform reads the program file. */
const READ: Readonly<Record<string, (file: string) => readonly [head: string, bytes: string]>> = {
  Cloudflare: (file) => [
    `import program from "./${file}"; // wrangler: rules = [{ type = "Data", globs = ["**/*.bin"] }]`,
    "program",
  ],
  Deno: (file) => ["", `await Deno.readFile(new URL("${file}", import.meta.url))`],
  Bun: (file) => ["", `await Bun.file(new URL("${file}", import.meta.url)).bytes()`],
  Node: (file) => [
    `import { readFile } from "node:fs/promises";`,
    `await readFile(new URL("${file}", import.meta.url))`,
  ],
  Browser: (file) => ["", `await (await fetch("${file}")).arrayBuffer()`],
};

/** How each platform answers a request. */
const SERVE: Readonly<Record<string, string>> = {
  Cloudflare: `
export default {
  async fetch(request) {
    return Response.json([...answer(await request.json())]);
  },
};
`,
  Deno: `
Deno.serve(async (request) => Response.json([...answer(await request.json())]));
`,
  Bun: `
Bun.serve({
  fetch: async (request) => Response.json([...answer(await request.json())]),
});
`,
};

/** The snippet for a platform. */
export function snippet(platform: string, model: SnippetModel): string {
  const { file, inputSize, outputSize, tokens, time, kinds } = model;
  const [head, bytes] = READ[platform]!(file);
  const array = tokens ? "Int32Array" : "Float32Array";
  const steps = inputSize === 1 ? "input.length" : `input.length / ${inputSize}`;
  const rows = time ? `session.outputSteps(steps) * ${outputSize}` : `${outputSize}`;
  const example = tokens ? "[0, 1, 2]" : `new Array(${inputSize}).fill(0.5)`;
  return [
    `import { loadProgram } from "@splitgate/splitgate/runtime";`,
    ...importLines(kinds),
    ...head === "" ? [] : [head],
    "",
    `const model = loadProgram(${bytes}${loadOptions(kinds)});`,
    "",
    `// ${
      tokens ? "Token ids of a sequence" : `${inputSize} values a step, one step after the other`
    }.`,
    "function answer(values) {",
    `  const input = ${array}.from(values);`,
    `  const steps = ${steps};`,
    "  const session = model.createSession({ maxSteps: steps });",
    `  const output = new Float32Array(${rows});`,
    "  session.run(input, output);",
    "  return output;",
    "}",
    SERVE[platform] ?? `\nconsole.log(answer(${example}));\n`,
  ].join("\n");
}
