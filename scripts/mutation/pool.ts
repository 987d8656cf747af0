/**
 * A process that runs tests with mutants ({@linkcode ./runner.ts}), made anew when one ends it.
 *
 * @module
 */
import { createInterface } from "node:readline";
import { type ChildProcess, spawn } from "node:child_process";
import type { Answer, Command } from "./runner.ts";

/** Why there is no answer. */
export type Ended = "crashed" | "late";

/** Seconds within which test files are loaded. */
const LOAD_SECONDS = 240;

/** A process with some test files, which runs one command at a time. */
export class Runner {
  #child: ChildProcess | null = null;
  #lines: AsyncIterator<string> | null = null;

  /**
   * @param copy Folder of the sources with mutants.
   * @param script The runner, below that folder.
   * @param files Test files below that folder.
   */
  constructor(
    readonly copy: string,
    readonly script: string,
    readonly files: readonly string[],
  ) {}

  /**
   * Asks the process, which is started where there is none.
   *
   * @param seconds After so many the process is ended.
   * @param loaded A mutant that is switched on before anything is loaded.
   */
  async ask(command: Command, seconds: number, loaded?: string): Promise<Answer | Ended> {
    if (loaded !== undefined) this.end();
    if (this.#child === null) {
      const started = await this.#start(loaded);
      if (started !== null) return started;
    }
    this.#child!.stdin!.write(`${JSON.stringify(command)}\n`);
    const answer = await this.#answer(seconds);
    if (loaded !== undefined) this.end();
    return answer;
  }

  /** Ends the process, if there is one. */
  end(): void {
    this.#child?.kill("SIGKILL");
    this.#child = null;
  }

  async #start(loaded: string | undefined): Promise<Ended | null> {
    const args = ["run", "-A", "--no-check", this.script, ...this.files];
    this.#child = spawn(Deno.execPath(), args, {
      cwd: this.copy,
      env: { ...Deno.env.toObject(), NO_COLOR: "1", ...loaded !== undefined && { MUTANT: loaded } },
      stdio: ["pipe", "pipe", "ignore"],
    });
    this.#child.stdin!.on("error", () => {});
    this.#lines = createInterface({ input: this.#child.stdout! })[Symbol.asyncIterator]();
    const answer = await this.#answer(LOAD_SECONDS);
    return typeof answer === "string" ? answer : null;
  }

  async #answer(seconds: number): Promise<Answer | Ended> {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const late = new Promise<"late">((resolve) => {
      timer = setTimeout(() => resolve("late"), seconds * 1000);
    });
    const line = this.#lines!.next().then(({ done, value }) => done ? "crashed" : value);
    const answer = await Promise.race([line, late]);
    clearTimeout(timer);
    if (answer !== "late" && answer !== "crashed") return JSON.parse(answer);
    this.end();
    return answer;
  }
}
