/**
 * Zip archives as torch.save writes them, stored or compressed, up to 4 GB.
 *
 * @module
 */
import { inflateSync } from "fflate/browser";
import { failRange } from "../../core/errors.ts";

/** Signatures of the end of an archive, of directory entries and of local headers. */
const END = 0x06054b50;
const ENTRY = 0x02014b50;
const LOCAL = 0x04034b50;

/** Size of the end record without its comment, which may have 65,535 bytes. */
const END_BYTES = 22;
const MAX_COMMENT = 65535;

const DEFLATED = 8;

/** Bounds on the unpacked size: a multiple of the archive's size, plus a number of bytes. */
const MAX_RATIO = 4;
const MAX_EXPANDED = 2 ** 25;

/**
 * The requested entries of a zip archive: views of its bytes if stored uncompressed.
 *
 * @throws {RangeError} If it is malformed, or an entry encrypted or too large.
 */
export function unzip(
  bytes: Uint8Array,
  wanted: (name: string) => boolean,
): Map<string, Uint8Array> {
  const { length } = bytes;
  const fail = (got: string): never => failRange("bytes", "a whole zip archive", got);
  const view = new DataView(bytes.buffer, bytes.byteOffset, length);
  const read = (at: number, size = 2): number => {
    if (!(at >= 0 && at + size <= length)) fail("one that is cut off");
    return size === 2 ? view.getUint16(at, true) : view.getUint32(at, true);
  };
  let end = length - END_BYTES;
  while (read(end, 4) !== END) {
    if (--end < length - END_BYTES - MAX_COMMENT) fail("one without a directory");
  }
  const entries = new Map<string, Uint8Array>();
  let room = MAX_RATIO * length + MAX_EXPANDED;
  let at = read(end + 16, 4);
  for (let left = read(end + 10); left > 0; left--) {
    if (read(at, 4) !== ENTRY) fail("a directory that is damaged");
    const name = String.fromCharCode(...bytes.subarray(at + 46, at + 46 + read(at + 28)));
    const size = read(at + 20, 4);
    const local = read(at + 42, 4);
    if (wanted(name)) {
      const from = local + 30 + read(local + 26) + read(local + 28);
      const encrypted = read(at + 8) & 1;
      const method = read(at + 10);
      if (read(local, 4) !== LOCAL || encrypted || from + size > length) fail(`${name}, damaged`);
      const own = bytes.subarray(from, from + size);
      if (method === 0) {
        entries.set(name, own);
      } else if (method === DEFLATED) {
        const expanded = read(at + 24, 4);
        room -= expanded;
        if (room < 0) failRange("bytes", "entries of a few times the archive's length", "more");
        try {
          entries.set(name, inflateSync(own, { out: new Uint8Array(expanded) }));
        } catch {
          fail(`${name}, damaged`);
        }
      } else {
        fail(`${name}, compressed by method ${method}`);
      }
    }
    at += 46 + read(at + 28) + read(at + 30) + read(at + 32);
  }
  return entries;
}
