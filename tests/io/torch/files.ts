/**
 * Files of torch.save that scripts/golden_torch_files.py wrote, and what torch says is in them.
 *
 * @module
 */
const FOLDER = new URL("files/", import.meta.url);

/** A tensor as torch gives it: NaN, infinities and 64-bit integers as text. */
export interface Recorded {
  readonly dtype: string;
  readonly shape: number[];
  readonly values: (number | string | boolean)[];
}

/** What is known of all files. */
export interface Expected {
  /** By file: where its state dict stands, null where there are several, and its tensors. */
  readonly files: Record<string, { key: string | null; tensors: Record<string, Recorded> }>;
  /** Files with a call of a Python function, and that function. */
  readonly calls: { readonly file: string; readonly call: string }[];
}

/** The bytes of a file. */
export function bytesOf(name: string): Uint8Array {
  return Deno.readFileSync(new URL(name, FOLDER));
}

/** What torch says. */
export const EXPECTED: Expected = JSON.parse(
  Deno.readTextFileSync(new URL("expected.json", FOLDER)),
);
