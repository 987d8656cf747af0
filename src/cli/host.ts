/**
 * The streams that the command reads and writes. Tests pass their own.
 *
 * @module
 */
import process from "node:process";

/**
 * The streams of a process.
 *
 * @example
 * ```ts
 * import { type Host, main } from "@splitgate/splitgate/cli";
 * import { assert, assertEquals } from "@std/assert";
 * let printed = "";
 * const host: Host = {
 *   write: (text) => void (printed += text),
 *   error: (text) => console.error(text),
 *   async *lines() {}, // standard input
 *   isTerminal: false,
 * };
 * assertEquals(await main(["--help"], host), 0);
 * assert(printed.includes("quantize"));
 * ```
 */
export interface Host {
  /** Writes to standard output. */
  write(text: string): void;
  /** Writes to standard error. */
  error(text: string): void;
  /** Lines of standard input. */
  lines(): AsyncIterable<string>;
  /** Whether standard error is a terminal; only then is progress drawn. */
  readonly isTerminal: boolean;
}

/** The lines of a stream of bytes. */
async function* linesOf(stream: AsyncIterable<Uint8Array>): AsyncIterable<string> {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const chunk of stream) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
    rest = lines.pop()!;
    yield* lines;
  }
  if (rest !== "") yield rest;
}

/** This process. If its output is closed early, as by `| head`, it ends successfully. */
export const processHost: Host = {
  write: (text) => void process.stdout.write(text),
  error: (text) => void process.stderr.write(text),
  lines: () => linesOf(process.stdin as AsyncIterable<Uint8Array>),
  get isTerminal() {
    return process.stderr.isTTY === true;
  },
};

/** Width of a progress bar in characters. */
const BAR = 24;

/** Min milliseconds between two drawings. */
const DRAW_MS = 50;

/** Draws progress on a terminal; does nothing elsewhere. */
export class Progress {
  readonly #host: Host;
  #last = "";
  #drawn = 0;

  /** Draws on the host's standard error. */
  constructor(host: Host) {
    this.#host = host;
  }

  /** Draws a bar; `total` is undefined if it is unknown. */
  show(label: string, done: number, total: number | undefined): void {
    const now = performance.now();
    if (!this.#host.isTerminal || now - this.#drawn < DRAW_MS) return;
    this.#drawn = now;
    const share = total === undefined || total === 0 ? 0 : done / total;
    const full = Math.round(share * BAR);
    const text = `${label.padEnd(10)} ${"█".repeat(full)}${"░".repeat(BAR - full)} ${done}${
      total === undefined ? "" : `/${total}`
    }`;
    if (text !== this.#last) this.#host.error(`\r\x1b[K${text}`);
    this.#last = text;
  }

  /** Clears the line. */
  end(): void {
    if (this.#last !== "") this.#host.error("\r\x1b[K");
    this.#last = "";
  }
}

/** Ends the process successfully when its output is closed. */
export function endWithReader(): void {
  process.stdout.on("error", ({ code }: { code?: string }) => {
    if (code === "EPIPE") process.exit(0);
  });
}
