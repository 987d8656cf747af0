/**
 * The files of other libraries that tests read, in one: workers and pages have no folder.
 *
 * @module
 */
import { readdirSync, readFileSync } from "node:fs";
import { writeSafetensors } from "@splitgate/splitgate/safetensors";

const FOLDERS = [
  ["", new URL("../models/", import.meta.url)],
  ["torch/", new URL("../io/torch/files/", import.meta.url)],
] as const;

/** What is no model and belongs to none. */
const OTHERS = /\.md$|(^|\/)(LICENSE|NOTICE|expected\.json)$/;

function filesIn(folder: URL, prefix: string): [string, Uint8Array][] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const { name } = entry;
    if (entry.isDirectory()) return filesIn(new URL(`${name}/`, folder), `${prefix}${name}/`);
    const path = prefix + name;
    if (OTHERS.test(path)) return [];
    return [[path, new Uint8Array(readFileSync(new URL(encodeURIComponent(name), folder)))]];
  });
}

/** All of them as one safetensors file, a tensor of bytes each. */
export function packModelFiles(): Uint8Array<ArrayBuffer> {
  const all = FOLDERS.flatMap(([prefix, folder]) => filesIn(folder, prefix));
  return writeSafetensors(all.map(([path, data]) => [path, { data, shape: [data.length] }]));
}
