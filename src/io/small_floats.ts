/**
 * Floating-point formats smaller than float32, whose values float32 represents exactly.
 *
 * @module
 */

/** A format of fewer than 32 bits. */
interface SmallFloat {
  /** Bytes of a value. */
  readonly bytes: 1 | 2;
  /** float32 values of little-endian bytes. */
  widen(bytes: Uint8Array): Float32Array;
}

const FLOAT32_BIAS = 127;
const FLOAT32_MANTISSA = 23;
const FLOAT32_EXPONENTS = 255;

/**
 * Converts the bits of a smaller format to those of float32.
 *
 * @param finite Whether the largest exponent encodes finite numbers: then only all ones are NaN and
 * there is no infinity, as in F8_E4M3.
 */
function widenBits(bits: number, exponentBits: number, mantissaBits: number, finite: boolean) {
  const sign = bits >>> exponentBits + mantissaBits << 31;
  const exponents = (1 << exponentBits) - 1;
  const bias = exponents >> 1;
  let exponent = bits >> mantissaBits & exponents;
  let mantissa = bits & (1 << mantissaBits) - 1;
  const shift = FLOAT32_MANTISSA - mantissaBits;
  const isNaNOrInfinity = exponent === exponents &&
    (!finite || mantissa === (1 << mantissaBits) - 1);
  if (isNaNOrInfinity) return sign | FLOAT32_EXPONENTS << FLOAT32_MANTISSA | mantissa << shift;
  if (exponent === 0) {
    if (mantissa === 0) return sign;
    // A subnormal number, which is normal in float32.
    const zeros = Math.clz32(mantissa) - 31 + mantissaBits;
    mantissa = mantissa << zeros & (1 << mantissaBits) - 1;
    exponent = 1 - zeros;
  }
  return sign | exponent - bias + FLOAT32_BIAS << FLOAT32_MANTISSA | mantissa << shift;
}

function smallFloat(exponentBits: number, mantissaBits: number, finite = false): SmallFloat {
  const bytes = 1 + exponentBits + mantissaBits === 8 ? 1 : 2;
  return {
    bytes,
    widen(from) {
      const out = new Int32Array(from.length / bytes);
      for (let i = 0; i < out.length; i++) {
        const bits = bytes === 1 ? from[i]! : from[2 * i]! | from[2 * i + 1]! << 8;
        out[i] = widenBits(bits, exponentBits, mantissaBits, finite);
      }
      return new Float32Array(out.buffer);
    },
  };
}

/** bfloat16 is the upper half of float32. */
const BFLOAT16: SmallFloat = {
  bytes: 2,
  widen(from) {
    const out = new Int32Array(from.length / 2);
    for (let i = 0; i < out.length; i++) out[i] = from[2 * i]! << 16 | from[2 * i + 1]! << 24;
    return new Float32Array(out.buffer);
  },
};

/** Formats by their safetensors names. */
export const SMALL_FLOATS: ReadonlyMap<unknown, SmallFloat> = new Map<unknown, SmallFloat>([
  ["F16", smallFloat(5, 10)],
  ["BF16", BFLOAT16],
  ["F8_E5M2", smallFloat(5, 2)],
  ["F8_E4M3", smallFloat(4, 3, true)],
]);
