/**
 * The page in a real browser: opened as a file and from a server, by mouse and by keyboard.
 */
import { assert, assertEquals, assertMatch } from "@std/assert";
import axe from "axe-core";
import { stop } from "esbuild";
import { pathToFileURL } from "node:url";
import { gzipSync } from "node:zlib";
import type { Page } from "playwright-core";
import {
  convert,
  getPreset,
  Linear,
  loadFloatModel,
  loadModel,
  LSTM,
  prepare,
  QConfigMapping,
  quantize,
  saveFloatModel,
  saveModel,
  Sequential,
} from "@splitgate/splitgate";
import { parseSafetensors, writeSafetensors } from "@splitgate/splitgate/safetensors";
import { importKeras } from "@splitgate/splitgate/import/keras";
import { importOnnx } from "@splitgate/splitgate/import/onnx";
import { loadProgram } from "@splitgate/splitgate/runtime";
import { softmax } from "@splitgate/splitgate/runtime/softmax";
import { cut, wordEnds } from "../../../demo/segmenter.ts";
import { languageFiles, loadTask, sequence } from "../../../demo/task.ts";
import { buildSite } from "../../../site/build.ts";
import { SAMPLES } from "../../../site/samples.ts";
import { batchesOf } from "../../../src/cli/batches.ts";
import { parseData, type Sequence } from "../../../src/cli/data.ts";
import { launch } from "./chromium.ts";
import { downloaded, opened, openSample, PATIENCE, quantizeIn, text, upload } from "./site_page.ts";

/** Bytes that the first view may weigh, gzipped. */
const FIRST_VIEW = 150_000;

const ONNX = new URL(
  "../../models/onnx-made/lstm-last-mlp-softmax-bf-dyn-legacy",
  import.meta.url,
);

/** What the ONNX model takes. */
const INPUT = { size: 7, vocabulary: 0 };

/** Calibration data of the ONNX model. */
function calibrationData(): readonly Sequence[] {
  const { tensors } = parseSafetensors(
    Deno.readFileSync(new URL(`${ONNX.href}.reference.safetensors`)),
  );
  const { data, shape } = tensors.get("x_calibration")!;
  const file = writeSafetensors([["x", { data: data as Float32Array, shape }]]);
  return parseData("x.safetensors", file, INPUT).sequences;
}

/** A language's model as the page has it, and a text cut into words by it. */
function segmenterOf(language: string) {
  const { model, dictionary, calibration, test } = loadTask(languageFiles(language));
  const observed = prepare(model, getPreset("accurate"), { splitGates: true });
  for (const run of calibration) observed.forward(sequence(run));
  const session = loadModel(saveModel(convert(observed))).createSession({ maxSteps: 256 });
  const words = (text: string): string[] => {
    const tokens = dictionary.encode(text);
    const output = new Float32Array(tokens.length * 4);
    session.reset();
    session.run(tokens, output);
    return cut(text, wordEnds(output, tokens.length));
  };
  return { words, runs: test.map(({ text }) => text) };
}

async function assertAccessible(page: Page, where: string): Promise<void> {
  for (const colorScheme of ["light", "dark"] as const) {
    for (const width of [1280, 360]) {
      await page.emulateMedia({ colorScheme });
      await page.setViewportSize({ width, height: 900 });
      await page.evaluate(axe.source);
      const { violations, passes } = await page.evaluate(
        "axe.run({ preload: false })",
      ) as axe.AxeResults;
      const found = violations.map(({ id, nodes }) => [id, nodes.map(({ html }) => html)]);
      assertEquals(found, [], `${where}, ${width} pixels, ${colorScheme}`);
      assert(passes.some(({ id }) => id === "color-contrast"));
      assertEquals(
        await page.evaluate("document.documentElement.scrollWidth > innerWidth"),
        false,
        `${where}: the page scrolls sideways at ${width} pixels`,
      );
    }
  }
  await page.setViewportSize({ width: 1280, height: 900 });
}

Deno.test({
  name: "the page works in Chromium",
  // The driver keeps its connection and timers until its process ends.
  sanitizeOps: false,
  sanitizeResources: false,
  async fn(t) {
    const folder = await Deno.makeTempDir({ prefix: "splitgate-site-" });
    const browser = await launch();
    const site = `${folder}/site`;
    try {
      await buildSite(site);
      const context = await browser.newContext({ acceptDownloads: true });
      await context.setOffline(true);
      const { page, complaints, fetched } = await opened(
        context,
        pathToFileURL(`${site}/index.html`).href,
      );

      await t.step("what it says first is light, and usable within a second", async () => {
        const weights = fetched.filter((url) => url.startsWith("file:")).map((url) =>
          gzipSync(Deno.readFileSync(new URL(url))).length
        );
        const weight = weights.reduce((a, b) => a + b, 0);
        assert(weights.length >= 3 && weight < FIRST_VIEW, `${weight} bytes`);
        const ready = await page.evaluate(
          "performance.getEntriesByType('navigation')[0].domContentLoadedEventEnd",
        ) as number;
        assert(ready < 1000, `${ready} ms`);
        const paint = "performance.getEntriesByName('first-contentful-paint').length > 0";
        await page.waitForFunction(paint, undefined, PATIENCE);
        const painted = await page.evaluate(
          "performance.getEntriesByName('first-contentful-paint')[0].startTime",
        ) as number;
        assert(painted < 1000, `${painted} ms`);
        await page.getByRole("button", { name: "Thai words" }).click({ trial: true });
        const later = fetched.filter((url) => /\/(workbench|report|signal)\.js$/.test(url));
        assertEquals(later, []);
        await assertAccessible(page, "the first view");
      });

      await t.step("an ONNX model becomes what it becomes in Deno, byte for byte", async () => {
        await openSample(page, "Classes of a sequence", /16 sequences, 192 steps/);
        const graph = page.getByRole("list", { name: "Modules, in order" });
        assertMatch(
          (await graph.textContent())!,
          /^LSTMlstmLastStep.*Linear.*ReLU.*Linear.*Softmax/,
        );
        const drawing = () => fetched.some((url) => url.endsWith("/report.js"));
        assert(!drawing());
        await quantizeIn(page);
        assert(drawing());
        const program = await downloaded(page, "Program,");
        const model = await downloaded(page, "Model file,");
        const architecture = await downloaded(page, "Architecture");
        const source = importOnnx(Deno.readFileSync(new URL(`${ONNX.href}.onnx`)));
        const calibration = calibrationData();
        const made = await quantize(source.model, batchesOf(calibration, source.model, INPUT), {
          preset: "accurate",
          splitGates: true,
        });
        assertEquals(model, saveModel(made.model));
        const outputs = [
          loadModel(model).createSession({ maxSteps: 12 }),
          loadProgram(program, { kinds: [softmax] }).createSession({ maxSteps: 12 }),
        ].map((session) => {
          const output = new Float32Array(5);
          session.run(calibration[0] as Float32Array, output);
          return output;
        });
        assertEquals(outputs[0], outputs[1]);
        assertEquals(JSON.parse(new TextDecoder().decode(architecture)).modules.length, 6);
      });

      await t.step("the report is the one that the command writes", async () => {
        const report = new TextDecoder().decode(await downloaded(page, "Report"));
        assertMatch(report, /<title>lstm-last-mlp-softmax-bf-dyn-legacy\.onnx: int8 beside float/);
        const titles = [...report.matchAll(/<h2>([^<]*)<\/h2>/g)].map(([, title]) => title);
        const shown = await page.locator("#report h2").allTextContents();
        assert(shown.length >= 5, shown.join());
        assertEquals(shown, titles);
        assert(await page.locator("#report svg").count() > 0);
        assertMatch((await text(page, "report-speed"))!, /SIMD/);
      });

      await t.step("the program to copy imports what the model needs", async () => {
        for (const platform of ["Cloudflare", "Deno", "Bun", "Node", "Browser"]) {
          await page.getByLabel("A program that runs the model").selectOption(platform);
          const code = (await text(page, "snippet"))!;
          assertMatch(code, /import \{ softmax \} from "@splitgate\/splitgate\/runtime\/softmax"/);
          assertMatch(code, /lstm-last-mlp-softmax-bf-dyn-legacy\.bin/);
        }
        await assertAccessible(page, "the result");
      });

      await t.step("every sample opens", async () => {
        for (const { title } of SAMPLES) {
          await openSample(page, title, /sequences/);
          assertEquals(await text(page, "model-error"), "");
          assertEquals(await text(page, "data-error"), "");
        }
      });

      await t.step(
        "a file that cannot be used is refused in words, and nothing is lost",
        async () => {
          await openSample(page, "Sensors, both ways", /16 sequences, 400 steps/);
          const before = await text(page, "model-view");
          const model = page.locator("#model-file");
          for (
            const [name, contents, message] of [
              ["notes.txt", "no numbers, and no model", /^notes\.txt: expected a model of PyTorch/],
              ["empty.onnx", "", /^empty\.onnx: .*got an empty file/],
              ["model.json", '{ "weightsManifest": 3 }', /expected a list of groups, got 3/],
              ["half.json", "[1, 2", /^half\.json: expected/],
              ["page.pt", "<!doctype html><title>404</title>", /an HTML page/],
            ] as const
          ) {
            await model.setInputFiles(upload(name, contents));
            await page.locator("#model-error").getByText(message).waitFor(PATIENCE);
            assertEquals(await text(page, "model-view"), before);
          }
          await page.locator("#test-file").setInputFiles(upload("wrong.csv", "1,2,3\n4,5,6\n"));
          await page.locator("#data-error").getByText(
            "wrong.csv line 1: expected 6 numbers, as the model takes a step, got 3. " +
              "Its first rows: 1,2,3 | 4,5,6",
          ).waitFor(PATIENCE);
          assertMatch((await text(page, "test-taken"))!, /16 sequences, 400 steps/);
          await page.locator("#test-file").setInputFiles(
            upload("right.csv", "1,2,3,4,5,6\n".repeat(9)),
          );
          await page.locator("#test-taken").getByText("right.csv: 1 sequence, 9 steps").waitFor();
          assertEquals(await text(page, "data-error"), "");
        },
      );

      await t.step("a model of ONNX can be cut where what stands before is not known", async () => {
        const onnx = Deno.readFileSync(new URL(`${ONNX.href}.onnx`));
        await page.locator("#model-file").setInputFiles(upload("cut.onnx", onnx.subarray(0, 900)));
        await page.locator("#import-options").waitFor(PATIENCE);
        assert((await text(page, "model-error")) !== "");
      });

      await t.step("a state dict gets its graph from a draft, by keyboard", async () => {
        const model = new Sequential({
          rnn: new LSTM({ inputSize: 3, hiddenSize: 4, batchFirst: true, seed: 1 }),
          head: new Linear({ inFeatures: 4, outFeatures: 2, seed: 2 }),
        });
        await page.locator("#model-file").setInputFiles(
          upload("own.safetensors", writeSafetensors([...model.stateDict()])),
        );
        await page.getByText("and no graph").waitFor(PATIENCE);
        const build = page.getByRole("button", { name: "Build the model" });
        await build.focus();
        await page.keyboard.press("Enter");
        await page.getByText(/choose its kind, or remove it/).waitFor();
        await page.getByLabel("Kind of time_after_rnn").focus();
        await page.keyboard.type("LastStep");
        await page.getByLabel("Options of time_after_rnn").focus();
        await page.keyboard.type('{"batchFirst":true}');
        await page.getByRole("button", { name: "Remove after_head" }).focus();
        await page.keyboard.press("Enter");
        // In the file tensors stand by name.
        await build.focus();
        await page.keyboard.press("Enter");
        await page.locator(".editor .error").getByText(/expected a module that takes the width 2/)
          .waitFor(PATIENCE);
        await page.getByRole("button", { name: "Move head down" }).focus();
        await page.keyboard.press("Enter");
        await page.keyboard.press("Enter");
        await assertAccessible(page, "the editor");
        await build.focus();
        await page.keyboard.press("Enter");
        await page.getByRole("list", { name: "Modules, in order" }).waitFor(PATIENCE);
        assertEquals(await text(page, "model-error"), "");
        await page.getByRole("button", { name: "Continue with generated data" }).focus();
        await page.keyboard.press("Enter");
        await page.getByText(/Use real data before you trust it/).waitFor(PATIENCE);
        const start = page.getByRole("button", { name: "Quantize", exact: true });
        await start.focus();
        await page.keyboard.press("Enter");
        await page.locator("#run-status").getByText(/^Done in/).waitFor(PATIENCE);
        assertEquals(await page.evaluate("document.activeElement.id"), "result-heading");
      });

      await t.step("steps that a Keras model masks are left out, as the command does", async () => {
        const file = Deno.readFileSync(
          new URL("../../models/keras-made/masked.keras", import.meta.url),
        );
        const lines = [
          "[[1,2,3],[0,0,0],[4,5,6],[0,0,0]]",
          "[[0,0,0],[-1,2,-3],[2,-2,1]]",
        ];
        await page.locator("#model-file").setInputFiles(upload("masked.keras", file));
        await page.locator("#model-view").getByText("masked.keras").waitFor(PATIENCE);
        assertMatch((await text(page, "model-view"))!, /steps of nothing but 0 are masked/);
        await page.locator("#calibration-file").setInputFiles(upload("x.jsonl", lines.join("\n")));
        await page.locator("#calibration-taken").getByText("2 sequences, 7 steps").waitFor();
        await quantizeIn(page);
        const { model } = importKeras(file, { masking: "lengths" });
        const input = { size: 3, vocabulary: 0 };
        const used = ["[[1,2,3],[4,5,6]]", "[[-1,2,-3],[2,-2,1]]"].join("\n");
        const { sequences } = parseData("x.jsonl", new TextEncoder().encode(used), input);
        const made = await quantize(model, batchesOf(sequences, model, input), {
          preset: "accurate",
          splitGates: true,
        });
        assertEquals(await downloaded(page, "Model file,"), saveModel(made.model));
        assertMatch((await text(page, "report"))!, /2 sequences of calibration data, 4 steps/);
      });

      await t.step("parts and modules get the integers that were chosen", async () => {
        const wide = new LSTM({ inputSize: 2, hiddenSize: 4, batchFirst: true, seed: 3 });
        await page.locator("#model-file").setInputFiles(
          upload("wide.safetensors", saveFloatModel(wide)),
        );
        await page.getByText("wide.safetensors").waitFor(PATIENCE);
        const lines = "[[0.5, -1], [1, 2]]\n[[0.25, 0], [-1, 1], [0, 0.5]]\n";
        await page.locator("#calibration-file").setInputFiles(upload("x.jsonl", lines));
        await page.locator("#calibration-taken").getByText("2 sequences, 5 steps").waitFor();
        await page.getByText("Integers by module and part").click();
        await page.getByLabel("Integers of the hidden state").selectOption("16");
        await page.getByLabel("Preset").selectOption("fbgemm");
        await quantizeIn(page);
        const { output } = loadModel(await downloaded(page, "Model file,"));
        assertEquals([output?.dtype, output?.quantMin], ["qint32", -32768]);
        await page.getByLabel("Integers of the hidden state").selectOption("");
        const choice = page.getByLabel("Integers of lstm");
        await choice.focus();
        await choice.selectOption("int8x16");
        await quantizeIn(page);
        const model = loadFloatModel(saveFloatModel(wide));
        const input = { size: 2, vocabulary: 0 };
        const { sequences } = parseData("x.jsonl", new TextEncoder().encode(lines), input);
        const qconfig = new QConfigMapping().setGlobal(getPreset("fbgemm"))
          .setModuleName("lstm", getPreset("int8x16"));
        const made = await quantize(model, batchesOf(sequences, model, input), {
          qconfig,
          splitGates: true,
        });
        assertEquals(await downloaded(page, "Model file,"), saveModel(made.model));
      });

      await t.step("quantizing can be stopped, and begun again", async () => {
        await openSample(page, "First or last name", /64 sequences/);
        await page.getByRole("button", { name: "Quantize", exact: true }).click();
        await page.getByText(/Calibrating: [1-9]/).waitFor(PATIENCE);
        await page.getByRole("button", { name: "Stop" }).click();
        await page.locator("#run-error").getByText("Stopped.").waitFor(PATIENCE);
        assert(await page.getByRole("button", { name: "Quantize", exact: true }).isEnabled());
      });

      await t.step("words are cut as they are typed, float beside int8", async () => {
        const thai = segmenterOf("thai");
        const lao = segmenterOf("lao");
        const area = page.getByRole("textbox", { name: "Text", exact: true });
        const status = page.locator("#segmenter-status");
        const shown = (form: string) => page.locator(`#words-${form} b`).allTextContents();
        await page.locator("#words").scrollIntoViewIfNeeded();
        await status.getByText(/^22 words in 98 characters/).waitFor(PATIENCE);
        assertMatch((await status.textContent())!, /Fused and split agree in every bit/);
        assertEquals(await shown("int8"), thai.runs.slice(0, 5).flatMap(thai.words));
        const [run] = thai.runs.slice(8);
        await area.fill(`A1 ${run}! x`);
        await status.getByText(/words? in/).waitFor();
        await page.waitForFunction(
          ([id, words]) => {
            // deno-lint-ignore no-explicit-any
            const { document } = globalThis as any;
            const marks = [...document.querySelectorAll(`#${id} b`)];
            return marks.map((mark) => mark.textContent).join("|") === words;
          },
          ["words-int8", thai.words(run!).join("|")],
          PATIENCE,
        );
        await page.getByText(/µs in int8 and .* µs in float32/).waitFor(PATIENCE);
        await page.getByRole("radio", { name: "WebAssembly SIMD" }).check({ force: true });
        await area.fill("");
        await status.getByText("Type or paste some text.").waitFor();
        await page.getByRole("radio", { name: "Lao" }).check({ force: true });
        await status.getByText(/agree in every bit/).waitFor(PATIENCE);
        assertEquals(await shown("int8"), lao.runs.slice(0, 5).flatMap(lao.words));
      });

      await t.step("a signal goes through an LSTM step by step", async () => {
        await page.getByRole("button", { name: "Play", exact: true }).click();
        await page.locator("#step").getByText(/^Step [3-9]/).waitFor(PATIENCE);
        await page.getByRole("button", { name: "Pause" }).click();
        await page.getByText("The integers of this step").click();
        await page.locator("#integers-view").getByText("Forget gate").waitFor();
        assertEquals(await page.locator("#integers-view p").count(), 6);
        const drawn = await page.evaluate(`
          [...document.querySelectorAll("#parts canvas")].map((canvas) =>
            canvas.getContext("2d").getImageData(0, 0, 12, canvas.height).data.some((v) => v > 0))
        `);
        assertEquals(drawn, Array(6).fill(true));
        await page.getByLabel("Signal", { exact: true }).selectOption("hand");
        await page.getByLabel("Your curve: move it while it runs").fill("1.5");
        await page.locator("#step").getByText(/^Step [3-9]\./).waitFor(PATIENCE);
        await page.getByRole("button", { name: "Pause" }).click();
        await assertAccessible(page, "what can be played with");
      });

      await t.step("the console is silent, and nothing is fetched but the page's files", () => {
        assertEquals(complaints, []);
        const own = pathToFileURL(site).href;
        const outside = (url: string) => !/^(data|blob):/.test(url) && !url.startsWith(own);
        assertEquals(fetched.filter(outside), []);
      });
    } finally {
      await browser.close();
      await stop();
      await Deno.remove(folder, { recursive: true });
    }
  },
});
