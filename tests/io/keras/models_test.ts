import { assert } from "@std/assert";
import { convert, getPreset, type Graph, prepare, type Tensor } from "@splitgate/splitgate";
import { importTfjs, shardPaths } from "@splitgate/splitgate/import/tfjs";
import { assertClose, inputOf, read, references } from "./models.ts";

/** The same class in so many rows. */
const AGREEMENT = 0.98;

/** A model of TensorFlow.js: its JSON and its shards. */
function tfjs(name: string): [json: string, shards: Map<string, Uint8Array>] {
  const folder = `tfjs-made/${name}`;
  const json = new TextDecoder().decode(read(`${folder}/model.json`));
  const paths = shardPaths(JSON.parse(json));
  return [json, new Map(paths.map((path) => [path, read(`${folder}/${path}`)]))];
}

const LOGITS = { cut: { activation: false } } as const;

/** Models by the folder and name of their references. */
const IMPORTED: Record<string, () => Graph> = Object.fromEntries(
  ["lstm-chars", "lstm-chars-uint8"].map((name) => [
    `tfjs-made/${name}/${name}`,
    () => importTfjs(...tfjs(name), LOGITS).model,
  ]),
);

/** Where the largest of each row's values stands; the sign where there is one value. */
function classes({ data, shape }: Tensor): number[] {
  const width = shape.at(-1)!;
  return Array.from({ length: data.length / width }, (_, row) => {
    if (width === 1) return Number(data[row]! > 0);
    const values = data.subarray(row * width, (row + 1) * width);
    return values.indexOf(Math.max(...values));
  });
}

for (const [path, load] of Object.entries(IMPORTED)) {
  Deno.test(`${path}: the float model gives the reference's output`, () => {
    const tensors = references(`${path}.reference.safetensors`);
    assertClose(path, load().forward(inputOf(tensors.get("x")!)), tensors.get("y")!, 1e-5);
  });

  Deno.test(`${path}: the int8 model, by the recommended preset, gives the float one's classes`, () => {
    const tensors = references(`${path}.reference.safetensors`);
    const observed = prepare(load(), getPreset("accurate"));
    observed.forward(inputOf(tensors.get("x_calibration")!));
    const x = inputOf(tensors.get("x")!);
    const expected = tensors.get("y") as unknown as Tensor;
    const y = { ...expected, data: new Float32Array(expected.data.length) };
    convert(observed).createSession({ batch: x.shape[0]! }).run(x.data as Float32Array, y.data);
    const expectedClasses = classes(expected);
    const same = classes(y).filter((value, row) => value === expectedClasses[row]).length;
    assert(same >= AGREEMENT * expectedClasses.length, `${same} of ${expectedClasses.length}`);
  });
}
