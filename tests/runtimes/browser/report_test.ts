/**
 * Reports in a real browser: made there, and read there.
 */
import { assert, assertEquals } from "@std/assert";
import axe from "axe-core";
import { stop } from "esbuild";
import { pathToFileURL } from "node:url";
import { bundle } from "../bundle.ts";
import { installPacked } from "../install.ts";
import { makeReport, type ReportCase } from "../report_case.ts";
import { launch } from "./chromium.ts";

/** What forbids code that is made of texts, as pages with a strict policy do. */
const POLICY = `<meta http-equiv="Content-Security-Policy" content="script-src file:">`;

Deno.test({
  name: "a report is made and read in Chromium",
  // The driver keeps its connection and timers until its process ends.
  sanitizeOps: false,
  sanitizeResources: false,
  async fn(t) {
    const folder = await Deno.makeTempDir({ prefix: "splitgate-report-" });
    const browser = await launch();
    const { page: expected } = await makeReport();
    try {
      await t.step(
        "made in a page that allows no eval and stays alive meanwhile, it is that of Deno",
        async () => {
          await installPacked(folder);
          await bundle(new URL("report_page.ts", import.meta.url), folder, "report.js", {
            format: "iife",
          });
          await Deno.writeTextFile(
            `${folder}/make.html`,
            `<!doctype html>${POLICY}<script src="report.js"></script>`,
          );
          const page = await browser.newPage();
          await page.goto(pathToFileURL(`${folder}/make.html`).href);
          const made = await page.evaluate("makeReport()") as ReportCase;
          assert(made.page === expected, "the page is another one");
          assert(made.turns > 0);
          await page.close();
        },
      );

      const file = `${folder}/report.html`;
      await Deno.writeTextFile(file, expected);
      const context = await browser.newContext();
      await context.setOffline(true);
      const page = await context.newPage();
      const complaints: string[] = [];
      const fetched: string[] = [];
      page.on("console", (message) => complaints.push(message.text()));
      page.on("pageerror", (error) => complaints.push(`${error}`));
      page.on("request", (request) => fetched.push(request.url()));
      await page.goto(pathToFileURL(file).href);

      await t.step("modules open where they are clicked, and links lead to sections", async () => {
        const graph = page.locator("#report-graph");
        assertEquals(await graph.locator("svg.graph:visible").count(), 1);
        await graph.getByText(/^lstm\.l0: \d+ nodes$/).click();
        assertEquals(await graph.locator("svg.graph:visible").count(), 2);
        await page.getByRole("link", { name: "Where accuracy is lost" }).click();
        assert(
          await page.evaluate(
            "document.querySelector('#report-parts').getBoundingClientRect().top < 100",
          ),
        );
      });

      for (const colorScheme of ["light", "dark"] as const) {
        for (const width of [1280, 360]) {
          await t.step(`axe finds nothing at ${width} pixels, ${colorScheme}`, async () => {
            await page.emulateMedia({ colorScheme });
            await page.setViewportSize({ width, height: 900 });
            await page.evaluate(
              "document.querySelectorAll('details').forEach((each) => each.open = true)",
            );
            const tree = await page.evaluate(
              `${axe.source}; axe.run({ preload: false })`,
            ) as axe.AxeResults;
            assertEquals(
              tree.violations.map((
                { id, nodes },
              ) => [id, nodes.slice(0, 3).map(({ html }) => html)]),
              [],
            );
            assert(tree.passes.some(({ id }) => id === "color-contrast"));
            const ground = await page.evaluate("getComputedStyle(document.body).backgroundColor");
            assertEquals(
              ground,
              colorScheme === "light" ? "rgb(255, 255, 255)" : "rgb(13, 17, 23)",
            );
            const overflow = await page.evaluate(
              "document.documentElement.scrollWidth > innerWidth",
            );
            assertEquals(overflow, false, "the page scrolls sideways");
          });
        }
      }

      await t.step("the console is silent, and nothing was fetched but the page", () => {
        assertEquals(complaints, []);
        assertEquals(fetched.filter((url) => url !== "data:,"), [pathToFileURL(file).href]);
      });
    } finally {
      await browser.close();
      await stop();
      await Deno.remove(folder, { recursive: true });
    }
  },
});
