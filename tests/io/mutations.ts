/**
 * Files that were damaged, by chance or on purpose.
 *
 * @module
 */
import { assert } from "@std/assert";
import { generator } from "../../src/testing/random.ts";

/** Bytes that sizes, counts and addresses are often wrong by. */
const ODD = [0, 1, 2, 4, 8, 16, 127, 128, 254, 255];

/** Numbers below `limit`, the same ones for a seed. */
export type Random = (limit: number) => number;

/** Whole numbers from the generator that all tests share. */
export function random(seed: number): Random {
  const draw = generator(seed);
  return (limit) => Math.floor(draw(0, limit));
}

/** A copy of a file with one to eight changes, one in ten of them cut short. */
export function mutate(bytes: Uint8Array, draw: Random): Uint8Array {
  const out = bytes.slice();
  for (let left = 1 + draw(8); left > 0; left--) {
    const at = draw(out.length);
    const kind = draw(5);
    if (kind === 0) out[at] = ODD[draw(ODD.length)]!;
    else if (kind === 1) out[at]! ^= 1 << draw(8);
    else if (kind === 2) out[at] = draw(256);
    else if (kind === 3) out.fill(255, at, at + 1 + draw(8));
    else {
      const from = draw(out.length);
      const length = Math.min(1 + draw(32), out.length - at, out.length - from);
      out.copyWithin(at, from, from + length);
    }
  }
  return draw(10) === 0 ? out.slice(0, draw(out.length)) : out;
}

const MAX_MILLISECONDS = 1000;

/**
 * Requires that reading a damaged file works, or fails with an error that names something, in a
 * second.
 *
 * @returns Whether it worked.
 */
export function readsOrRefuses(read: () => void): boolean {
  const start = performance.now();
  let worked = true;
  try {
    read();
  } catch (error) {
    worked = false;
    if (!(error instanceof RangeError)) throw error;
    assert(/^[^]+: expected [^]+, got /.test(error.message), error.message);
    assert(error.message.length < 1000, error.message);
  }
  assert(performance.now() - start < MAX_MILLISECONDS, "more than a second");
  return worked;
}

/** What fields of JSON are not meant to hold. */
const OTHERS = [null, 0, -1, 1.5, 1e9, 2 ** 53, "", "__proto__", [], {}, [[]], true];

/**
 * Runs something with other values of each field of an object, and of objects in it: of lists each
 * field once, of the first entry that has it.
 *
 * @returns The number of fields.
 */
export function tryOtherValues(object: object, run: () => void): number {
  const seen = new Set<string>();
  const visit = (node: Record<string, unknown>, path: string) => {
    for (const key of Object.keys(node)) {
      const kept = node[key];
      const name = `${path}.${key}`.replace(/\.\d+/g, ".#");
      if (!seen.has(name)) {
        seen.add(name);
        for (const value of OTHERS) {
          node[key] = value;
          run();
        }
        node[key] = kept;
      }
      if (kept !== null && typeof kept === "object") {
        visit(kept as Record<string, unknown>, `${path}.${key}`);
      }
    }
  };
  visit(object as Record<string, unknown>, "");
  return seen.size;
}

/** Values that stand below a key somewhere, by key: what a field of other files may hold. */
export type Words = ReadonlyMap<string, readonly unknown[]>;

/** The words of some JSON. */
export function wordsOf(roots: readonly unknown[]): Words {
  const found = new Map<string, Map<string, unknown>>();
  const visit = (value: unknown) => {
    if (typeof value !== "object" || value === null) return;
    for (const [key, each] of Object.entries(value)) {
      const name = Array.isArray(value) ? "" : key;
      const own = found.get(name) ?? new Map<string, unknown>();
      found.set(name, own.set(JSON.stringify(each), each));
      visit(each);
    }
  };
  roots.forEach(visit);
  return new Map([...found].map(([key, values]) => [key, [...values.values()]]));
}

/**
 * Replaces one to three values of an object, or of what lies in it, by others: of `words`, where
 * the same key has other values.
 */
export function changeJson(root: object, draw: Random, words?: Words): void {
  for (let left = 1 + draw(3); left > 0; left--) {
    let node = root as Record<string, unknown>;
    for (;;) {
      const keys = Object.keys(node);
      if (keys.length === 0) break;
      const key = keys[draw(keys.length)]!;
      const value = node[key];
      if (typeof value === "object" && value !== null && draw(4) > 0) {
        node = value as Record<string, unknown>;
        continue;
      }
      const known = words?.get(Array.isArray(node) ? "" : key) ?? [];
      if (known.length > 0 && draw(2) === 0) node[key] = structuredClone(known[draw(known.length)]);
      else if (draw(4) === 0) delete node[key];
      else node[key] = structuredClone(OTHERS[draw(OTHERS.length)]);
      break;
    }
  }
}
