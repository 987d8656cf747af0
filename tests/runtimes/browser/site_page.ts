/**
 * The page in a browser, and the actions of tests on it.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import type { BrowserContext, Page } from "playwright-core";

/** Milliseconds within which work of the page is done on a machine that has other work too. */
export const PATIENCE = { timeout: 30_000 };

/** A file as it is chosen. */
export const upload = (name: string, contents: Uint8Array | string) => ({
  name,
  mimeType: "application/octet-stream",
  buffer: Buffer.from(contents),
});

/** What a button gives. */
export async function downloaded(page: Page, button: string): Promise<Uint8Array> {
  const download = page.waitForEvent("download");
  await page.getByRole("button", { name: button }).click();
  return await Deno.readFile(await (await download).path());
}

/** A page of the site, and what it complained of and fetched. */
export async function opened(context: BrowserContext, url: string) {
  const page = await context.newPage();
  const complaints: string[] = [];
  const fetched: string[] = [];
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) complaints.push(message.text());
  });
  page.on("pageerror", (error) => complaints.push(`${error}`));
  page.on("request", (request) => fetched.push(request.url()));
  await page.goto(url);
  return { page, complaints, fetched };
}

/** Opens a sample: its model and its data are taken. */
export async function openSample(page: Page, title: string, data: RegExp): Promise<void> {
  await page.getByRole("button", { name: title }).click();
  await page.locator("#test-taken").getByText(data).waitFor(PATIENCE);
}

/** Quantizes the open model. */
export async function quantizeIn(page: Page): Promise<void> {
  await page.getByRole("button", { name: "Quantize", exact: true }).click();
  await page.locator("#run-status").getByText(/^Done in/).waitFor(PATIENCE);
}

/** The text of an element. */
export const text = (page: Page, id: string) => page.locator(`#${id}`).textContent();
