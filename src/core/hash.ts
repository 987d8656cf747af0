/**
 * A hash of plain data that tells models apart.
 *
 * @module
 */
import { typedArrayKind } from "../../kernels/numeric/typed_array.ts";

/** Two 32-bit words. */
export type Fingerprint = readonly [number, number];

/** Two MurmurHash3 with different seeds and multipliers. */
class Hash {
  #a = 0x1747b28c;
  #b = 0x2f0b4f57;

  /** Hashes bytes, and their number. */
  add({ buffer, byteOffset, byteLength }: ArrayBufferView): void {
    const whole = byteLength >> 2;
    this.#words(Int32Array.of(byteLength));
    // A copy where they are not aligned.
    const aligned = byteOffset % 4 === 0 ? buffer : buffer.slice(byteOffset);
    this.#words(new Int32Array(aligned, aligned === buffer ? byteOffset : 0, whole));
    const rest = new Uint8Array(4);
    rest.set(new Uint8Array(buffer, byteOffset + 4 * whole, byteLength - 4 * whole));
    this.#words(new Int32Array(rest.buffer));
  }

  #words(words: Int32Array): void {
    let a = this.#a;
    let b = this.#b;
    for (let i = 0; i < words.length; i++) {
      const p = Math.imul(words[i]!, 0xcc9e2d51);
      const q = Math.imul(words[i]!, 0x239b961b);
      a ^= Math.imul(p << 15 | p >>> 17, 0x1b873593);
      b ^= Math.imul(q << 16 | q >>> 16, 0xab0e9789);
      a = Math.imul(a << 13 | a >>> 19, 5) + 0x6546b64 | 0;
      b = Math.imul(b << 19 | b >>> 13, 5) + 0x561ccd1b | 0;
    }
    this.#a = a;
    this.#b = b;
  }

  /** The finished words: each bit depends on every input bit. */
  digest(): Fingerprint {
    const mix = (h: number): number => {
      h = Math.imul(h ^ h >>> 16, 0x85ebca6b);
      h = Math.imul(h ^ h >>> 13, 0xc2b2ae35);
      return (h ^ h >>> 16) | 0;
    };
    return [mix(this.#a), mix(this.#b)];
  }
}

/**
 * A hash of plain data: numbers, texts, booleans, null, typed arrays, and arrays and objects of
 * these. The order of an object's keys makes no difference, nor do keys that are undefined; a
 * `scale` counts as the float32 value that files and kernels make of it.
 *
 * Method: MurmurHash3_x86_32, https://github.com/aappleby/smhasher/blob/master/src/MurmurHash3.cpp,
 * and once more with constants of its x86_128 form. It is not cryptographic: collisions can be
 * constructed.
 */
export function fingerprintOf(value: unknown): Fingerprint {
  const arrays: ArrayBufferView[] = [];
  const describe = (value: unknown): unknown => {
    if (ArrayBuffer.isView(value)) {
      arrays.push(value);
      return [typedArrayKind(value), value.byteLength];
    }
    if (Array.isArray(value)) return value.map(describe);
    if (typeof value !== "object" || value === null) return value ?? null;
    const fields = Object.entries(value).filter(([, each]) => each !== undefined);
    fields.sort(([a], [b]) => a < b ? -1 : 1);
    return fields.map(([key, each]) => [
      key,
      key === "scale" ? Math.fround(each as number) : describe(each),
    ]);
  };
  const text = JSON.stringify(describe(value));
  const hash = new Hash();
  hash.add(new TextEncoder().encode(text));
  for (const array of arrays) hash.add(array);
  return hash.digest();
}
