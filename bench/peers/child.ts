/**
 * Child processes that answer requests, one at a time.
 *
 * @module
 */
import type { Failed, Reply, Request } from "./protocol.ts";

/** How long a child may take over one request. */
const PATIENCE_MS = 120_000;

/** A child process: JSON lines in, JSON lines out. */
export class Child {
  readonly #process: Deno.ChildProcess;
  readonly #writer: WritableStreamDefaultWriter<Uint8Array>;
  readonly #reader: ReadableStreamDefaultReader<string>;
  #text = "";
  #dead: string | null = null;

  /** @param command The program and its arguments. */
  constructor(readonly runtime: string, command: readonly string[]) {
    this.#process = new Deno.Command(command[0]!, {
      args: command.slice(1),
      stdin: "piped",
      stdout: "piped",
      stderr: "null",
      // One thread each, whatever the library.
      env: { OMP_NUM_THREADS: "1", MKL_NUM_THREADS: "1", TF_CPP_MIN_LOG_LEVEL: "3", NO_COLOR: "1" },
    }).spawn();
    this.#writer = this.#process.stdin.getWriter();
    this.#reader = this.#process.stdout.pipeThrough(new TextDecoderStream())
      .getReader();
  }

  async #line(): Promise<string> {
    while (!this.#text.includes("\n")) {
      const { value, done } = await this.#reader.read();
      if (done) throw new Error("the process ended");
      this.#text += value;
    }
    const end = this.#text.indexOf("\n");
    const line = this.#text.slice(0, end);
    this.#text = this.#text.slice(end + 1);
    return line;
  }

  /**
   * Sends a request and gives the answer; a child that ends or hangs fails this request and all
   * later ones.
   */
  async ask<T extends Exclude<Reply, Failed>>(request: Request): Promise<T | Failed> {
    if (this.#dead !== null) return { failed: this.#dead };
    let timer: ReturnType<typeof setTimeout> | undefined;
    try {
      await this.#writer.write(new TextEncoder().encode(JSON.stringify(request) + "\n"));
      const late = new Promise<never>((_, reject) => {
        timer = setTimeout(
          () => reject(new Error(`no answer in ${PATIENCE_MS / 1000} s`)),
          PATIENCE_MS,
        );
      });
      return JSON.parse(await Promise.race([this.#line(), late])) as T | Failed;
    } catch (error) {
      this.#dead = error instanceof Deno.errors.BrokenPipe
        ? "the process ended"
        : (error as Error).message;
      return { failed: this.#dead };
    } finally {
      clearTimeout(timer);
    }
  }

  /** Ends the process. */
  async close(): Promise<void> {
    try {
      if (this.#dead === null) await this.#writer.close();
      else this.#process.kill();
    } catch {
      // It ended before.
    }
    await this.#reader.cancel();
    await this.#process.status;
  }
}
