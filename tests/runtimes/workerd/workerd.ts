/**
 * Real workerd processes, started and stopped.
 *
 * @module
 */
import workerd from "workerd";

// A CommonJS module, whose default export is the path.
const BINARY = (workerd as unknown as { default: string }).default;

/** How long workerd may take to answer, in milliseconds. */
const PATIENCE = 20_000;

/**
 * A folder for objects' storage, in memory where the system has a place for that: what a test or
 * bench shall see is the worker, not the disk under it. A killed process loses nothing there
 * either.
 */
export async function storageFolder(): Promise<string> {
  const prefix = "splitgate-objects-";
  try {
    return await Deno.makeTempDir({ dir: "/dev/shm", prefix });
  } catch {
    return await Deno.makeTempDir({ prefix });
  }
}

/** A file of a worker: how workerd is to hand it over, and where it is. */
export interface WorkerModule {
  readonly name: string;
  readonly kind: "esModule" | "wasm" | "data" | "text";
  readonly path: string;
}

/** Options of {@linkcode Workerd.start}. */
export interface WorkerdOptions {
  /** The first is the entry. */
  readonly modules: readonly WorkerModule[];
  /** Class of the Durable Objects and the folder that they are stored in. */
  readonly objects?: {
    readonly className: string;
    readonly binding: string;
    readonly folder: string;
  };
  /** Flags of V8 itself. */
  readonly v8Flags?: readonly string[];
}

function configuration({ modules, objects, v8Flags = [] }: WorkerdOptions, port: number): string {
  const text = (value: string) => JSON.stringify(value);
  const lines = modules.map(({ name, kind, path }) =>
    `    (name = ${text(name)}, ${kind} = embed ${text(path)}),`
  );
  const stored = objects === undefined ? "" : `
  durableObjectNamespaces = [(className = ${text(objects.className)}, uniqueKey = "splitgate")],
  durableObjectStorage = (localDisk = "objects"),
  bindings = [(name = ${text(objects.binding)}, durableObjectNamespace = ${
    text(objects.className)
  })],`;
  const disk = objects === undefined
    ? ""
    : `\n    (name = "objects", disk = (path = ${text(objects.folder)}, writable = true)),`;
  return `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  v8Flags = [${v8Flags.map(text)}],
  services = [
    (name = "main", worker = .worker),${disk}
  ],
  sockets = [(name = "http", address = "127.0.0.1:${port}", http = (), service = "main")],
);
const worker :Workerd.Worker = (
  compatibilityDate = "2026-01-01",
  modules = [
${lines.join("\n")}
  ],${stored}
);
`;
}

/** A running workerd. */
export class Workerd {
  readonly #process: Deno.ChildProcess;
  readonly #config: string;
  /** Where it answers, without a slash at the end. */
  readonly url: string;

  private constructor(process: Deno.ChildProcess, config: string, url: string) {
    this.#process = process;
    this.#config = config;
    this.url = url;
  }

  /** Starts a worker and waits until it answers. */
  static async start(options: WorkerdOptions): Promise<Workerd> {
    const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const { port } = listener.addr;
    listener.close();
    const config = await Deno.makeTempFile({ prefix: "splitgate-", suffix: ".capnp" });
    await Deno.writeTextFile(config, configuration(options, port));
    const process = new Deno.Command(BINARY, {
      args: ["serve", "--import-path=/", config],
      stdout: "inherit",
      stderr: "inherit",
    }).spawn();
    const running = new Workerd(process, config, `http://127.0.0.1:${port}`);
    let ended = false;
    process.status.then(() => ended = true);
    for (const start = Date.now();;) {
      try {
        await (await fetch(running.url)).body?.cancel();
        return running;
      } catch {
        if (ended || Date.now() - start > PATIENCE) {
          await running.stop();
          throw new Error("workerd did not start");
        }
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    }
  }

  get pid(): number {
    return this.#process.pid;
  }

  /** Bytes of memory that the process holds (Linux: resident set size). */
  async residentBytes(): Promise<number> {
    const status = await Deno.readTextFile(`/proc/${this.pid}/status`);
    return Number(/VmRSS:\s*(\d+) kB/.exec(status)![1]) * 1024;
  }

  /** Kills the process, as a machine that fails would. */
  async stop(): Promise<void> {
    try {
      this.#process.kill("SIGKILL");
    } catch {
      // It has ended by itself.
    }
    await this.#process.status;
    await Deno.remove(this.#config).catch(() => {});
  }
}
