/**
 * Reading a file the way that costs a runtime least.
 *
 * @module
 */

/** The bytes of a file. */
export async function read(path: string): Promise<Uint8Array> {
  if ("Deno" in globalThis) return Deno.readFileSync(path);
  const { Bun } = globalThis as { Bun?: { file(path: string): { bytes(): Promise<Uint8Array> } } };
  if (Bun !== undefined) return await Bun.file(path).bytes();
  const { readFileSync } = await import("node:fs");
  return readFileSync(path);
}
