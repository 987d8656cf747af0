import { assert, assertEquals } from "@std/assert";
import { LAYERS } from "../scripts/layers.ts";
import { ALL_PAGES, blocksOf, commandsIn, read } from "./pages.ts";

const ROOT = new URL("../", import.meta.url);

/** Pages about the code itself. */
const PAGES = ["docs/architecture.md", "docs/adding-a-module.md"];

/** Code that a page writes in the middle of a line. */
function spansOf(page: string): string[] {
  const prose = page.replaceAll(/^```[^]*?^```$/gm, "");
  return [...prose.matchAll(/`([^`]+)`/g)].map(([, span]) => span!);
}

/**
 * Whether the lines of an excerpt's parts, separated by `// ...`, are in a file in the same order.
 */
function isExcerpt(excerpt: string, file: string): boolean {
  const lines = `\n${file}`;
  let at = 0;
  for (const part of excerpt.split(/^ *\/\/ \.\.\.\n/m)) {
    const found = lines.indexOf(`\n${part}`, at);
    if (found < 0) return false;
    at = found + part.length;
  }
  return true;
}

function exists(path: string): boolean {
  try {
    Deno.statSync(new URL(path, ROOT));
    return true;
  } catch {
    return false;
  }
}

Deno.test("the layers that docs/architecture.md shows are those that deno task layers holds", () => {
  const [, table] = /<!-- layers:begin -->\n([^]*)<!-- layers:end -->/.exec(read(PAGES[0]!))!;
  const rows = table!.trim().split("\n").slice(2).map((row) => {
    const [layer, ...imports] = [...row.matchAll(/`([^`]+)`/g)].map(([, path]) => path!);
    return [layer!, imports] as const;
  });
  assertEquals(rows, Object.entries(LAYERS));
});

Deno.test("isExcerpt() takes parts in their order, and nothing that is not there", () => {
  const file = "a\n  b\nc\nd\n";
  assert(isExcerpt("a\n  b\n", file) && isExcerpt("a\n// ...\nd\n", file));
  assert(!isExcerpt("b\nd\n", file) && !isExcerpt("d\n// ...\na\n", file));
  assert(!isExcerpt("b\n", file) && !isExcerpt("a\n// ...\na\n", file));
});

for (const page of [...PAGES, "docs/from-pytorch.md"]) {
  Deno.test(`excerpts of ${page} stand in the files that they name`, () => {
    const excerpts = blocksOf(read(page)).filter(({ info }) => info.includes("/"));
    for (const { info, text } of excerpts) {
      const path = info.split(" ").at(-1)!;
      assert(isExcerpt(text, read(path)), `${path} has not:\n${text}`);
    }
    assert(page === "docs/architecture.md" || excerpts.length > 2);
  });
}

for (const page of PAGES) {
  Deno.test(`files and tasks that ${page} names exist`, () => {
    const text = read(page);
    const { tasks } = JSON.parse(read("deno.json"));
    const paths = spansOf(text).filter((span) =>
      /^(src|kernels|tests|scripts|docs|bench)\/[\w/.]*$/.test(span)
    );
    assert(paths.length > 5);
    for (const path of paths) assert(exists(path), path);
    for (const [, task] of text.matchAll(/deno task ([\w:]+)/g)) assert(task! in tasks, task);
  });
}

/** What a heading is called in links, as GitHub makes it. */
function anchorOf(heading: string): string {
  return heading.toLowerCase().replaceAll(/[^\p{L}\p{N} _-]/gu, "").replaceAll(" ", "-");
}

Deno.test("every link within the repository leads to a file and a heading that exist", () => {
  let links = 0;
  for (const page of ALL_PAGES) {
    const prose = read(page).replaceAll(/^```[^]*?^```$/gm, "");
    for (const [, target] of prose.matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^\w+:/.test(target!)) continue;
      links++;
      const { pathname, hash } = new URL(target!, new URL(page, "file:///"));
      const path = pathname.slice(1) || page;
      assert(exists(path), `${page}: ${target}`);
      if (hash === "") continue;
      const anchors = [...read(path).matchAll(/^#+ (.*)$/gm)].map(([, text]) => anchorOf(text!));
      assert(anchors.includes(decodeURI(hash.slice(1))), `${page}: ${target}`);
    }
  }
  assert(links > 30);
});

Deno.test("every page is linked from the README or from a page that is", () => {
  const linked = new Set(["README.md"]);
  for (const page of linked) {
    for (const [, target] of read(page).matchAll(/\]\(([^)\s#]+\.md)/g)) {
      if (!/^\w+:/.test(target!)) {
        linked.add(new URL(target!, new URL(page, "file:///")).pathname.slice(1));
      }
    }
  }
  assertEquals(ALL_PAGES.filter((page) => !linked.has(page)), []);
});

Deno.test("tasks that pages name exist", () => {
  const { tasks } = JSON.parse(read("deno.json"));
  for (const page of ALL_PAGES.filter((page) => page !== "CHANGELOG.md")) {
    for (const [, task] of read(page).matchAll(/deno(?:@[\d.]+)? task ([a-z]+(?::[a-z]+)?)/g)) {
      assert(task! in tasks, `${page}: ${task}`);
    }
  }
});

Deno.test("the README is at most 150 lines long", () => {
  assert(read("README.md").split("\n").length <= 150);
});

Deno.test("docs/adding-a-module.md explains every answer of a kind, and no other", () => {
  const page = read("docs/adding-a-module.md");
  for (
    const [file, name] of [["src/modules/kind.ts", "Kind"], ["src/runtime/kind.ts", "RunningKind"]]
  ) {
    const source = read(file!);
    const from = source.indexOf(`export interface ${name}<`);
    const body = source.slice(source.indexOf("> {\n", from), source.indexOf("\n}\n", from));
    const members = [...body.matchAll(/^ {2}(?:readonly )?(\w+)\??[:(]/gm)].map(([, key]) => key!);
    const [, table] = new RegExp(`<!-- ${name}:begin -->([^]*)<!-- ${name}:end -->`).exec(page)!;
    const explained = [...table!.matchAll(/^\| `(\w+)` \|/gm)].map(([, key]) => key!);
    assertEquals(explained, members, file);
  }
});

/** Pages whose commands tests/runtimes/pages_test.ts types one by one. */
const FOLLOWED = [
  "README.md",
  "docs/browsers.md",
  "docs/command.md",
  "docs/edge-workers.md",
  "docs/from-keras-and-tfjs.md",
  "docs/from-onnx.md",
  "docs/from-pytorch.md",
];

/** Whether tests/runtimes/examples_test.ts installs, builds and calls the example of a page. */
function isRun(page: string): boolean {
  const [, name] = /^examples\/(.*)\/README\.md$/.exec(page) ?? [];
  return name !== undefined &&
    read("tests/runtimes/examples_test.ts").includes(`install("${name}")`);
}

/** Whether a file exists in the folder of a page. */
const hasFile = (page: string, file: string) => exists(page.replace(/[^/]*$/, file));

/** How a command of a page is held to what it says; one of those that fit it must. */
const HELD: readonly [command: RegExp, holds: (page: string, match: RegExpExecArray) => boolean][] =
  [
    // Tasks and folders of tests exist; what builds with JSR, or publishes, people do.
    [
      /^npx -y deno@2\.9\.6 task ([\w:]+)( --[^&]*)?( && npm publish \S+ --access public)?$/,
      (_, [, task]) => task! in JSON.parse(read("deno.json")).tasks,
    ],
    [
      /^(SPLITGATE_TARBALL=\S+ )?npx -y deno@2\.9\.6 test -A ([^&]*)$/,
      (_, [, , paths]) => paths!.split(" ").every(exists),
    ],
    [/^npx -y deno@2\.9\.6 publish$/, () => read(".ci/run").includes("deno publish --dry-run")],
    [/^\.ci\/run$/, () => exists(".ci/run")],
    [
      /^\(cd build && npm pack \.\/npm\)$/,
      () => read("scripts/build_npm.ts").includes("build/npm"),
    ],
    // tests/runtimes/pages_test.ts types these, and examples_test.ts those of pytorch-to-edge.
    [
      /^((npx )?splitgate |\$EDITOR |npm init -y$|npm install PATH|npx wrangler dev$|curl )/,
      (page) => FOLLOWED.includes(page) || isRun(page),
    ],
    [/^(npm|bun) install$/, isRun],
    [
      /^(FUZZ_SEED=\d+ FUZZ_RUNS=\d+ )?(npm|bun) (run )?(build|test)$/,
      (page, [, , , , script]) =>
        isRun(page) && script! in JSON.parse(read(page.replace(/[^/]*$/, "package.json"))).scripts,
    ],
    [
      /^(node|bun|deno run .*?) (\w+\.m?[jt]s)\b/,
      (page, [, , file]) =>
        isRun(page)
          ? hasFile(page, file!)
          : FOLLOWED.includes(page) && read(page).includes(` ${file}\n`),
    ],
    [/^node -e .* \| curl /, isRun],
    [
      /^(npx vite preview|python3 -m http\.server \d+)$/,
      (page) => FOLLOWED.includes(page) || isRun(page) && hasFile(page, "index.html"),
    ],
    // With torch, which CI does not have.
    [/^python scripts\/(\w+)\.py /, (_, [, script]) => exists(`scripts/${script}_test.py`)],
  ];

Deno.test("every command of every page is run by CI or checked", () => {
  let commands = 0;
  for (const page of ALL_PAGES) {
    for (const command of blocksOf(read(page)).flatMap(commandsIn)) {
      commands++;
      const held = HELD.some(([expression, holds]) => {
        const match = expression.exec(command);
        return match !== null && holds(page, match);
      });
      assert(held, `${page}: ${command}`);
    }
  }
  assert(commands > 50);
});
