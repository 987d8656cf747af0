/**
 * The package and the page in a real browser.
 */
import { assert, assertEquals, assertMatch } from "@std/assert";
import axe from "axe-core";
import { stop } from "esbuild";
import { Buffer } from "node:buffer";
import { pathToFileURL } from "node:url";
import type { Page } from "playwright-core";
import {
  convert,
  getPreset,
  loadModel,
  LSTM,
  prepare,
  saveModel,
  tensor,
} from "@splitgate/splitgate";
import { cut, wordEnds } from "../../../demo/segmenter.ts";
import { languageFiles, loadTask, sequence } from "../../../demo/task.ts";
import { buildSite } from "../../../site/build.ts";
import { bundle } from "../bundle.ts";
import expected from "../expected.json" with { type: "json" };
import { installPacked } from "../install.ts";
import { readAssets } from "../suite.ts";
import { launch } from "./chromium.ts";

/** A language's model under a preset, and a text cut into words by it. */
function segmenterOf(language: string, preset: string) {
  const { model, dictionary, calibration, test } = loadTask(languageFiles(language));
  const observed = prepare(model, getPreset(preset), { splitGates: true });
  for (const run of calibration) observed.forward(sequence(run));
  const file = saveModel(convert(observed));
  const quantized = loadModel(file);
  const words = (text: string): string[] => {
    const tokens = dictionary.encode(text);
    const output = new Float32Array(tokens.length * quantized.outputSize);
    quantized.createSession({ maxSteps: tokens.length }).run(tokens, output);
    return cut(text, wordEnds(output, tokens.length));
  };
  return { file, words, runs: test.map(({ text }) => text) };
}

/** The words that a form shows. */
function shown(page: Page, form: string): Promise<string[]> {
  return page.getByRole("group", { name: `Words, ${form}` }).locator("b").allTextContents();
}

async function assertShown(page: Page, words: string[]): Promise<void> {
  assertEquals(await shown(page, "fused"), words);
  assertEquals(await shown(page, "split"), words);
}

const upload = (name: string, bytes: Uint8Array) => ({
  name,
  mimeType: "application/octet-stream",
  buffer: Buffer.from(bytes),
});

Deno.test({
  name: "the package and the page work in Chromium",
  // The driver keeps its connection and timers until its process ends.
  sanitizeOps: false,
  sanitizeResources: false,
  async fn(t) {
    const folder = await Deno.makeTempDir({ prefix: "splitgate-browser-" });
    const browser = await launch();
    try {
      await t.step("every shared case digests alike", async () => {
        await installPacked(folder);
        await bundle(new URL("digest_page.ts", import.meta.url), folder, "digest.js", {
          format: "iife",
        });
        await Deno.writeTextFile(
          `${folder}/digest.html`,
          `<!doctype html><script src="digest.js"></script>`,
        );
        const page = await browser.newPage();
        const assets = readAssets(new URL("../../../demo/data/", import.meta.url));
        await page.goto(pathToFileURL(`${folder}/digest.html`).href);
        const digests = await page.evaluate(
          // deno-lint-ignore no-explicit-any
          (assets) => (globalThis as any).digests(assets),
          { ...assets, model: [...assets.model] },
        );
        assertEquals(digests, expected.cases);
        await page.close();
      });

      const site = `${folder}/site`;
      const thai = segmenterOf("thai", "accurate");
      const lao = segmenterOf("lao", "fbgemm");
      await buildSite(site);
      const context = await browser.newContext();
      const complaints: string[] = [];
      const fetched: string[] = [];
      await context.setOffline(true);
      const page = await context.newPage();
      page.on("console", (message) => {
        if (["error", "warning"].includes(message.type())) complaints.push(message.text());
      });
      page.on("pageerror", (error) => complaints.push(`${error}`));
      page.on("request", (request) => fetched.push(request.url()));
      await page.goto(pathToFileURL(`${site}/index.html`).href);
      const text = page.getByRole("textbox", { name: "Text" });
      const status = page.getByRole("status");

      await t.step("it starts with an example, segmented", async () => {
        const runs = (await text.inputValue()).split("\n");
        assertEquals(runs, thai.runs.slice(0, 5));
        await assertShown(page, runs.flatMap(thai.words));
        assertMatch(
          (await status.textContent())!,
          /^22 words in 98 characters\. Fused and split agree in every bit\.$/,
        );
      });

      await t.step("it segments what is typed, as it is typed", async () => {
        const [run] = thai.runs.slice(8);
        await text.fill("");
        assertEquals(await status.textContent(), "Type or paste some text.");
        await text.focus();
        for (const length of [3, 7]) {
          const part = Array.from(run!).slice(0, length).join("");
          await text.fill(part);
          await assertShown(page, thai.words(part));
        }
        await text.fill(`A1 ${run}! x`);
        await assertShown(page, thai.words(run!));
        assertMatch(
          (await page.getByRole("group", { name: "Words, split" }).textContent())!,
          /^A1 .*! x$/,
        );
        await text.fill("no such letters");
        assertEquals(
          await status.textContent(),
          "No character of this text is in the model's dictionary.",
        );
      });

      await t.step("it shows time, memory and model size of both forms", async () => {
        await text.fill(thai.runs.slice(0, 40).join(" "));
        for (const form of ["Fused", "Split"]) {
          const region = page.getByRole("region", { name: form });
          await region.getByText(/^\d+\.\d\d µs/).waitFor();
          assertMatch((await region.textContent())!, /Working memory\s*\d+\.\d KB/);
          assertMatch((await region.textContent())!, /Model\s*2\d\.\d KBfrom 71\.5 KB in float32/);
        }
      });

      await t.step("SIMD kernels give the same words", async () => {
        const words = await shown(page, "split");
        await page.getByRole("radio", { name: "WebAssembly SIMD" }).check({ force: true });
        await assertShown(page, words);
        assertMatch((await status.textContent())!, /agree in every bit/);
      });

      await t.step("everything can be reached and used by keyboard", async () => {
        await page.reload();
        const reached: string[] = [];
        for (let i = 0; i < 9; i++) {
          await page.keyboard.press("Tab");
          reached.push(
            await page.evaluate(() => {
              // deno-lint-ignore no-explicit-any
              const { document } = globalThis as any;
              const { activeElement } = document;
              return activeElement.value && activeElement.type === "radio"
                ? activeElement.value
                : activeElement.id || activeElement.getAttribute("aria-label") ||
                  activeElement.textContent;
            }),
          );
        }
        assertEquals(reached, [
          "thai",
          "portable",
          "text",
          "clear",
          "Words, fused",
          "Words, split",
          "own-model",
          "own-dictionary",
          "Licences",
        ]);
        await page.getByRole("radio", { name: "Thai" }).focus();
        await page.keyboard.press("ArrowRight");
        assert(await page.getByRole("radio", { name: "Lao" }).isChecked());
        assertEquals((await text.inputValue()).split("\n")[0], lao.runs[0]);
        await page.getByRole("button", { name: "Clear" }).focus();
        await page.keyboard.press("Enter");
        assertEquals(await text.inputValue(), "");
        assertEquals(await page.evaluate("document.activeElement.id"), "text");
      });

      await t.step("a model of one's own is taken, by choosing and by dropping", async () => {
        const dictionary = new TextEncoder().encode(
          await Deno.readTextFile(languageFiles("lao").dictionary),
        );
        await page.getByLabel("Model", { exact: true }).setInputFiles(
          upload("lao.safetensors", lao.file),
        );
        assertEquals(await status.textContent(), "Now the dictionary's file, please.");
        await page.getByLabel("Dictionary").setInputFiles(upload("lao.json", dictionary));
        await page.getByRole("radio", { name: "Yours" }).waitFor();
        assert(await page.getByRole("radio", { name: "Yours" }).isChecked());
        await text.fill(lao.runs[6]!);
        await assertShown(page, lao.words(lao.runs[6]!));
        assertEquals((await page.getByRole("alert").textContent()) ?? "", "");

        await page.reload();
        await page.evaluate(([model, dictionary]) => {
          // deno-lint-ignore no-explicit-any
          const { DataTransfer, DragEvent, File, document } = globalThis as any;
          const dataTransfer = new DataTransfer();
          dataTransfer.items.add(new File([Uint8Array.from(model!)], "lao.safetensors"));
          dataTransfer.items.add(new File([Uint8Array.from(dictionary!)], "lao.json"));
          document.body.dispatchEvent(
            new DragEvent("drop", { dataTransfer, bubbles: true, cancelable: true }),
          );
        }, [[...lao.file], [...dictionary]]);
        await page.getByRole("radio", { name: "Yours" }).waitFor();
        await text.fill(lao.runs[7]!);
        await assertShown(page, lao.words(lao.runs[7]!));
      });

      await t.step("files that cannot be used are refused in words", async () => {
        const observed = prepare(new LSTM({ inputSize: 2, hiddenSize: 3 }), getPreset("fbgemm"));
        observed.forward(tensor([0.5, -1, 1, 0.25], [2, 1, 2]));
        const words = await shown(page, "split");
        for (
          const [file, message] of [
            [lao.file.subarray(0, 9000), /^This model cannot be used: .*expected/],
            [
              new Uint8Array(3),
              /^This model cannot be used: bytes: expected a whole safetensors file of at least 8 bytes, got 3/,
            ],
            [saveModel(convert(observed)), /cannot be used: model: expected an Embedding first/],
          ] as const
        ) {
          await page.getByLabel("Model", { exact: true }).setInputFiles(
            upload("other.safetensors", file),
          );
          await page.getByRole("alert").getByText("cannot be used").waitFor();
          assertMatch((await page.getByRole("alert").textContent())!, message);
          await assertShown(page, words);
          await page.getByLabel("Model", { exact: true }).setInputFiles([]);
        }
        await page.getByLabel("Model", { exact: true }).setInputFiles(
          upload("notes.txt", new Uint8Array(1)),
        );
        assertEquals(
          await page.getByRole("alert").textContent(),
          "notes.txt: expected a .safetensors or a .json file",
        );
      });

      for (const colorScheme of ["light", "dark"] as const) {
        for (const width of [1280, 360]) {
          await t.step(`axe finds nothing at ${width} pixels, ${colorScheme}`, async () => {
            await page.emulateMedia({ colorScheme });
            await page.setViewportSize({ width, height: 900 });
            await page.evaluate(axe.source);
            const { violations, passes } = await page.evaluate(
              "axe.run({ preload: false })",
            ) as axe.AxeResults;
            assertEquals(
              violations.map(({ id, nodes }) => [id, nodes.map(({ html }) => html)]),
              [],
            );
            assert(passes.some(({ id }) => id === "color-contrast"));
            const overflow = await page.evaluate(
              "document.documentElement.scrollWidth > innerWidth",
            );
            assertEquals(overflow, false, "the page scrolls sideways");
          });
        }
      }

      await t.step("the console is silent, and nothing was fetched but the page's files", () => {
        assertEquals(complaints, []);
        const own = pathToFileURL(site).href;
        assertEquals(fetched.filter((url) => !url.startsWith(own) && url !== "data:,"), []);
      });
    } finally {
      await browser.close();
      await stop();
      await Deno.remove(folder, { recursive: true });
    }
  },
});
