// Every command of `splitgate`, as it is typed: what it writes, prints and refuses.
import { assert, assertEquals } from "@std/assert";
import { fileURLToPath } from "node:url";
import {
  Generator,
  Graph,
  Linear,
  loadFloatModel,
  LSTM,
  ReLU,
  saveFloatModel,
  Sequential,
} from "@splitgate/splitgate";
import { parseSafetensors, writeSafetensors } from "@splitgate/splitgate/safetensors";
import config from "../../deno.json" with { type: "json" };
import { type Host, main } from "@splitgate/splitgate/cli";
import { formatOf } from "../../src/cli/models.ts";
import { readNpy, writeNpy } from "../../src/cli/npy.ts";

/** Whether there are devices and named pipes. */
const onUnix = Deno.build.os !== "windows";

/** Folders as commands below write them: their paths may hold spaces. */
const MODELS = "@models/";
const TORCH = "@torch/";

/** An argument of a command with those folders' paths. */
function withFolders(arg: string): string {
  return arg
    .replace(MODELS, fileURLToPath(new URL("../models/", import.meta.url)))
    .replace(TORCH, fileURLToPath(new URL("../io/torch/files/", import.meta.url)));
}

/** What a command printed, and its exit code. */
interface Outcome {
  readonly code: number;
  readonly out: string;
  readonly error: string;
}

async function splitgate(args: string, lines: readonly string[] = []): Promise<Outcome> {
  let out = "";
  let error = "";
  const host: Host = {
    write: (text) => void (out += text),
    error: (text) => void (error += text),
    async *lines() {
      yield* lines;
    },
    isTerminal: false,
  };
  const code = await main(args.split(" ").map(withFolders), host);
  return { code, out, error };
}

/** The same, which must do its work: in a pipe nothing is drawn. */
async function done(args: string, lines: readonly string[] = []): Promise<string> {
  const { code, out, error } = await splitgate(args, lines);
  assertEquals([code, error], [0, ""], args);
  return out;
}

const SEQUENCES = 12;
const STEPS = 5;

/** A folder with a float model and data of every form. */
async function inFolder(test: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "splitgate-cli-" });
  try {
    const seed = new Generator(4);
    const model = new Sequential({
      lstm: new LSTM({ inputSize: 2, hiddenSize: 3, batchFirst: true, seed }),
      relu: new ReLU(),
      out: new Linear({ inFeatures: 3, outFeatures: 4, seed }),
    });
    await Deno.writeFile(`${folder}/float.safetensors`, saveFloatModel(model));
    const x = new Float32Array(SEQUENCES * STEPS * 2);
    seed.uniform(x, -1, 1);
    const shape = [SEQUENCES, STEPS, 2];
    await Deno.writeFile(`${folder}/x.npy`, writeNpy(x, shape));
    await Deno.writeFile(`${folder}/x.safetensors`, writeSafetensors([["x", { data: x, shape }]]));
    const sequences = Array.from(
      { length: SEQUENCES },
      (_, b) =>
        Array.from(
          { length: STEPS },
          (_, t) => [...x.subarray((b * STEPS + t) * 2, (b * STEPS + t + 1) * 2)],
        ),
    );
    const jsonl = sequences.map((each) => JSON.stringify(each)).join("\n");
    await Deno.writeTextFile(`${folder}/x.jsonl`, `${jsonl}\n`);
    const csv = sequences.flatMap((each, b) => each.map((step) => [`s${b}`, ...step].join(",")));
    await Deno.writeTextFile(`${folder}/x.csv`, `sequence,a,b\n${csv.join("\n")}\n`);
    await test(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("--version prints the version that main() was given", async () => {
  const command = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", new URL("../../scripts/splitgate.ts", import.meta.url).href, "--version"],
  });
  const { code, stdout } = await command.output();
  assertEquals([code, new TextDecoder().decode(stdout)], [0, `${config.version}\n`]);
});

Deno.test("help lists every command, and each command's options", async () => {
  const overview = await done("--help");
  const names = [...overview.matchAll(/^ {2}([a-z]+) {2,}\S/gm)].map(([, name]) => name!);
  assertEquals(names, [
    "inspect",
    "import",
    "quantize",
    "run",
    "compare",
    "graph",
    "tune",
    "bench",
    "compile",
  ]);
  for (const name of names) {
    const help = await done(`${name} --help`);
    assert(help.startsWith(`usage: splitgate ${name} `) && help.includes("--json"), help);
    // A terminal that nobody made wider breaks no line.
    assertEquals(help.split("\n").filter((line) => line.length > 80), [], name);
    assertEquals(await done(`help ${name}`), help);
  }
});

Deno.test("a float model becomes int8 and a program, which run, compare, draw and are measured", async () => {
  await inFolder(async (f) => {
    const made = JSON.parse(
      await done(
        `quantize ${f}/float.safetensors --calibration ${f}/x.npy --test ${f}/x.safetensors ` +
          `--preset accurate --split-gates -o ${f}/q.safetensors --program ${f}/p.bin --json`,
      ),
    );
    assertEquals(made.calibration, SEQUENCES);
    assertEquals(made.bytes, (await Deno.stat(`${f}/q.safetensors`)).size);
    assertEquals(made.programBytes, (await Deno.stat(`${f}/p.bin`)).size);
    assert(made.agreement[0].sqnr > 25 && made.agreement[0].sameLargest > 0.9);
    for (const [file, format] of [["float", "float"], ["q", "int8"]]) {
      const seen = JSON.parse(await done(`inspect ${f}/${file}.safetensors --json`));
      assertEquals([seen.format, seen.input], [format, { size: 2, vocabulary: 0 }]);
      assertEquals(seen.modules.map(({ kind }: { kind: string }) => kind).slice(0, 2), [
        "LSTM",
        "ReLU",
      ]);
    }
    assertEquals(JSON.parse(await done(`inspect ${f}/p.bin --json`)).format, "program");
    const near = JSON.parse(
      await done(`compare ${f}/q.safetensors ${f}/p.bin --data ${f}/x.npy --json`),
    );
    assertEquals(near.agreement[0], {
      output: "out",
      sqnr: null,
      maxDifference: 0,
      sameLargest: 1,
    });
    const table = await done(`compare ${f}/float.safetensors ${f}/q.safetensors --data ${f}/x.csv`);
    assert(/out {2,}\d+\.\d {2,}/.test(table), table);
    assert((await done(`graph ${f}/q.safetensors`)).includes("lstm.l0.h"));
    assert((await done(`graph ${f}/q.safetensors --format dot`)).startsWith("digraph"));
    assert((await done(`graph ${f}/q.safetensors --format mermaid`)).startsWith("flowchart"));
    JSON.parse(await done(`graph ${f}/q.safetensors --format json`));
    const bench = JSON.parse(await done(`bench ${f}/p.bin --seconds 0.02 --steps 3 --json`));
    assert(bench.microsecondsPerStep > 0);
    await done(`compile ${f}/q.safetensors -o ${f}/again.bin`);
    assertEquals(await Deno.readFile(`${f}/again.bin`), await Deno.readFile(`${f}/p.bin`));
    const tuned = JSON.parse(
      await done(
        `tune ${f}/float.safetensors --calibration ${f}/x.npy --budget 20 -o ${f}/t.safetensors --json`,
      ),
    );
    assert(tuned.outputSqnr >= 20 && tuned.parts.length > 3);
  });
});

Deno.test("quantize --report writes a page, with labels where y has one a row", async () => {
  await inFolder(async (f) => {
    const x = parseSafetensors(await Deno.readFile(`${f}/x.safetensors`)).tensors.get("x")!;
    const y = Int32Array.from({ length: SEQUENCES * STEPS }, (_, i) => i % 4);
    for (const [name, data] of [["classes", y], ["values", y.map((v) => v + 1)]] as const) {
      await Deno.writeFile(
        `${f}/${name}.safetensors`,
        writeSafetensors([
          ["x", { data: x.data as Float32Array, shape: x.shape }],
          ["y", { data, shape: [SEQUENCES, STEPS] }],
        ]),
      );
    }
    const args = `quantize ${f}/float.safetensors --calibration ${f}/x.npy -o ${f}/q.safetensors`;
    const out = await done(`${args} --test ${f}/classes.safetensors --report ${f}/r.html`);
    assert(out.includes(`${f}/r.html: the report`));
    const page = await Deno.readTextFile(`${f}/r.html`);
    assert(page.startsWith("<!DOCTYPE html>") && page.includes("<h1>float.safetensors: int8"));
    assert(page.includes("By labels"));
    // A class that the output does not have shows that y is not labels.
    await done(`${args} --test ${f}/values.safetensors --report ${f}/r.html`);
    assert(!(await Deno.readTextFile(`${f}/r.html`)).includes("By labels"));
    // Without test data it is measured on what there is, and says so.
    const alone = await done(`${args} --report ${f}/alone.html`);
    assert(alone.includes("int8 beside float, on the calibration data:"));
    const flattered = await Deno.readTextFile(`${f}/alone.html`);
    assert(flattered.includes("Measured on the calibration data"));
    assert(!page.includes("Measured on the calibration data"));
    const same = await splitgate(`${args} --test ${f}/x.npy --report ${f}/x.npy`);
    assertEquals(same.code, 1);
    assert(same.error.includes("x.npy: is an input"));
  });
});

Deno.test("every form of data gives the same results, and results every form of file", async () => {
  await inFolder(async (f) => {
    const model = loadFloatModel(await Deno.readFile(`${f}/float.safetensors`));
    const { tensors } = parseSafetensors(await Deno.readFile(`${f}/x.safetensors`));
    const y = model.forward(tensors.get("x") as never);
    for (const form of ["npy", "safetensors", "jsonl", "csv"]) {
      const args = `run ${f}/float.safetensors ${f}/x.${form}`;
      await done(`${args} -o ${f}/y.safetensors`);
      const given = parseSafetensors(await Deno.readFile(`${f}/y.safetensors`)).tensors;
      assertEquals([...given.keys()], ["y"], form);
      assertEquals(given.get("y"), { dtype: "F32", ...y }, form);
      const lines = (await done(args)).trim().split("\n").map((line) => JSON.parse(line));
      assertEquals(Float32Array.from(lines.flat(2)), y.data);
      assertEquals(JSON.parse(await done(`${args} --json`)), lines);
    }
    await done(`run ${f}/float.safetensors ${f}/x.npy -o ${f}/y.npy`);
    assertEquals(readNpy("y", await Deno.readFile(`${f}/y.npy`)), { ...y });
    await done(`run ${f}/float.safetensors ${f}/x.npy -o ${f}/y.csv`);
    const rows = (await Deno.readTextFile(`${f}/y.csv`)).trim().split("\n");
    assertEquals([rows[0], rows.length], ["sequence,y0,y1,y2,y3", 1 + SEQUENCES * STEPS]);
    await done(`run ${f}/float.safetensors ${f}/x.npy -o ${f}/y.jsonl`);
    assertEquals((await Deno.readTextFile(`${f}/y.jsonl`)).trim().split("\n").length, SEQUENCES);
  });
});

Deno.test("sequences of different lengths give results of theirs, and lines of input are answered one by one", async () => {
  await inFolder(async (f) => {
    const long = "[[0.1,0.2],[0.3,0.4],[0.5,0.6]]";
    const short = "[[0.1,0.2]]";
    await Deno.writeTextFile(`${f}/some.jsonl`, `${long}\n${short}\n`);
    await done(`run ${f}/float.safetensors ${f}/some.jsonl -o ${f}/y.safetensors`);
    const { tensors } = parseSafetensors(await Deno.readFile(`${f}/y.safetensors`));
    assertEquals(tensors.get("y")!.shape, [2, 3, 4]);
    assertEquals(tensors.get("lengths")!.data, Int32Array.of(3, 1));
    const out = await done(`run ${f}/float.safetensors`, [long, "", short]);
    const [a, b] = out.trim().split("\n").map((line) => JSON.parse(line));
    assertEquals([a.length, b.length], [3, 1]);
    // The same first step, since each line begins with no state.
    assertEquals(a[0], b[0]);
    const wrong = await splitgate(`run ${f}/float.safetensors`, [short, "[[1]]"]);
    assertEquals([wrong.code, wrong.out.split("\n").length], [1, 2]);
    assertEquals(wrong.error, "splitgate run: line 2[0]: expected 2 values, got 1\n");
  });
});

Deno.test("files of torch, ONNX, Keras and TensorFlow.js are told apart, and become float models", async () => {
  await inFolder(async (f) => {
    const torch = await done(`inspect ${TORCH}checkpoint.pt --draft ${f}/A.json`);
    assert(torch.includes("LSTM of 2 layers, bidirectional, input 3, hidden 2"), torch);
    assert(torch.includes("argparse.Namespace (not executed)"), torch);
    const draft = JSON.parse(await Deno.readTextFile(`${f}/A.json`));
    const unfilled = await splitgate(
      `import ${TORCH}checkpoint.pt --architecture ${f}/A.json -o ${f}/m.safetensors`,
    );
    assertEquals(unfilled.code, 1);
    assert(unfilled.error.includes("expected a kind that you choose"), unfilled.error);
    const kinds = ["LastStep", "ReLU", "Identity"];
    for (const each of draft.modules) {
      if (each.kind !== "?") continue;
      each.kind = kinds.shift();
      if (each.kind === "LastStep") each.options = { batchFirst: true };
    }
    await Deno.writeTextFile(`${f}/A.json`, JSON.stringify(draft));
    await done(`import ${TORCH}checkpoint.pt --architecture ${f}/A.json -o ${f}/m.safetensors`);
    assertEquals((await done(`run ${f}/m.safetensors`, ["[1,2,3]"])).split(",").length, 2);
    const files = [
      [`${MODELS}onnx-made/lstm-last-mlp-softmax-bf-dyn-legacy.onnx`, "LSTM"],
      [`${MODELS}onnx-made/lstm-last-mlp-softmax-bf-dyn-legacy.onnx --cut x`, "LSTM"],
      [`${MODELS}astrorapid/ZTF_unknown_redshift.hdf5`, "LSTM"],
      [`${MODELS}tfjs-made/lstm-chars-uint8`, "Embedding"],
      [`${MODELS}tfjs-made/lstm-chars-uint8/model.json --cut hid`, "Embedding"],
    ];
    for (const [file, kind] of files) {
      const imported = JSON.parse(await done(`import ${file} -o ${f}/m.safetensors --json`));
      assertEquals(imported.architecture.modules[0].kind, kind);
      loadFloatModel(await Deno.readFile(`${f}/m.safetensors`));
      assert((await done(`inspect ${file}`)).includes(kind!));
    }
  });
});

Deno.test("labels of a file say how often rows are right, of steps and of shorter sequences too", async () => {
  await inFolder(async (f) => {
    const model = loadFloatModel(await Deno.readFile(`${f}/float.safetensors`));
    const { tensors } = parseSafetensors(await Deno.readFile(`${f}/x.safetensors`));
    const y = model.forward(tensors.get("x") as never).data;
    const labels = Int32Array.from({ length: SEQUENCES * STEPS }, (_, i) => {
      const row = y.subarray(i * 4, i * 4 + 4);
      // Every fourth is wrong.
      return (row.indexOf(Math.max(...row)) + Number(i % 4 === 0)) % 4;
    });
    const shape = [SEQUENCES, STEPS];
    const y4 = writeSafetensors([["y", { data: labels, shape }]]);
    await Deno.writeFile(`${f}/labels.safetensors`, y4);
    const made = JSON.parse(
      await done(
        `quantize ${f}/float.safetensors --calibration ${f}/x.npy --test ${f}/x.npy ` +
          `--labels ${f}/labels.safetensors -o ${f}/q.safetensors --json`,
      ),
    );
    assertEquals(made.accuracy.float, 0.75);
    assert(made.accuracy.int8 > 0.6);
    const lengths = Int32Array.from({ length: SEQUENCES }, (_, b) => 1 + b % STEPS);
    await Deno.writeFile(
      `${f}/short.safetensors`,
      writeSafetensors([
        ["x", tensors.get("x") as never],
        ["lengths", { data: lengths, shape: [SEQUENCES] }],
      ]),
    );
    const shorter = JSON.parse(
      await done(
        `run ${f}/float.safetensors ${f}/short.safetensors --labels ${f}/labels.safetensors ` +
          `-o ${f}/y.npy --json`,
      ),
    );
    let [right, rows] = [0, 0];
    lengths.forEach((length, b) => {
      for (let t = 0; t < length; t++, rows++) right += Number((b * STEPS + t) % 4 !== 0);
    });
    assertEquals(shorter.accuracy, right / rows);
  });
});

Deno.test("a masked step of a Keras file is left out wherever a file made of it is run", async () => {
  await inFolder(async (f) => {
    const file = `${MODELS}keras-made/masked.keras`;
    const used = "[[1,2,3],[4,5,6]]";
    const masked = "[[0,0,0],[1,2,3],[0,0,0],[4,5,6],[0,0,0]]";
    await Deno.writeTextFile(`${f}/x.jsonl`, `${used}\n${masked}\n`);
    const [float, int8, program] = ["float.safetensors", "q.safetensors", "p.bin"]
      .map((name) => `${f}/${name}`);
    await done(`import ${file} -o ${float}`);
    await done(`quantize ${float} --calibration ${f}/x.jsonl -o ${int8}`);
    await done(`compile ${int8} -o ${program}`);
    for (const each of [file, float, int8, program]) {
      const [a, b] = (await done(`run ${each}`, [used, masked])).trim().split("\n");
      assertEquals(a, b, each!);
      const [, c] = (await done(`run ${each} --skip none`, [used, masked])).trim().split("\n");
      assert(c !== a, each);
      const nothing = await splitgate(`run ${each}`, ["[[0,0,0]]"]);
      assertEquals(nothing.code, 1);
      assert(nothing.error.includes("every step is masked"), nothing.error);
      assertEquals(JSON.parse(await done(`inspect ${each} --json`)).masked, 0);
      const compared = `compare ${file} ${each} --data ${f}/x.jsonl --json`;
      const { sqnr } = JSON.parse(await done(compared)).agreement[0];
      assert(sqnr === null || sqnr > 25, `${each}: ${sqnr}`);
    }
    // The value of --skip is stored in the new file.
    await done(`import ${file} --skip none -o ${f}/all.safetensors`);
    assertEquals(JSON.parse(await done(`inspect ${f}/all.safetensors --json`)).masked, null);
    await done(
      `tune ${f}/all.safetensors --skip 7 --calibration ${f}/x.jsonl --budget 1 -o ${int8}`,
    );
    assertEquals(JSON.parse(await done(`inspect ${int8} --json`)).masked, 7);
  });
});

Deno.test("masked steps where no row can be repeated are refused by the name of the output", async () => {
  await inFolder(async (f) => {
    const lstm = new LSTM({ inputSize: 2, hiddenSize: 2, bidirectional: true, batchFirst: true });
    const model = new Graph({ lstm: { module: lstm } }, { maskValue: 0 });
    await Deno.writeFile(`${f}/float.safetensors`, saveFloatModel(model));
    await Deno.writeTextFile(`${f}/x.jsonl`, "[[1,2],[3,4]]\n");
    await done(
      `quantize ${f}/float.safetensors --calibration ${f}/x.jsonl -o ${f}/q.safetensors`,
    );
    for (const name of ["float", "q"]) {
      await done(`run ${f}/${name}.safetensors`, ["[[1,2],[3,4]]"]);
      const { code, error } = await splitgate(`run ${f}/${name}.safetensors`, ["[[1,2],[0,0]]"]);
      assertEquals(code, 1);
      assert(error.includes("no row of lstm can be repeated there; leave them out"), error);
      await done(`run ${f}/${name}.safetensors --skip none`, ["[[1,2],[0,0]]"]);
    }
  });
});

Deno.test("astrorapid: the float file gives the reference at masked steps too, int8 and program its class", async () => {
  await inFolder(async (f) => {
    const folder = `${MODELS}astrorapid`;
    const reference = parseSafetensors(
      await Deno.readFile(withFolders(`${folder}/astrorapid.reference.safetensors`)),
    ).tensors;
    for (const [to, from] of [["x", "x"], ["calibration", "x_calibration"]] as const) {
      const { data, shape } = reference.get(from)!;
      await Deno.writeFile(`${f}/${to}.npy`, writeNpy(data as Float32Array, shape));
    }
    const expected = reference.get("y_final")!.data as Float32Array;
    await done(`import ${folder}/ZTF_unknown_redshift.hdf5 -o ${f}/float.safetensors`);
    await done(
      `quantize ${f}/float.safetensors --calibration ${f}/calibration.npy ` +
        `-o ${f}/int8.safetensors --program ${f}/p.bin`,
    );
    const rowsOf = async (model: string) => {
      await done(`run ${f}/${model} ${f}/x.npy -o ${f}/y.npy`);
      return readNpy("y.npy", await Deno.readFile(`${f}/y.npy`)).data as Float32Array;
    };
    const float = await rowsOf("float.safetensors");
    float.forEach((value, i) => assert(Math.abs(value - expected[i]!) <= 1e-5));
    const size = 9;
    const classes = (rows: Float32Array) =>
      Array.from({ length: rows.length / size }, (_, i) => {
        const row = rows.subarray(i * size, (i + 1) * size);
        return row.indexOf(Math.max(...row));
      });
    const right = classes(expected);
    for (const model of ["int8.safetensors", "p.bin"]) {
      const same = classes(await rowsOf(model)).filter((each, i) => each === right[i]).length;
      assert(same >= 0.98 * right.length, `${model}: ${same} of ${right.length}`);
    }
  });
});

Deno.test("inspect lists nodes and layers of what cannot be imported whole, so that a part can be", async () => {
  const file = `${MODELS}brainmaze/modelA_paper.without_conv.onnx`;
  const seen = JSON.parse(await done(`inspect ${file} --json`));
  assertEquals(seen.importable, false);
  assert(seen.reason.includes('node "/conv1/Conv" (Conv)'), seen.reason);
  const cut = seen.nodes.findLast(({ what }: { what: string }) => what === "Transpose");
  assert(cut !== undefined);
  const text = await done(`inspect ${file}`);
  assert(text.includes("/conv1/Conv") && text.includes("--cut TENSOR"), text);
  // Neither can a file without a graph.
  const broken = await splitgate(`inspect ${MODELS}keras-made/dense-chunked.h5`);
  assertEquals([broken.code, broken.out], [1, ""]);
});

Deno.test("a model file is known whatever the length of its header looks like", () => {
  const tensors = writeSafetensors([["x", { data: Float32Array.of(1), shape: [1] }]]);
  const header = new DataView(tensors.buffer, tensors.byteOffset).getUint32(0, true);
  const starts = [[0x80, 0x02], [0x80, 0x05], [0x08, 0x03], [0x50, 0x4b], [0x20, 0x3c]];
  for (const [low, high] of starts) {
    const length = low! + 256 * high!;
    const longer = new Uint8Array(tensors.length + length - header);
    // Padding of spaces, with which other writers align the following data.
    longer.fill(0x20);
    longer.set(tensors.subarray(8, 8 + header), 8);
    longer.set(tensors.subarray(8 + header), 8 + length);
    new DataView(longer.buffer).setUint32(0, length, true);
    longer.fill(0, 4, 8);
    assertEquals(formatOf("m.safetensors", longer), "safetensors", `${low} ${high}`);
  }
});

Deno.test("a QConfig of JSON says presets for kinds and modules", async () => {
  await inFolder(async (f) => {
    const args = `quantize ${f}/float.safetensors --calibration ${f}/x.npy -o ${f}/q.safetensors`;
    const qconfig = { global: "fbgemm", kinds: { Linear: null }, modules: {} };
    await Deno.writeTextFile(`${f}/Q.json`, JSON.stringify(qconfig));
    const refused = await splitgate(`${args} --qconfig ${f}/Q.json --preset fbgemm`);
    assertEquals(
      refused.error,
      "splitgate quantize: --preset and --qconfig: give one of the two (splitgate quantize --help)\n",
    );
    await Deno.writeTextFile(`${f}/Q.json`, JSON.stringify({ global: "fbgemm", kinds: {} }));
    await done(`${args} --qconfig ${f}/Q.json`);
    await Deno.writeTextFile(`${f}/P.json`, JSON.stringify({ global: "other" }));
    const plain = await Deno.readFile(`${f}/q.safetensors`);
    for (const part of [{ kinds: { LSTM: "int8x16" } }, { modules: { lstm: "int8x16" } }]) {
      await Deno.writeTextFile(`${f}/Q.json`, JSON.stringify({ global: "fbgemm", ...part }));
      await done(`${args} --qconfig ${f}/Q.json`);
      assert(`${await Deno.readFile(`${f}/q.safetensors`)}` !== `${plain}`, JSON.stringify(part));
    }
    const none = { global: "fbgemm", modules: { other: "int8x16" } };
    await Deno.writeTextFile(`${f}/Q.json`, JSON.stringify(none));
    const unknown = await splitgate(`${args} --qconfig ${f}/Q.json`);
    assert(unknown.error.includes('name "other": expected a module that matches'), unknown.error);
    const { error } = await splitgate(`${args} --qconfig ${f}/P.json`);
    assert(error.includes("P.json: global: expected null or one of fbgemm"), error);
  });
});

Deno.test("what is wrong is one line that names it, an exit code, and no file that changed", async () => {
  await inFolder(async (f) => {
    await Deno.writeTextFile(`${f}/old.safetensors`, "old");
    await Deno.writeTextFile(`${f}/bad.csv`, "1,2,3\n");
    await Deno.writeTextFile(`${f}/e.json`, "{}");
    await Deno.writeTextFile(`${f}/bad.jsonl`, "nothing\n");
    await Deno.writeFile(
      `${f}/cut.safetensors`,
      (await Deno.readFile(`${f}/float.safetensors`)).slice(0, 300),
    );
    const float = `${f}/float.safetensors`;
    await done(`quantize ${float} --calibration ${f}/x.npy -o ${f}/int8.safetensors`);
    await done(`compile ${f}/int8.safetensors -o ${f}/whole.bin`);
    await Deno.writeFile(`${f}/cut.bin`, (await Deno.readFile(`${f}/whole.bin`)).slice(0, 9));
    const npy = await Deno.readFile(`${f}/x.npy`);
    await Deno.writeFile(`${f}/cut.npy`, npy.slice(0, 50));
    const strings = npy.slice();
    strings.set(new TextEncoder().encode("U1"), new TextDecoder().decode(npy).indexOf("f4'"));
    await Deno.writeFile(`${f}/text.npy`, strings);
    const keras = await Deno.readFile(withFolders(`${MODELS}keras-made/lstm.keras`));
    await Deno.writeFile(`${f}/cut.npz`, keras.slice(0, 200));
    await Deno.writeTextFile(`${f}/nan.jsonl`, "[[1,2]]\n[[1,NaN]]\n");
    const quantize = `quantize ${float} -o ${f}/old.safetensors --calibration`;
    const cases: [args: string, code: number, message: string][] = [
      ["frobnicate", 2, "frobnicate is not a command: inspect, import"],
      ["run", 2, "expected MODEL [DATA], got 0 files (splitgate run --help)"],
      [`run ${float} a b`, 2, "expected MODEL [DATA], got 3 files"],
      [`run ${float} --colour`, 2, "Unknown option '--colour'"],
      [`quantize ${float} -o ${f}/old.safetensors`, 2, "--calibration DATA is needed"],
      [`import ${float}`, 2, "-o, --output FILE is needed"],
      [`inspect ${f}/none.onnx`, 1, "none.onnx: cannot be read: there is no such file"],
      [`inspect ${f}/cut.safetensors`, 1, "cut.safetensors: expected a whole safetensors file of"],
      [`inspect ${f}/bad.csv`, 1, "bad.csv: expected a model of PyTorch, Keras,"],
      [`inspect ${f}/x.npy`, 1, "got a NumPy array (.npy)"],
      [
        `bench ${float} --cut a`,
        2,
        `--cut: is for files of ONNX, Keras and TensorFlow.js, not ${f}`,
      ],
      [`run ${float} ${f}/x.npy --skip x`, 2, "--skip: expected a number or none, got x"],
      [
        `run ${float} ${f}/x.npy --labels ${f}/x.npy`,
        1,
        "expected the index of a class, below 4, for",
      ],
      [`run ${float} ${f}/x.npy -o ${f}`, 1, "cannot be written: it is a folder"],
      [`import ${TORCH}views.pt -o ${f}/old.safetensors`, 1, "give --architecture A.json"],
      [
        `import ${TORCH}views.pt --architecture ${f}/bad.csv -o ${f}/n.st`,
        1,
        "bad.csv: is not JSON",
      ],
      [`import ${TORCH}views.pt --architecture ${f}/e.json -o ${f}/n.st`, 1, "e.json: expected an"],
      [`import ${float} --key a -o ${f}/old.safetensors`, 2, "--key: is for files of torch"],
      [`import ${float} -o ${float}`, 1, "is an input; write to another file"],
      [`import ${float} -o ${f}/no/m.safetensors`, 1, "cannot be written: there is no such file"],
      [`${quantize} ${f}/bad.csv`, 1, "bad.csv line 1: expected 2 numbers, as the model takes"],
      [`${quantize} ${f}/bad.jsonl`, 1, "bad.jsonl line 1: expected JSON"],
      [`${quantize} ${f}/bad.csv --preset best`, 2, "--preset: expected one of"],
      [`${quantize} ${float}`, 1, "expected a tensor x, batch first"],
      [`${quantize} ${f}/x.npy --program ${f}/old.safetensors`, 1, "two outputs of one name"],
      [`run ${float} ${f}/x.npy -o ${f}/y.txt`, 1, "results are .safetensors, .npy, .csv or"],
      [`graph ${float}`, 1, "the graph is that of a quantized model"],
      [`compile ${float} -o ${f}/p.bin`, 1, "expected a quantized model"],
      [`bench ${float} --steps none`, 2, "--steps: expected a number from 1 on, got none"],
      [`graph ${f}/int8.safetensors --format svg`, 2, "--format: expected one of table, json, dot"],
      [`graph ${f}/int8.safetensors --format dot --json`, 2, "--json: prints the graph as JSON"],
      [
        `compile ${f}/int8.safetensors --fold-embedding true -o ${f}/p.bin`,
        1,
        "--fold-embedding: ",
      ],
      [`inspect ${TORCH}views.pt --cut a`, 2, "--cut: is for files of ONNX, Keras"],
      [`inspect ${MODELS}keras-made/lstm.keras --cut a`, 1, "lstm.keras: --cut: expected input_l"],
      [`inspect ${MODELS}onnx-operators/gru-plain.onnx --cut zz`, 1, "--cut: expected a tensor of"],
      [`inspect ${MODELS}keras-made/lstm.weights.h5`, 1, "model.to_json() gave), got none"],
      [`inspect ${f}`, 1, "is a folder, and the model.json of TensorFlow.js is not in it"],
      [`inspect ${f}/e.json`, 1, "expected the model.json of TensorFlow.js, got other JSON"],
      [`run ${f}/cut.bin ${f}/x.npy`, 1, "cut.bin: expected a whole program, got 9 bytes"],
      [`${quantize} ${f}/cut.npy`, 1, "cut.npy: expected a whole .npy file, got "],
      [`${quantize} ${f}/text.npy`, 1, 'numbers or booleans, got "<U1"'],
      [`${quantize} ${f}/cut.npz`, 1, "cut.npz: expected a whole zip archive"],
      [`${quantize} ${MODELS}keras-made/lstm.keras`, 1, 'a tensor x, batch first, got "no array"'],
      [`${quantize} ${f}/nan.jsonl`, 1, "nan.jsonl line 2: expected"],
      [`tune ${float} --calibration ${f}/x.npy --budget 900 -o ${f}/old.safetensors`, 1, "budget"],
    ];
    if (onUnix) {
      const device = "cannot be read: it is a device, and a file is needed";
      cases.push(["inspect /dev/zero", 1, `/dev/zero: ${device}`]);
      cases.push([`${quantize} /dev/urandom`, 1, `/dev/urandom: ${device}`]);
    }
    for (const [args, code, message] of cases) {
      const outcome = await splitgate(args);
      assertEquals([outcome.code, outcome.out], [code, ""], args);
      assert(outcome.error.includes(message), `${args}: ${outcome.error}`);
      assertEquals(outcome.error.split("\n").length, 2, outcome.error);
    }
    assertEquals(await Deno.readTextFile(`${f}/old.safetensors`), "old");
    const left = [...Deno.readDirSync(f)].map(({ name }) => name).filter((name) =>
      /part$/.test(name)
    );
    assertEquals(left, []);
  });
});

Deno.test({
  name: "a pipe is read to its end",
  // Pipes of Windows are no files of a folder.
  ignore: !onUnix,
  fn: () =>
    inFolder(async (f) => {
      const made = await new Deno.Command("mkfifo", { args: [`${f}/pipe.jsonl`] }).output();
      assert(made.success);
      const written = Deno.writeTextFile(`${f}/pipe.jsonl`, "[[1,2],[3,4]]\n[[5,6]]\n");
      const run = `run ${f}/float.safetensors`;
      const piped = await done(`${run} ${f}/pipe.jsonl`);
      await written;
      assertEquals(piped, await done(run, ["[[1,2],[3,4]]", "[[5,6]]"]));
    }),
});

Deno.test("readNpy() reads what writeNpy() wrote, and refuses other orders and dtypes", () => {
  const data = Float32Array.of(1, -2, 0.5, 4, 5, 6);
  const file = writeNpy(data, [2, 3]);
  assertEquals(readNpy("a", file), { data, shape: [2, 3] });
  assertEquals(file.length % 64, data.byteLength % 64);
  const text = new TextDecoder("latin1").decode(file);
  const changed = (from: string, to: string) =>
    Uint8Array.from(text.replace(from, to), (each) => each.charCodeAt(0));
  for (
    const [from, to] of [["False", "True "], ["<f4", ">f4"], ["<f4", "<c4"], ["NUMPY", "NUMPX"]]
  ) {
    let message = "";
    try {
      readNpy("a", changed(from!, to!));
    } catch (error) {
      message = (error as Error).message;
    }
    assert(message.startsWith("a: expected "), `${from}: ${message}`);
  }
});
