/**
 * Copies models of other libraries into tests/models, cut down to what tests read:
 *
 *     deno run -A scripts/cut_models.ts FOLDER
 *
 * FOLDER holds `onnx-made`, `brainmaze`, `parsernaam` and `uzmorph_bigru` as their authors' scripts made them, each model with a
 * reference of the outputs that its own library gives. Of brainmaze the weights of the
 * convolutions are left out, which no test reads, and most rows of the reference.
 */
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { ModelProtoSchema } from "onnx-buf";
import {
  parseSafetensors,
  type SafetensorsInput,
  writeSafetensors,
} from "@splitgate/splitgate/safetensors";
import { readArguments } from "./arguments.ts";

const TARGET = new URL("../tests/models/", import.meta.url);

/** Numbers of steps that are kept of brainmaze's reference, which has time first. */
const ROWS = { cut: 4, cut_calibration: 6, y: 4 };

const { positionals: [folder = "."] } = readArguments(
  "deno run -A scripts/cut_models.ts FOLDER",
  {},
  1,
);
const source = pathToFileURL(`${resolve(folder)}/`);

async function copyFolder(name: string): Promise<void> {
  await Deno.mkdir(new URL(name, TARGET), { recursive: true });
  for await (const entry of Deno.readDir(new URL(name, source))) {
    const path = `${name}/${entry.name}`;
    if (entry.isDirectory) await copyFolder(path);
    else await Deno.writeFile(new URL(path, TARGET), await Deno.readFile(new URL(path, source)));
  }
}

async function cutBrainmaze(): Promise<void> {
  await Deno.mkdir(new URL("brainmaze", TARGET), { recursive: true });
  for (const name of ["LICENSE", "NOTICE.md"]) {
    await Deno.copyFile(new URL(`brainmaze/${name}`, source), new URL(`brainmaze/${name}`, TARGET));
  }
  const read = (name: string) => Deno.readFile(new URL(`brainmaze/${name}`, source));
  const model = fromBinary(ModelProtoSchema, await read("modelA_paper.onnx"));
  const { graph } = model;
  graph!.initializer = graph!.initializer.filter(({ name }) => !/^conv\d\.weight$/.test(name));
  const bytes = toBinary(ModelProtoSchema, model);
  await Deno.writeFile(new URL("brainmaze/modelA_paper.without_conv.onnx", TARGET), bytes);
  const { tensors } = parseSafetensors(await read("brainmaze.reference.safetensors"));
  const kept = Object.entries(ROWS).map(([name, rows]): [string, SafetensorsInput] => {
    const { data, shape: [steps, batch, width] } = tensors.get(name)!;
    const out = new Float32Array(steps! * rows * width!);
    for (let t = 0; t < steps!; t++) {
      const from = t * batch! * width!;
      out.set((data as Float32Array).subarray(from, from + rows * width!), t * rows * width!);
    }
    return [name, { data: out, shape: [steps!, rows, width!] }];
  });
  await Deno.writeFile(
    new URL("brainmaze/brainmaze.reference.safetensors", TARGET),
    writeSafetensors(new Map(kept)),
  );
}

/** A model, and the named tensors of its reference: all rows, or the given number of rows. */
async function cutReference(
  folder: string,
  files: readonly string[],
  keep: Readonly<Record<string, number>>,
): Promise<void> {
  await Deno.mkdir(new URL(folder, TARGET), { recursive: true });
  for (const file of files) {
    await Deno.copyFile(
      new URL(`${folder}/${file}`, source),
      new URL(`${folder}/${file}`, TARGET),
    );
  }
  const path = `${folder}/${folder}.reference.safetensors`;
  const { tensors } = parseSafetensors(await Deno.readFile(new URL(path, source)));
  const kept = Object.entries(keep).map(([name, rows]): [string, SafetensorsInput] => {
    const { data, shape: [all, ...row] } = tensors.get(name)!;
    const count = Math.min(rows, all!);
    return [name, { data: data.slice(0, data.length / all! * count), shape: [count, ...row] }];
  });
  await Deno.writeFile(new URL(path, TARGET), writeSafetensors(kept));
}

await copyFolder("onnx-made");
await cutBrainmaze();
await cutReference("parsernaam", ["LICENSE", "README.md", "parsernaam.pt"], {
  x: Infinity,
  x_calibration: Infinity,
  y: Infinity,
  y_final: Infinity,
});
await cutReference("uzmorph_bigru", ["NOTICE", "README.md", "morph_bigru.pth"], {
  x: 4,
  y: 4,
  x_calibration: Infinity,
  x_more: Infinity,
  y_more_argmax: Infinity,
});
