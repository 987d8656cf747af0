/**
 * The identity of a model: a hash of what it computes, whatever file it came from. It must not know files.
 *
 * @module
 */
import type { LinearWeight } from "../../kernels/ops/linear.ts";
import { typedArrayKind } from "../../kernels/numeric/typed_array.ts";
import { lstmParts } from "../cells/lstm_parts.ts";
import type { PerTensorQParams } from "../core/qparams.ts";
import type { QuantizedLstmCell } from "../modules/lstm/cell.ts";
import type { ModuleData } from "./modules.ts";

/** Two 32-bit words. */
export type Fingerprint = readonly [number, number];

/** Two MurmurHash3 that begin and multiply differently. */
class Hash {
  #a = 0x1747b28c;
  #b = 0x2f0b4f57;

  /** Takes in bytes, and how many they are. */
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

  /** The words, each bit of which depends on every bit that was taken in. */
  digest(): Fingerprint {
    const mix = (h: number): number => {
      h = Math.imul(h ^ h >>> 16, 0x85ebca6b);
      h = Math.imul(h ^ h >>> 13, 0xc2b2ae35);
      return (h ^ h >>> 16) | 0;
    };
    return [mix(this.#a), mix(this.#b)];
  }
}

/** A module as JSON; its arrays are added to a list. */
class Description {
  readonly arrays: ArrayBufferView[] = [];

  #array(array: ArrayBufferView | null): unknown {
    if (array === null) return null;
    this.arrays.push(array);
    return [typedArrayKind(array), array.byteLength];
  }

  /** Scales are float32 values in files and in kernels. */
  #qparams(q: PerTensorQParams | null | undefined): unknown {
    return q ? [q.dtype, Math.fround(q.scale), q.zeroPoint, q.quantMin, q.quantMax] : null;
  }

  #weight(weight: LinearWeight | null): unknown {
    if (weight === null) return null;
    const { data, outFeatures, inFeatures, perChannel, scales, zeroPoints } = weight;
    const arrays = [data, scales, zeroPoints].map((array) => this.#array(array));
    return [outFeatures, inFeatures, perChannel, arrays];
  }

  #cell({ weightIh, weightHh, weightHr, biasIh, biasHh, parts }: QuantizedLstmCell): unknown {
    return [
      [weightIh, weightHh, weightHr].map((weight) => this.#weight(weight)),
      [biasIh, biasHh].map((bias) => this.#array(bias)),
      lstmParts(parts.proj !== undefined).map(({ name }) => [
        [parts[name]].flat().map((q) => this.#qparams(q)),
        parts.inputs?.[name]?.map((q) => this.#qparams(q)) ?? null,
      ]),
    ];
  }

  /**
   * What is not here changes no result of a state: names; the form, fused or split; the order of batch and steps. States
   * move between models that differ in these alone.
   */
  module(module: ModuleData): unknown {
    const { kind } = module;
    if (kind === "Embedding") {
      const { weight, numEmbeddings, embeddingDim, scales, biases } = module;
      const arrays = [weight, scales, biases].map((array) => this.#array(array));
      return [kind, numEmbeddings, embeddingDim, arrays];
    }
    const { engine, input, dynamic = false } = module;
    const common = [kind, engine, this.#qparams(input), dynamic];
    if (kind === "Linear") {
      const { weight, bias, output } = module;
      return [common, this.#weight(weight), this.#array(bias), this.#qparams(output)];
    }
    const { inputSize, hiddenSize, projSize, torchInitialState, cells } = module;
    return [
      common,
      inputSize,
      hiddenSize,
      projSize,
      torchInitialState,
      cells.map((layer) => layer.map((cell) => this.#cell(cell))),
    ];
  }
}

/**
 * A hash of what modules compute, one after the other: weights, parameters and options that change results, in one pass.
 *
 * Method: MurmurHash3_x86_32, https://github.com/aappleby/smhasher/blob/master/src/MurmurHash3.cpp, and once more with
 * constants of its x86_128 form. It tells models apart; it does not keep out who wants two of one fingerprint.
 */
export function fingerprintOf(modules: Iterable<ModuleData>): Fingerprint {
  const description = new Description();
  const text = JSON.stringify(Array.from(modules, (module) => description.module(module)));
  const hash = new Hash();
  hash.add(new TextEncoder().encode(text));
  for (const array of description.arrays) hash.add(array);
  return hash.digest();
}
