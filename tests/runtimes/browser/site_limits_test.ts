/**
 * What the page must reach in a real browser: it never stops, models of 20 MB fit on a phone, and what
 * an engine lacks costs no more than that.
 */
import { assert, assertEquals } from "@std/assert";
import { stop } from "esbuild";
import { cp } from "node:fs/promises";
import { pathToFileURL } from "node:url";
import {
  Generator,
  Linear,
  loadModel,
  LSTM,
  saveFloatModel,
  Sequential,
} from "@splitgate/splitgate";
import { writeSafetensors } from "@splitgate/splitgate/safetensors";
import { buildSite } from "../../../site/build.ts";
import { serveFolder } from "../serve_folder.ts";
import { type Busy, watchBusy } from "./busy.ts";
import { launch } from "./chromium.ts";
import { downloaded, opened, openSample, PATIENCE, quantizeIn, text, upload } from "./site_page.ts";

/** Milliseconds of processor time for which the page's own thread may be busy at a time. */
const BUSY_MS = 50;

/** Milliseconds of processor time that calibration of the segmenter may take. */
const CALIBRATION_MS = 3000;

/** A phone: its pixels, its density, a finger. */
const PHONE = {
  viewport: { width: 390, height: 844 },
  deviceScaleFactor: 3,
  isMobile: true,
  hasTouch: true,
} as const;

/** Max memory of the page's process in megabytes, including 150 of its engine. */
const PHONE_MB = 512;

/** What an engine may lack, how it is taken from a worker, and what the page says of it. */
const LACKS = [
  ["WebAssembly", "delete globalThis.WebAssembly;", /expected an engine with WebAssembly, got/],
  [
    "WebAssembly SIMD",
    "WebAssembly.Module=class{constructor(){throw new WebAssembly.CompileError()}};" +
    "WebAssembly.validate=()=>false;",
    /expected an engine with WebAssembly SIMD, got one without/,
  ],
] as const;

/** Asserts that the page's own thread was never busy for long. */
function assertAlive(busy: Busy): void {
  const tasks = busy.tasks();
  assert(tasks.length > 50, `${tasks.length} tasks seen`);
  const long = tasks.filter(({ cpu }) => cpu > BUSY_MS);
  assertEquals(long, []);
}

/** Peak memory of the largest page process so far, in megabytes. */
function peakMegabytes(): number {
  const peaks: number[] = [];
  for (const { name } of Deno.readDirSync("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    try {
      const command = Deno.readTextFileSync(`/proc/${name}/cmdline`);
      if (!command.includes("--type=renderer")) continue;
      const [, kilobytes] = /VmHWM:\s+(\d+)/.exec(Deno.readTextFileSync(`/proc/${name}/status`))!;
      peaks.push(Number(kilobytes) / 1000);
    } catch {
      // It has ended meanwhile.
    }
  }
  return Math.max(0, ...peaks);
}

Deno.test({
  name: "the page stays alive, small and usable",
  // The driver keeps its connection and timers until its process ends.
  sanitizeOps: false,
  sanitizeResources: false,
  async fn(t) {
    const folder = await Deno.makeTempDir({ prefix: "splitgate-site-" });
    const browser = await launch();
    const site = `${folder}/some/folder`;
    const server = serveFolder(folder);
    try {
      await buildSite(site);

      await t.step("from a server, in a folder, the page stays alive while it works", async () => {
        const online = await browser.newContext();
        const { page, complaints } = await opened(online, `${server.url}/some/folder/index.html`);
        const busy = await watchBusy(browser, page, async () => {
          await page.reload();
          await openSample(page, "Thai words", /\d+ sequences/);
          await quantizeIn(page);
          await page.locator("#report-graph summary").last().waitFor(PATIENCE);
          await page.locator("#report-graph").scrollIntoViewIfNeeded();
          await openSample(page, "First or last name", /64 sequences/);
          await page.getByRole("button", { name: "Quantize", exact: true }).click();
          await page.getByText(/Calibrating: [1-9]/).waitFor(PATIENCE);
          await page.getByRole("button", { name: "Stop" }).click();
          await page.locator("#run-error").getByText("Stopped.").waitFor(PATIENCE);
          await page.locator("#words").scrollIntoViewIfNeeded();
          await page.locator("#segmenter-status").getByText(/words? in/).waitFor(PATIENCE);
          await page.getByRole("button", { name: "Play", exact: true }).click();
          await page.locator("#step").getByText(/^Step [3-9]/).waitFor(PATIENCE);
        });
        assertAlive(busy);
        assertEquals(complaints, []);
        const calibration = busy.between("calibrate", "convert");
        assert(calibration < CALIBRATION_MS, `${calibration} ms of processor time`);
        await online.close();
      });
      await t.step("models of many modules and tensors do not stop the page", async () => {
        const online = await browser.newContext();
        const { page } = await opened(online, `${server.url}/some/folder/index.html`);
        const linear = (i: number) => new Linear({ inFeatures: 4, outFeatures: 4, seed: i });
        const deep = new Sequential(
          Object.fromEntries(Array.from({ length: 200 }, (_, i) => [`l${i}`, linear(i)])),
        );
        const data = new Float32Array(16);
        const many = Array.from(
          { length: 300 },
          (_, i) => [`a.${i}.weight`, { data, shape: [4, 4] }] as const,
        );
        const busy = await watchBusy(browser, page, async () => {
          const file = page.locator("#model-file");
          await file.setInputFiles(upload("many.safetensors", writeSafetensors(many)));
          await page.locator(".rows li").nth(299).waitFor({ ...PATIENCE, state: "attached" });
          await file.setInputFiles(upload("deep.safetensors", saveFloatModel(deep)));
          await page.getByRole("button", { name: "Show all 200 modules" }).click(PATIENCE);
          await page.getByText("Integers by module and part").click();
          await page.getByLabel("Integers of l199").waitFor({ ...PATIENCE, state: "attached" });
          await page.getByRole("button", { name: "Continue with generated data" }).click();
          await page.getByText(/Use real data before you trust it/).waitFor(PATIENCE);
          await quantizeIn(page);
          await page.locator("#report-graph summary").last().waitFor(PATIENCE);
          await page.locator("#words").scrollIntoViewIfNeeded();
          await page.locator("#segmenter-status").getByText(/words? in/).waitFor(PATIENCE);
          await page.evaluate(`
            const area = document.getElementById("text");
            const pasted = new DataTransfer();
            pasted.setData("text/plain", (area.value + "\\n").repeat(300));
            area.select();
            setTimeout(() => area.dispatchEvent(
              new ClipboardEvent("paste", { clipboardData: pasted, cancelable: true })));
          `);
          await page.locator("#segmenter-status").getByText(/in 19,\d+ characters/).waitFor(
            PATIENCE,
          );
        });
        assertAlive(busy);
        await online.close();
      });

      await t.step("a model of 20 MB becomes int8 on a phone", async () => {
        const big = new Sequential({
          lstm: new LSTM({ inputSize: 64, hiddenSize: 1088, batchFirst: true, seed: 1 }),
          out: new Linear({ inFeatures: 1088, outFeatures: 10, seed: 2 }),
        });
        const bytes = saveFloatModel(big);
        assert(bytes.length > 20e6, `${bytes.length} bytes`);
        // By its path: the driver would send its bytes through the page's own thread.
        const path = `${folder}/big.safetensors`;
        await Deno.writeFile(path, bytes);
        const random = new Generator(3);
        const lines = Array.from({ length: 4 }, () => {
          const values = new Float32Array(8 * 64);
          random.normal(values);
          return JSON.stringify(
            Array.from({ length: 8 }, (_, t) => [...values.subarray(t * 64, (t + 1) * 64)]),
          );
        });
        const phone = await launch();
        try {
          const context = await phone.newContext({ ...PHONE, acceptDownloads: true });
          const { page, complaints } = await opened(
            context,
            pathToFileURL(`${site}/index.html`).href,
          );
          const busy = await watchBusy(phone, page, async () => {
            await page.locator("#model-file").setInputFiles(path);
            await page.locator("#model-view").getByText("big.safetensors").waitFor(PATIENCE);
            await page.locator("#calibration-file").setInputFiles(
              upload("x.jsonl", lines.join("\n")),
            );
            await page.locator("#calibration-taken").getByText("4 sequences").waitFor(PATIENCE);
            // The recommended preset rounds weights by correlations: minutes at this width.
            await page.getByLabel("Preset").selectOption("fbgemm");
            await page.getByRole("button", { name: "Quantize", exact: true }).click();
            await page.locator("#run-status").getByText(/^Done in/).waitFor({ timeout: 120_000 });
          });
          assertAlive(busy);
          const loaded = loadModel(await downloaded(page, "Model file,"));
          assertEquals(loaded.outputSize, 10);
          const peak = peakMegabytes();
          assert(peak < PHONE_MB, `${peak} MB`);
          console.log(`20 MB: ${Math.round(peak)} MB at most; ${await text(page, "run-status")}`);
          assertEquals(complaints, []);
        } finally {
          await phone.close();
        }
      });

      for (const [what, script, message] of LACKS) {
        await t.step(`without ${what} everything works but SIMD, which says why`, async () => {
          const lacking = `${folder}/without-${what.replaceAll(" ", "-")}`;
          await cp(site, lacking, { recursive: true });
          // Each worker's source is a string of its chunk.
          for (const worker of ["live", "workbench", "report"]) {
            const path = `${lacking}/${worker}.js`;
            const chunk = await Deno.readTextFile(path);
            const begin = `splitgateChunk("${worker}","`;
            assert(chunk.startsWith(begin));
            await Deno.writeTextFile(path, begin + script + chunk.slice(begin.length));
          }
          const { page, complaints } = await opened(
            await browser.newContext(),
            pathToFileURL(`${lacking}/index.html`).href,
          );
          await openSample(page, "Classes of a sequence", /16 sequences, 192 steps/);
          await quantizeIn(page);
          const speed = page.locator("#report-speed");
          await speed.getByText("int8, portable").first().waitFor({
            ...PATIENCE,
            state: "attached",
          });
          assertEquals(/SIMD/.test((await speed.textContent())!), false);
          await page.locator("#words").scrollIntoViewIfNeeded();
          const status = page.locator("#segmenter-status");
          await status.getByText(/words? in/).waitFor(PATIENCE);
          await page.locator('[value="simd"]').dispatchEvent("click");
          await status.getByText(message).waitFor(PATIENCE);
          assert(await page.locator('[value="simd"]').isDisabled());
          assert((await page.locator("#words-int8 b").count()) > 5);
          assertEquals(complaints, []);
        });
      }
    } finally {
      await browser.close();
      await server.stop();
      await stop();
      await Deno.remove(folder, { recursive: true });
    }
  },
});
