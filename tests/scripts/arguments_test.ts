import { assertEquals } from "@std/assert";

const SCRIPT = `
import { readArguments } from "${import.meta.resolve("../../scripts/arguments.ts")}";
const { values, positionals } = readArguments("it [FOLDER]", { rounds: { type: "string", default: "3" } }, 1);
console.log(JSON.stringify([values.rounds, positionals]));
`;

async function run(...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  const command = new Deno.Command(Deno.execPath(), {
    args: ["eval", SCRIPT, "--", ...args],
    env: { NO_COLOR: "1" },
  });
  const { code, stdout, stderr } = await command.output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return { code, stdout: text(stdout), stderr: text(stderr) };
}

Deno.test("readArguments() gives options and arguments, or the usage when asked", async () => {
  assertEquals((await run()).stdout, '["3",[]]\n');
  assertEquals((await run("--rounds", "5", "here")).stdout, '["5",["here"]]\n');
  assertEquals(await run("--help"), { code: 0, stdout: "usage: it [FOLDER]\n", stderr: "" });
});

Deno.test("readArguments() says what is wrong and ends the process when it is", async () => {
  assertEquals(await run("a", "b"), {
    code: 2,
    stdout: "",
    stderr: "expected at most 1 besides options, got 2\nusage: it [FOLDER]\n",
  });
  const { code, stdout, stderr } = await run("--round");
  assertEquals([code, stdout, stderr.includes("Unknown option '--round'")], [2, "", true]);
});
