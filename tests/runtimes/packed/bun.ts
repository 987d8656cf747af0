import expected from "../expected.json" with { type: "json" };
import { readAssets, suite } from "../suite.ts";

// A global of bun test.
declare const test: (name: string, body: () => Promise<void>) => void;

await suite(test, readAssets(new URL("data/", import.meta.url)), expected);
