import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { fileURLToPath } from "node:url";

const DEMO = fileURLToPath(new URL("../../demo/main.ts", import.meta.url));
const DATA = fileURLToPath(new URL("../../demo/data/", import.meta.url));

async function demo(...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  const output = await Deno.makeTempFile({ suffix: ".safetensors" });
  try {
    const command = new Deno.Command(Deno.execPath(), {
      args: [
        "run",
        "--allow-read",
        "--allow-write",
        "--allow-env",
        DEMO,
        "--output",
        output,
        ...args,
      ],
      env: { NO_COLOR: "1" },
    });
    const { code, stdout, stderr } = await command.output();
    const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
    return { code, stdout: text(stdout), stderr: text(stderr) };
  } finally {
    await Deno.remove(output);
  }
}

for (const language of ["thai", "lao", "burmese"]) {
  Deno.test(`the demo keeps .995 of the word ends in 36 % of the bytes when segmenting ${language}`, async () => {
    const { code, stdout, stderr } = await demo("--language", language, "--json");
    assertEquals(code, 0, stderr);
    const result = JSON.parse(stdout);
    assertEquals(result.language, language);
    assertEquals(result.fusedEqualsSplit, true);
    assertEquals(result.f1FloatVsReference, 1);
    assert(result.f1VsFloat >= 0.995, `${result.f1VsFloat}`);
    assert(
      result.bytesInt8 <= 0.36 * result.bytesFloat,
      `${result.bytesInt8} of ${result.bytesFloat}`,
    );
    assert(
      result.bytesProgram <= 0.45 * result.bytesFloat,
      `${result.bytesProgram} of ${result.bytesFloat}`,
    );
    assert(result.workingBytesFused - result.workingBytesSplit >= 4 * 27 * 8);
  });
}

Deno.test("the demo runs every preset fused and split with the same bytes", async () => {
  for (const preset of ["fbgemm", "qnnpack"]) {
    const { stdout } = await demo("--preset", preset, "--json");
    assertEquals(JSON.parse(stdout).fusedEqualsSplit, true);
  }
});

Deno.test("the demo segments a given text and leaves other scripts alone", async () => {
  const { stdout } = await demo("--text", "สวัสดีชาวโลก, hello");
  assertEquals(stdout, "สวัสดี|ชาว|โลก, hello\n");
  const json = await demo("--text", "สวัสดีชาวโลก, hello", "--json");
  assertEquals(JSON.parse(json.stdout), {
    language: "thai",
    preset: "accurate",
    text: "สวัสดี|ชาว|โลก, hello",
  });
});

Deno.test("the demo takes a model of one's own", async () => {
  const files = ["--model", `${DATA}lao.safetensors`, "--dictionary", `${DATA}lao.json`];
  const texts = ["--calibration", `${DATA}lao.calibration.txt`, "--test", `${DATA}lao.test.txt`];
  const { code, stdout } = await demo(...files, ...texts);
  assertEquals(code, 0);
  assertStringIncludes(stdout, "lao: 128 runs, 859 words");
});

Deno.test("the demo says what is wrong with its arguments or files", async () => {
  const cases: [string[], string][] = [
    [["--language", "klingon"], "--language: expected thai, lao, burmese, got klingon"],
    [["--preset", "nope"], "--preset: expected"],
    [["--model", "x.safetensors"], "also needs --dictionary, --calibration, --test"],
    [["--frobnicate"], "Unknown option '--frobnicate'"],
    [
      [
        "--model",
        `${DATA}lao.json`,
        "--dictionary",
        `${DATA}lao.json`,
        "--calibration",
        "x",
        "--test",
        "x",
      ],
      "bytes: expected a safetensors file",
    ],
  ];
  for (const [args, message] of cases) {
    const { code, stderr } = await demo(...args);
    assertEquals(code, 1);
    assertStringIncludes(stderr, message);
  }
});

Deno.test("the demo writes over none of its inputs and says in one line what it cannot write", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const own = ["model", "dictionary", "calibration", "test"].flatMap((option) => {
      const suffix = { model: "safetensors", dictionary: "json" }[option] ?? `${option}.txt`;
      Deno.copyFileSync(`${DATA}lao.${suffix}`, `${folder}/${option}`);
      return [`--${option}`, `${folder}/${option}`];
    });
    const model = Deno.readFileSync(`${folder}/model`);
    await Deno.link(`${folder}/model`, `${folder}/hard`);
    const wrong: [string, string][] = [
      ...["model", "dictionary", "calibration", "test", "./model", "hard"].map((name) =>
        [`${folder}/${name}`, "output: expected another file than the input "] as [string, string]
      ),
      [folder, `${folder}: could not be written: it is a folder`],
      [`${folder}/model/out`, `${folder}/model/out: could not be written: `],
    ];
    for (const [output, message] of wrong) {
      // The last --output counts.
      const { code, stderr } = await demo(...own, "--text", "x", "--output", output);
      assertEquals(code, 1, stderr);
      assertStringIncludes(stderr, `demo: ${message}`);
      assertEquals(stderr.trim().includes("\n"), false, stderr);
    }
    assertEquals(Deno.readFileSync(`${folder}/model`), model);
    assertEquals([...Deno.readDirSync(folder)].length, 5);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
