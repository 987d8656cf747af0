// The page of a report: well-formed, whole in itself, and safe whatever names its file had.
import { assert, assertEquals, assertThrows } from "@std/assert";
import { Embedding, Linear, LSTM, quantize, Sequential } from "@splitgate/splitgate";
import {
  measureReport,
  REPORT_STYLE,
  type ReportData,
  reportHTML,
  reportSections,
} from "@splitgate/splitgate/report";
import { dynamicQConfig } from "../../src/qconfig/qconfig.ts";

const HOSTILE = `"><script>alert(1)</script><img src=x onerror=alert(2)>'&amp;</style>\u202e`;

const words = new Sequential({
  embedding: new Embedding({ numEmbeddings: 9, embeddingDim: 4, seed: 1 }),
  lstm: new LSTM({ inputSize: 4, hiddenSize: 5, numLayers: 2, bidirectional: true, seed: 2 }),
  out: new Linear({ inFeatures: 10, outFeatures: 3, seed: 3 }),
});
const ids = [Int32Array.of(1, 4, 8, 0, 2), Int32Array.of(3, 3, 5)];
const quantized = await quantize(words, ids, { preset: "fbgemm" });
const report: ReportData = await measureReport(words, quantized, ids, {
  title: "words.pt",
  labels: [[0, 1, 2, 0, 1], [2, 1, 0]],
});

/** Every text of some data replaced, but for those that choose how something is drawn. */
function withNames(data: ReportData, name: string): ReportData {
  const kept = ["op", "dtype", "metric", "way", "level", "sqnr", "sqnrInModel", "problem"];
  return JSON.parse(
    JSON.stringify(
      data,
      (key, value) => typeof value === "string" && !kept.includes(key) ? `${value}${name}` : value,
    ),
  );
}

/** Requires a page to hold a text; says which is missing, without the page. */
function assertHolds(page: string, text: string): void {
  assert(page.includes(text), `missing: ${text.slice(0, 200)}`);
}

const VOID = ["meta", "link", "br", "img", "hr", "input"];

/** A tag: its name, whether it closes or closes itself, and its attributes. */
interface Tag {
  readonly name: string;
  readonly closes: boolean;
  readonly empty: boolean;
  readonly attributes: ReadonlyMap<string, string>;
}

/** The tags of a page; fails on anything malformed. */
function tagsOf(page: string): Tag[] {
  const tags: Tag[] = [];
  const text = page.replace(/^<!DOCTYPE html>/, "").replace(/<style>[^<]*<\/style>/g, "");
  const left = text.replace(
    /<(\/?)([a-z][a-z0-9]*)((?:\s+[a-zA-Z][a-zA-Z0-9-]*="[^"<>]*")*)\s*(\/?)>/gi,
    (_, closes: string, name: string, attributes: string, empty: string) => {
      const pairs = [...attributes.matchAll(/([a-zA-Z][a-zA-Z0-9-]*)="([^"]*)"/g)];
      const own = new Map(pairs.map(([, key, value]) => [key!, value!]));
      assertEquals(own.size, pairs.length, `an attribute twice: ${attributes}`);
      tags.push({
        name: name.toLowerCase(),
        closes: closes !== "",
        empty: empty !== "" || VOID.includes(name.toLowerCase()),
        attributes: own,
      });
      return "";
    },
  );
  assert(!/[<>]/.test(left), `no tag: ${/.{0,60}[<>].{0,60}/.exec(left)?.[0]}`);
  const entities = left.match(/&[^;\s]{0,9};?/g) ?? [];
  assertEquals(entities.filter((each) => !/^&(amp|lt|gt|quot|#39);$/.test(each)), []);
  return tags;
}

/** Requires every tag to be closed, in order. */
function assertNested(tags: readonly Tag[]): void {
  const open: string[] = [];
  for (const { name, closes, empty } of tags) {
    if (empty) continue;
    if (closes) assertEquals(open.pop(), name);
    else open.push(name);
  }
  assertEquals(open, []);
}

const dynamic = await measureReport(
  words,
  await quantize(words, [], { qconfig: dynamicQConfig }),
  ids,
  { speed: false },
);

for (
  const [name, data] of [
    ["a whole report", report],
    ["one without speed, parts and graph", dynamic],
    ["one whose file has hostile names", withNames(report, HOSTILE)],
    ["one with names of a million characters", withNames(report, "ก".repeat(1_000_000 / 400))],
  ] as const
) {
  Deno.test(`${name} is a well-formed page that needs nothing from elsewhere and runs nothing`, () => {
    const page = reportHTML(data);
    assert(page.startsWith("<!DOCTYPE html>"));
    const tags = tagsOf(page);
    assertNested(tags);
    assertEquals(tags.filter(({ name }) => /script|iframe|object|embed|img|form/.test(name)), []);
    const ids = tags.flatMap(({ attributes }) => attributes.get("id") ?? []);
    assertEquals(new Set(ids).size, ids.length);
    for (const { attributes } of tags) {
      for (const [key, value] of attributes) {
        assert(!/^(on|src|srcset|action|data|style|xlink)/i.test(key), `${key}="${value}"`);
        if (key !== "href") continue;
        assert(value === "data:," || ids.includes(value.slice(1)), `a link to ${value}`);
        assert(value.startsWith("#") || value === "data:,");
      }
    }
    assert(!/url\(|@import/.test(page));
    assert(/"Content-Security-Policy"\s+content="default-src 'none'/.test(page));
    // Foreign text is cut to the shown length, and has no control characters.
    assert(!/[\u202a-\u202e\u2066-\u2069]/.test(page));
    assert(page.length < 4_000_000, `${page.length} characters`);
  });

  Deno.test(`${name} can be read without seeing it: headings in order, tables with captions and heads, pictures with words`, () => {
    const tags = tagsOf(reportHTML(data)).filter(({ closes }) => !closes);
    const count = (name: string) => tags.filter((tag) => tag.name === name).length;
    assertEquals(count("h1"), 1);
    let level = 1;
    for (const { name } of tags.filter(({ name }) => /^h[1-6]$/.test(name))) {
      assert(Number(name[1]) <= level + 1, `${name} behind h${level}`);
      level = Number(name[1]);
    }
    assertEquals(count("table"), count("caption"));
    assert(count("table") >= 2);
    const heads = tags.filter(({ name }) => name === "th");
    assert(heads.every(({ attributes }) => attributes.has("scope")));
    const pictures = tags.filter(({ name }) => name === "svg");
    assert(pictures.length >= 3);
    assert(pictures.every(({ attributes }) => attributes.get("role") === "img"));
    assert(pictures.every(({ attributes }) => (attributes.get("aria-label") ?? "") !== ""));
    const html = tags.find(({ name }) => name === "html")!;
    assertEquals(html.attributes.get("lang"), "en");
  });
}

Deno.test("coordinates of every picture are finite", () => {
  for (const data of [report, dynamic]) {
    assert(!/NaN|Infinity|undefined|\[object/.test(reportHTML(data)));
  }
});

Deno.test("a page shows the data's figures, each part, and each node of the graph", () => {
  const page = reportHTML(report);
  assertHolds(page, "<h1>words.pt: int8 beside float</h1>");
  for (const { name } of report.parts!.parts) assertHolds(page, `>${name}<`);
  for (const { name } of report.graph!) {
    if (name !== "input" && name !== "output") assertHolds(page, name);
  }
  for (const { text } of report.advice) assertHolds(page, text);
  const { sizes } = report;
  assertHolds(page, sizes.model.toLocaleString("en-US"));
});

Deno.test("JSON of a report makes the same page, and sections make it whole", () => {
  const page = reportHTML(report);
  assertEquals(reportHTML(JSON.parse(JSON.stringify(report))), page);
  const sections = reportSections(report);
  for (const { id, title, html } of sections) {
    assertHolds(page, html);
    assert(html.startsWith(`<section id="report-${id}"><h2>${title}</h2>`));
    assertNested(tagsOf(html));
  }
  assertHolds(page, REPORT_STYLE);
  // The style must not change the look of a page that embeds the report.
  const rules = REPORT_STYLE.replace(/@media[^{]*\{((?:[^{}]*\{[^{}]*\})*)\}/g, "$1");
  for (const [, selectors] of rules.matchAll(/([^{}]+)\{[^{}]*\}/g)) {
    for (const selector of selectors!.split(",")) {
      assert(selector.trim().startsWith(".splitgate-report"), selector);
    }
  }
});

Deno.test("what is no report, or of another version, is refused", () => {
  for (const wrong of [null, "page", {}, []]) {
    assertThrows(() => reportHTML(wrong as never), TypeError, "data: expected what measureReport");
  }
  assertThrows(
    () => reportHTML({ ...report, version: 2 } as never),
    RangeError,
    "data.version: expected 1, got 2",
  );
});
