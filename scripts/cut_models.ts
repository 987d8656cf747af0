/**
 * Copies models of other libraries into tests/models, cut down to what tests read:
 *
 *     deno run -A scripts/cut_models.ts FOLDER
 *
 * FOLDER holds `onnx-made` and `brainmaze` as their authors' scripts made them, each model with a
 * reference of the outputs that its own library gives. Of brainmaze the weights of the
 * convolutions are left out, which no test reads, and most rows of the reference.
 */
import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { ModelProtoSchema } from "onnx-buf";
import { parseSafetensors, type SafetensorsInput, writeSafetensors } from "@splitgate/splitgate";
import { readArguments } from "./arguments.ts";

const TARGET = new URL("../tests/models/", import.meta.url);

/** Rows of the batch that stay of brainmaze's reference, where it has time first. */
const ROWS = { cut: 4, cut_calibration: 6, y: 4 };

const { positionals: [folder = "."] } = readArguments(
  "deno run -A scripts/cut_models.ts FOLDER",
  {},
  1,
);
const source = new URL(`${folder}/`, `file://${Deno.cwd()}/`);

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

await copyFolder("onnx-made");
await cutBrainmaze();
