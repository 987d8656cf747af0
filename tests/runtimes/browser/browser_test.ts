/**
 * The package in a real browser.
 */
import { assertEquals } from "@std/assert";
import { stop } from "esbuild";
import { Buffer } from "node:buffer";
import { pathToFileURL } from "node:url";
import { bundle } from "../bundle.ts";
import expected from "../expected.json" with { type: "json" };
import { installPacked } from "../install.ts";
import { packModelFiles } from "../model_files.ts";
import { readThai } from "../suite.ts";
import { launch } from "./chromium.ts";

Deno.test({
  name: "the package works in Chromium",
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
        const assets = {
          ...readThai(new URL("../../../demo/data/", import.meta.url)),
          files: packModelFiles(),
        };
        await page.goto(pathToFileURL(`${folder}/digest.html`).href);
        const digests = await page.evaluate(
          // deno-lint-ignore no-explicit-any
          (assets) => (globalThis as any).digests(assets),
          {
            ...assets,
            model: Buffer.from(assets.model).toString("base64"),
            files: Buffer.from(assets.files).toString("base64"),
          },
        );
        assertEquals(digests, expected.cases);
        await page.close();
      });
    } finally {
      await browser.close();
      await stop();
      await Deno.remove(folder, { recursive: true });
    }
  },
});
