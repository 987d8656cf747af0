import { assert } from "@std/assert";

/**
 * Runs bench/alloc_steps.ts by a command, and requires that no step allocates and that one which
 * makes an object shows.
 *
 * On a busy machine an engine may optimize late, and boxes numbers until then: a second and a third
 * look settle it.
 */
export async function assertNoAllocation(command: string, args: readonly string[]): Promise<void> {
  for (const last of [false, false, true]) {
    const { stdout, stderr } = await new Deno.Command(command, { args: [...args] }).output();
    const rows = Object.entries(
      JSON.parse(new TextDecoder().decode(stdout) || "{}") as Record<string, number>,
    );
    assert(rows.length > 5, new TextDecoder().decode(stderr));
    // A boxed number takes 12 bytes or more; below one byte a step, no step allocates.
    const wrong = rows.filter(([name, bytes]) =>
      name.startsWith("a step that makes") ? bytes < 12 : bytes >= 1
    );
    if (wrong.length === 0) return;
    assert(!last, JSON.stringify(wrong));
  }
}
