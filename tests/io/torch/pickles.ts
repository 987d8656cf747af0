/** Pickles that are written by hand, a character for each byte. */

/** Each with what it is read as. */
export const PICKLES: readonly (readonly [string, unknown])[] = [
  ["N.", null],
  ["I01\n.", true],
  ["I00\n.", false],
  ["I-12\n.", -12],
  ["L123456789012345678901L\n.", 123456789012345678901n],
  ["J\xff\xff\xff\xff.", -1],
  ["K\xff.", 255],
  ["M\x01\x02.", 513],
  ["\x8a\x02\x00\x80.", -32768],
  ["\x8a\x00.", 0],
  ["\x8b\x01\x00\x00\x00\x05.", 5],
  ["F1.5\n.", 1.5],
  ["G\x3f\xf8\x00\x00\x00\x00\x00\x00.", 1.5],
  ["S'a\\n\\x41\\\\x42\\''\n.", "a\nA\\x42'"],
  ['S"it\'s"\n.', "it's"],
  ["T\x02\x00\x00\x00\xe4b.", "äb"],
  ["U\x01a.", "a"],
  ["V\\u20ac\xe4\n.", "€ä"],
  ["X\x03\x00\x00\x00\xe2\x82\xac.", "€"],
  ["\x8c\x01a.", "a"],
  ["\x8d\x01\x00\x00\x00\x00\x00\x00\x00a.", "a"],
  ["C\x02\x01\x02.", Uint8Array.of(1, 2)],
  ["B\x01\x00\x00\x00\x07.", Uint8Array.of(7)],
  ["\x96\x01\x00\x00\x00\x00\x00\x00\x00\x07.", Uint8Array.of(7)],
  ["(K\x01K\x02t.", [1, 2]],
  ["K\x01K\x02K\x03\x87.", [1, 2, 3]],
  ["](K\x01K\x02e.", [1, 2]],
  ["]K\x01a.", [1]],
  ["(K\x01l.", [1]],
  ["}U\x01aK\x01s.", new Map([["a", 1]])],
  ["(U\x01aK\x01d.", new Map([["a", 1]])],
  ["}(U\x01aK\x01K\x02Nu.", new Map<unknown, unknown>([["a", 1], [2, null]])],
  ["\x8f(K\x01\x90.", new Set([1])],
  ["(K\x01\x91.", new Set([1])],
  ["K\x01K\x020.", 1],
  ["K\x01(K\x02K\x031.", 1],
  ["K\x012\x86.", [1, 1]],
  ["]q\x07h\x07\x86.", [[], []]],
  ["]p7\ng7\n\x86.", [[], []]],
  ["]\x94h\x00\x86.", [[], []]],
  ["\x80\x05\x95\x02\x00\x00\x00\x00\x00\x00\x00\x88.", true],
  ["P12\n.", ["id", "12"]],
  ["U\x01xQ.", ["id", "x"]],
];

/** Calls of `os.system` with 1, of protocols 2, 0 and 1. */
export const CALLS: readonly string[] = [
  "cos\nsystem\n(K\x01tR.",
  "(K\x01ios\nsystem\n.",
  "(cos\nsystem\nK\x01o.",
];

/** An object of `os.system` with a state. */
export const STATED = "\x8c\x02os\x8c\x06system\x93)\x81}U\x01aK\x01sb.";
