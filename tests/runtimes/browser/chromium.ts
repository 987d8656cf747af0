/**
 * The system's Chromium, driven by playwright-core.
 *
 * @module
 */
import { type Browser, chromium } from "playwright-core";

const PLACES = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];

/**
 * Starts Chromium.
 *
 * @throws {Error} If there is none.
 */
export function launch(): Promise<Browser> {
  const executablePath = Deno.env.get("CHROMIUM") ??
    PLACES.find((path) => {
      try {
        return Deno.statSync(path).isFile;
      } catch {
        return false;
      }
    });
  if (executablePath === undefined) {
    throw new Error(
      `no Chromium in ${
        PLACES.join(", ")
      }: install it (Debian: apt-get install chromium), or name it in CHROMIUM`,
    );
  }
  return chromium.launch({
    executablePath,
    args: [
      "--headless",
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
    ],
  });
}
