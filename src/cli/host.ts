/**
 * What the command is run in: what it reads, writes and draws on. Tests give their own.
 *
 * @module
 */
import process from "node:process";

/** The streams of a process. */
export interface Host {
  /** Writes to standard output. */
  write(text: string): void;
  /** Writes to standard error. */
  error(text: string): void;
  /** Lines of standard input. */
  lines(): AsyncIterable<string>;
  /** Whether standard error is a terminal, on which progress is drawn. */
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

/**
 * This process. Where nobody reads what it prints any more, as behind `| head`, it ends as if all
 * were done.
 */
export const processHost: Host = {
  write: (text) => void process.stdout.write(text),
  error: (text) => void process.stderr.write(text),
  lines: () => linesOf(process.stdin as AsyncIterable<Uint8Array>),
  get isTerminal() {
    return process.stderr.isTTY === true;
  },
};

/** Cells of a bar of progress. */
const BAR = 24;

/** Milliseconds between drawings. */
const DRAW_MS = 50;

/** Draws how far something is on a terminal, and nothing elsewhere. */
export class Progress {
  readonly #host: Host;
  #last = "";
  #drawn = 0;

  /** Draws on a host's standard error. */
  constructor(host: Host) {
    this.#host = host;
  }

  /** Draws a bar: `total` is undefined where it is not known. */
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

/** Ends the process, with success, when what it prints to is closed. */
export function endWithReader(): void {
  process.stdout.on("error", ({ code }: { code?: string }) => {
    if (code === "EPIPE") process.exit(0);
  });
}
