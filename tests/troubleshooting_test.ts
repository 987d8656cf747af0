/**
 * The messages that docs/troubleshooting.md explains are those that are thrown.
 */
import { assert, assertEquals } from "@std/assert";
import {
  compileModel,
  convert,
  GRU,
  loadFloatModel,
  loadModel,
  LSTM,
  prepare,
  quantize,
  saveModel,
  tensor,
} from "@splitgate/splitgate";
import { importOnnx } from "@splitgate/splitgate/import/onnx";
import { importTorch } from "@splitgate/splitgate/import/torch";
import { loadProgram } from "@splitgate/splitgate/runtime";
import { loadProgram as loadWithState } from "@splitgate/splitgate/runtime/state";

const x = tensor([0.1, -0.4, 0.9, 0.3], [2, 1, 2]);
const sizes = { inputSize: 2, hiddenSize: 3 };
const model = (await quantize(new LSTM(sizes), [x])).model;
const program = compileModel(model);
const both = compileModel((await quantize(new LSTM({ ...sizes, bidirectional: true }), [x])).model);
const gru = compileModel((await quantize(new GRU(sizes), [x])).model);
const session = () => loadProgram(program).createSession();
const edited = (at: number) => {
  const bytes = program.slice();
  bytes[at]! ^= 1;
  return bytes;
};
const output = new Float32Array(3);
const checkpoint = Deno.readFileSync(new URL("io/torch/files/protocol0_zip.pt", import.meta.url));

/** Mistakes, in the order of the page's table. */
const MISTAKES: readonly (() => unknown)[] = [
  () => loadProgram(saveModel(model)),
  () => loadProgram(edited(4)),
  () => loadProgram(edited(200)),
  () => loadProgram(gru),
  () => loadModel(program),
  () => loadFloatModel(saveModel(model)),
  () => session().step([1, 2] as never, output),
  () => session().step(new Float32Array(2), new Float32Array(4)),
  () => session().run(new Float32Array(3), output),
  () => session().step(Float32Array.of(NaN, 1), output),
  () => loadProgram(both).createSession().step(new Float32Array(2), new Float32Array(6)),
  () => loadWithState(program).createSession().restore(new Uint8Array(3)),
  () => {
    const session = loadProgram(program).createSession() as unknown as { state(): void };
    session.state();
  },
  () => quantize(new LSTM(sizes), []),
  () => quantize(new LSTM(sizes), x as never),
  () => convert(prepare(new LSTM(sizes))),
  () =>
    importTorch(checkpoint, {
      architecture: { version: 1, modules: [{ name: "lstm", kind: "?" }] },
    }),
  () => importOnnx(Uint8Array.of(1, 2, 3)),
];

async function messageOf(mistake: () => unknown): Promise<string> {
  try {
    await mistake();
  } catch (error) {
    return (error as Error).message;
  }
  return "nothing was thrown";
}

/** A page's message as a pattern: N, M, NAME and "..." stand for anything. */
function pattern(message: string): RegExp {
  const parts = message.split(/\.\.\.(?!\])|\b(?:N|M|NAME)\b/);
  const escaped = parts.map((part) => part.replaceAll(/[.*+?^${}()|[\]\\]/g, "\\$&"));
  return new RegExp(`^${escaped.join(".*")}$`, "s");
}

Deno.test("every message that docs/troubleshooting.md explains is one that is thrown", async () => {
  const page = Deno.readTextFileSync(new URL("../docs/troubleshooting.md", import.meta.url));
  const [, table] = /<!-- messages:begin -->\n([^]*)<!-- messages:end -->/.exec(page)!;
  const messages = table!.trim().split("\n").slice(2).map((row) => /`([^`]+)`/.exec(row)![1]!);
  assertEquals(messages.length, MISTAKES.length);
  for (const [i, message] of messages.entries()) {
    const thrown = await messageOf(MISTAKES[i]!);
    assert(pattern(message).test(thrown), `${message}\n${thrown}`);
  }
});
