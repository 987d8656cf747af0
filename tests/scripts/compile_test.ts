import { assertEquals, assertStringIncludes } from "@std/assert";
import { fileURLToPath } from "node:url";
import { saveModel } from "../../src/io/model_write.ts";
import { loadProgram } from "../../src/runtime/load.ts";
import { modelOf, plainCase } from "../../src/testing/quantized_models.ts";

async function compile(...args: string[]): Promise<{ code: number; told: string }> {
  const script = new URL("../../scripts/compile.ts", import.meta.url).href;
  const config = fileURLToPath(new URL("../../deno.json", import.meta.url));
  const command = new Deno.Command(Deno.execPath(), {
    args: ["run", "--allow-read", "--allow-write", "--config", config, script, ...args],
    env: { NO_COLOR: "1" },
  });
  const { code, stdout, stderr } = await command.output();
  const decoder = new TextDecoder();
  return { code, told: decoder.decode(stdout) + decoder.decode(stderr) };
}

Deno.test("deno task compile writes what the runtime loads, and says what is wrong", async () => {
  const folder = await Deno.makeTempDir();
  const file = `${folder}/model.safetensors`;
  const program = `${folder}/program`;
  try {
    await Deno.writeFile(file, saveModel(modelOf(plainCase, "8", true)));
    const { code, told } = await compile(file, program);
    assertEquals(code, 0, told);
    assertStringIncludes(told, `${program}: `);
    assertEquals(
      loadProgram(await Deno.readFile(program)).data.nodes.map(({ program }) => program.kind),
      [
        "LSTM",
        "Linear",
      ],
    );
    await compile(file, program, "--fold-embedding", "false");
    assertEquals(loadProgram(await Deno.readFile(program)).vocabulary, 5);
    assertEquals(loadProgram(await Deno.readFile(program)).data.nodes.length, 3);
    await compile(file, program, "--simd");
    assertEquals("image" in loadProgram(await Deno.readFile(program)).data.nodes[0]!.program, true);
    const wrong: [string[], string][] = [
      [[file], "expected two files"],
      [
        [file, program, "--fold-embedding", "yes"],
        "--fold-embedding: expected true, false or float32, got yes",
      ],
      [
        [program, file],
        "compile: bytes: expected a safetensors file (loadProgram reads a program)",
      ],
      [[`${folder}/none`, program], "compile: No such file"],
    ];
    for (const [args, message] of wrong) {
      const { code, told } = await compile(...args);
      assertEquals(code, 1, told);
      assertStringIncludes(told, message);
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("deno task compile leaves the model and an old program where it cannot write", async () => {
  const folder = await Deno.makeTempDir();
  const file = `${folder}/model.safetensors`;
  try {
    const model = saveModel(modelOf(plainCase, "8", true));
    await Deno.writeFile(file, model);
    await Deno.link(file, `${folder}/hard`);
    await Deno.mkdir(`${folder}/program`);
    const outputs: [string, string][] = [
      [file, "output: expected another file than the input"],
      [`${folder}/./model.safetensors`, "output: expected another file than the input"],
      [`${folder}/hard`, "output: expected another file than the input"],
      [`${folder}/program`, `${folder}/program: could not be written: it is a folder`],
      [`${folder}/none/program`, `${folder}/none/program: could not be written: No such file`],
    ];
    for (const [output, message] of outputs) {
      const { code, told } = await compile(file, output);
      assertEquals(code, 1, told);
      assertStringIncludes(told, `compile: ${message}`);
      assertEquals(told.trim().includes("\n"), false, told);
      assertEquals(await Deno.readFile(file), model);
    }
    assertEquals([...Deno.readDirSync(folder)].map(({ name }) => name).toSorted(), [
      "hard",
      "model.safetensors",
      "program",
    ]);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
