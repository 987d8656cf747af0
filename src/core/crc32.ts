/**
 * CRC-32, the checksum of files.
 *
 * @module
 */

/** The polynomial of zlib's crc32, bits reversed. */
const POLYNOMIAL = 0xedb88320;

/** Contribution of each byte to the checksum, by its position in a word. */
let tables: readonly Int32Array[] | undefined;

function makeTables(): readonly Int32Array[] {
  const made = [0, 1, 2, 3].map(() => new Int32Array(256));
  for (let byte = 0; byte < 256; byte++) {
    let crc = byte;
    for (let position = 3; position >= 0; position--) {
      for (let bit = 0; bit < 8; bit++) crc = crc >>> 1 ^ (crc & 1 ? POLYNOMIAL : 0);
      made[position]![byte] = crc;
    }
  }
  return made;
}

/**
 * The checksum of bytes, as an int32: zlib's crc32. It detects any change within 32 consecutive
 * bits.
 *
 * Method: four bytes at a time by tables ("slicing"),
 * https://sourceforge.net/projects/slicing-by-8.
 *
 * @param crc The checksum of the bytes before these.
 */
export function crc32(bytes: Uint8Array, crc = 0): number {
  const [a, b, c, d] = tables ??= makeTables();
  const { buffer, byteOffset, length } = bytes;
  let at = Math.min(-byteOffset & 3, length);
  crc = ~crc;
  for (let i = 0; i < at; i++) crc = crc >>> 8 ^ d![(crc ^ bytes[i]!) & 255]!;
  const count = length - at >> 2;
  const words = new Int32Array(buffer, count > 0 ? byteOffset + at : 0, count);
  for (let i = 0; i < words.length; i++) {
    crc ^= words[i]!;
    crc = a![crc & 255]! ^ b![crc >>> 8 & 255]! ^ c![crc >>> 16 & 255]! ^ d![crc >>> 24]!;
  }
  for (at += words.length * 4; at < length; at++) crc = crc >>> 8 ^ d![(crc ^ bytes[at]!) & 255]!;
  return ~crc;
}
