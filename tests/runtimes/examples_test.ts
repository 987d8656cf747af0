/**
 * Every example, copied to a folder of its own, with the packed package installed as its README
 * says, and run.
 */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { fileURLToPath, pathToFileURL } from "node:url";
import { stop } from "esbuild";
import { pack } from "../../scripts/pack.ts";
import { launch } from "./browser/chromium.ts";
import { bundle } from "./bundle.ts";
import { BUN, NAME, succeed } from "./install.ts";
import { serveFolder } from "./serve_folder.ts";
import { storageFolder, Workerd } from "./workerd/workerd.ts";

const EXAMPLES = fileURLToPath(new URL("../../examples", import.meta.url));

/** One second of one motion: [50, 3], in g. */
function motion(amplitude: number): Float32Array<ArrayBuffer> {
  const x = new Float32Array(150);
  for (let i = 0; i < 50; i++) {
    x.set([amplitude * Math.sin(i / 50 * 2 * Math.PI * 5), 0, 1], 3 * i);
  }
  return x;
}

const STILL = motion(0);
const SHAKEN = motion(1.4);
const readings = (x: Float32Array) =>
  JSON.stringify(Array.from({ length: 50 }, (_, i) => [...x.subarray(3 * i, 3 * i + 3)]));

/** Starts a command, waits until it answers at a port, calls, and ends it. */
async function withServer(
  cwd: string,
  command: string[],
  call: (url: string) => Promise<void>,
): Promise<void> {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr;
  listener.close();
  const [program, ...args] = command;
  const process = new Deno.Command(program!, {
    args: [...args, String(port)],
    cwd,
    stdout: "null",
    stderr: "inherit",
  }).spawn();
  try {
    const url = `http://127.0.0.1:${port}`;
    for (const start = Date.now();;) {
      try {
        await (await fetch(url)).body?.cancel();
        break;
      } catch (error) {
        if (Date.now() - start > 30_000) throw error;
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
    }
    await call(url);
  } finally {
    try {
      process.kill("SIGKILL");
    } catch {
      // It has ended by itself.
    }
    await process.status;
  }
}

/** A command's outcome, where it is to fail. */
async function failing(cwd: string, command: string, ...args: string[]): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command(command, {
    args,
    cwd,
    stdin: "null",
    env: { NO_COLOR: "1" },
  }).output();
  assert(!success, `${command} ${args.join(" ")}`);
  return new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr);
}

Deno.test("the examples run against the packed package", async (t) => {
  const root = await Deno.makeTempDir({ prefix: "splitgate-examples-" });
  const copy = `${root}/examples`;
  const install = async (name: string) => {
    const folder = `${copy}/${name}`;
    await succeed(folder, "npm", "install", "--no-audit", "--no-fund", "--prefer-offline");
    return folder;
  };
  try {
    await succeed(root, "cp", "-R", EXAMPLES, copy);
    await Deno.mkdir(`${root}/build`);
    await pack(`${root}/build/splitgate.tgz`);

    await t.step("node-cli", async () => {
      const folder = await install("node-cli");
      await succeed(folder, "npm", "run", "build");
      const text = await succeed(folder, "sh", "-c", "node main.mjs < readings.txt");
      const motions = text.trim().split("\n").map((line) => line.split(": ")[1]);
      assertEquals(motions.at(0), "standing");
      assertEquals(motions.at(-1), "shaking");
      assert(motions.includes("walking"));
      assertMatch(await failing(folder, "sh", "-c", "echo a | node main.mjs"), /line 1: expected/);
      assertMatch(
        await failing(folder, "node", "main.mjs", "package.json"),
        /package\.json: bytes/,
      );
    });

    await t.step("fuzz-in-ci", async () => {
      const folder = await install("fuzz-in-ci");
      assertMatch(await succeed(folder, "npm", "test"), /pass 2\n[^]*fail 0/);
      const [program, ...args] = [Deno.execPath(), "test", "-A", "--no-check"];
      assertMatch(await succeed(folder, program!, ...args), /2 passed/);
    });

    await t.step("sensor-stream", async () => {
      const folder = await install("sensor-stream");
      await succeed(folder, "npm", "run", "build");
      const whole = await succeed(folder, "node", "main.mjs", "4", "whole.state");
      const first = await succeed(folder, "node", "main.mjs", "2");
      const second = await succeed(folder, "node", "main.mjs", "2");
      assertEquals(first + second.replace("going on from 2 s\n", ""), whole);
      assertEquals(
        await Deno.readFile(`${folder}/stream.state`),
        await Deno.readFile(`${folder}/whole.state`),
      );
      await Deno.writeTextFile(`${folder}/stream.state`, "not a state");
      assertMatch(
        await succeed(folder, "node", "main.mjs", "1"),
        /1 s: standing[^]*beginning anew/,
      );
    });

    await t.step("deno-serve", async () => {
      const folder = await install("deno-serve");
      assertMatch(
        await failing(folder, Deno.execPath(), "run", "-A", "main.ts"),
        /motion\.bin: .*npm run build/,
      );
      await succeed(folder, "npm", "run", "build");
      const command = [Deno.execPath(), "run", "--allow-net", "--allow-read=.", "main.ts"];
      await withServer(folder, command, async (url) => {
        const post = (body: string) => fetch(url, { method: "POST", body });
        assertEquals(await (await post(readings(SHAKEN))).json(), { motion: "shaking" });
        assertEquals(await (await post(readings(STILL))).json(), { motion: "standing" });
        const wrong = await post("[[1, 2]]");
        assertEquals(wrong.status, 400);
        await wrong.body?.cancel();
      });
    });

    await t.step("bun-server", async () => {
      const folder = await install("bun-server");
      await succeed(folder, "npm", "run", "build");
      await withServer(folder, ["npx", "-y", BUN, "server.ts"], async (url) => {
        const socket = new WebSocket(url.replace("http", "ws"));
        const answers: unknown[] = [];
        await new Promise<void>((resolve, reject) => {
          const sent = [SHAKEN, "text", STILL];
          socket.onopen = () => socket.send(sent.shift()!);
          socket.onerror = reject;
          socket.onmessage = ({ data }) => {
            answers.push(JSON.parse(data));
            const next = sent.shift();
            if (next === undefined) resolve();
            else socket.send(next);
          };
        });
        socket.close();
        assertEquals(answers, [
          { motion: "shaking" },
          { error: "expected float32 readings, got text" },
          { motion: "standing" },
        ]);
      });
    });

    await t.step("cloudflare-worker", async () => {
      const folder = await install("cloudflare-worker");
      await succeed(folder, "npm", "run", "build");
      // What wrangler does: one module of TypeScript and imports, data and WebAssembly beside it.
      await bundle(pathToFileURL(`${folder}/worker.ts`), folder, "worker.js", {
        external: ["./motion.bin", "*.wasm"],
      });
      const objects = await storageFolder();
      const worker = await Workerd.start({
        modules: [
          { name: "worker.js", kind: "esModule", path: `${folder}/worker.js` },
          { name: "motion.bin", kind: "data", path: `${folder}/motion.bin` },
          {
            name: `${NAME}/simd/relaxed.wasm`,
            kind: "wasm",
            path: `${folder}/node_modules/${NAME}/kernels/simd/relaxed.wasm`,
          },
        ],
        objects: { className: "Sensor", binding: "SENSORS", folder: objects },
      });
      try {
        const post = async (id: string, body: Float32Array<ArrayBuffer>) => {
          const response = await fetch(`${worker.url}/${id}`, { method: "POST", body });
          return response.ok ? (await response.json()).scores : await response.text();
        };
        const whole = new Float32Array(300);
        whole.set(STILL);
        whole.set(SHAKEN, 150);
        const expected = await post("whole", whole);
        await post("pieces", STILL);
        assertMatch(await post("pieces", Float32Array.of(1, NaN, 1)), /expected/);
        assertMatch(await post("pieces", Float32Array.of(1, 2)), /threes/);
        assertEquals(await post("pieces", SHAKEN), expected);
      } finally {
        await worker.stop();
        await Deno.remove(objects, { recursive: true });
      }
    });

    await t.step("pytorch-to-edge", async () => {
      const folder = await install("pytorch-to-edge");
      const readme = await Deno.readTextFile(`${folder}/README.md`);
      const lines = [...readme.matchAll(/^```sh\n([^]*?)^```$/gm)].flatMap(([, block]) =>
        block!.replaceAll("\\\n", "").trim().split("\n")
      );
      const commands = lines.filter((line) => line.startsWith("npx splitgate "));
      assertEquals(commands.length, 3);
      const printed: string[] = [];
      for (const command of commands) printed.push(await succeed(folder, "sh", "-c", command));
      assertMatch(printed[0]!, /lstm +LSTM of 1 layer, input 3, hidden 16/);
      const [, float, int8] = /right: float (\d+)\.\d+%, int8 (\d+)/.exec(printed[1]!)!;
      assertEquals([float, int8], ["88", "88"]);
      // The model of the other examples is this one.
      const compared = await succeed(
        folder,
        "sh",
        "-c",
        "npx splitgate compare model.safetensors ../model/motion.safetensors --data test.npy --json",
      );
      assert(JSON.parse(compared).agreement[0].sameLargest > 0.99, compared);
      const wrong = await failing(
        folder,
        "sh",
        "-c",
        "npx splitgate quantize train.py --calibration calibration.npy -o none.safetensors",
      );
      assertMatch(wrong, /^splitgate quantize: train\.py: expected .*\n$/);

      // What wrangler does with worker.mjs.
      await bundle(pathToFileURL(`${folder}/worker.mjs`), folder, "worker.js", {
        external: ["./model.bin"],
      });
      const withProgram = async (file: string, call: (url: string) => Promise<void>) => {
        const worker = await Workerd.start({
          modules: [
            { name: "worker.js", kind: "esModule", path: `${folder}/worker.js` },
            { name: "model.bin", kind: "data", path: `${folder}/${file}` },
          ],
        });
        try {
          await call(worker.url);
        } finally {
          await worker.stop();
        }
      };
      const post = async (url: string, body: string) => {
        const response = await fetch(url, { method: "POST", body });
        return [response.status, await response.json()];
      };
      const [, body] = /curl --data '(.*)' http/.exec(readme)!;
      await withProgram("model.bin", async (url) => {
        assertEquals(await post(url, body!), [200, { motion: "standing" }]);
        assertEquals(await post(url, readings(SHAKEN)), [200, { motion: "shaking" }]);
        assertEquals((await post(url, "[[1, 2]]"))[0], 400);
        assertEquals((await post(url, "what?"))[0], 400);
      });
      await withProgram("model.safetensors", async (url) => {
        const [status, { error }] = await post(url, body!);
        assertEquals(status, 500);
        assertMatch(error, /^model\.bin: .*npm run build$/);
      });
    });

    await t.step("vite, and browser without a build step", async () => {
      const [vite, plain] = [await install("vite"), await install("browser")];
      await succeed(vite, "npm", "run", "build");
      await succeed(plain, "npm", "run", "build");
      const browser = await launch();
      try {
        for (
          const [folder, answer] of [[`${vite}/dist`, "shaking"], [plain, "standing"]] as const
        ) {
          const server = serveFolder(folder);
          const page = await browser.newPage();
          const errors: string[] = [];
          page.on("pageerror", (error) => errors.push(error.message));
          await page.goto(server.url);
          const status = page.getByRole("status");
          await status.filter({ hasText: answer }).waitFor({ timeout: 20_000 });
          assertEquals(errors, []);
          if (folder === plain) {
            await page.locator("#shake").fill("1.4");
            await status.filter({ hasText: "shaking" }).waitFor({ timeout: 20_000 });
            await Deno.remove(`${plain}/motion.bin`);
            await page.reload();
            await status.filter({ hasText: "npm run build" }).waitFor({ timeout: 20_000 });
          }
          await page.close();
          await server.stop();
        }
      } finally {
        await browser.close();
      }
    });
  } finally {
    await stop();
    await Deno.remove(root, { recursive: true });
  }
});
