import { test } from "node:test";
import expected from "../expected.json" with { type: "json" };
import { readAssets, suite } from "../suite.ts";

await suite(test, readAssets(new URL("data/", import.meta.url)), expected);
