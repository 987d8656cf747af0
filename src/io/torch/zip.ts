/**
 * Zip archives: what torch.save writes, stored or compressed. Larger ones than 4 GB are refused.
 *
 * @module
 */
import { inflateSync } from "fflate/browser";
import { failRange } from "../../core/errors.ts";

/** What archives, and entries in the directory and before their bytes, begin with. */
const END = 0x06054b50;
const ENTRY = 0x02014b50;
const LOCAL = 0x04034b50;

/** Bytes of the end without its comment, which may have 65,535. */
const END_BYTES = 22;
const MAX_COMMENT = 65535;

const DEFLATED = 8;

/** What entries may be larger than the archive: as many times, and so many bytes. */
const MAX_RATIO = 4;
const MAX_EXPANDED = 2 ** 25;

/**
 * The entries of a zip archive that are asked for: views of its bytes where they are stored.
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
