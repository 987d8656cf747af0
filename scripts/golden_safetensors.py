#!/usr/bin/env python3
"""Records which headers the reference library takes for ones of safetensors files, and what it finds in them.

    python scripts/golden_safetensors.py tests/io/safetensors_headers.json

Needs safetensors (recorded with 0.8.0). Headers are text, spoilt at random in the ways in which parsers of JSON and of
numbers differ; the tests hold that splitgate refuses what the library refuses.
"""

import json
import random
import struct
import sys

import safetensors

NUMBERS = (
    "0", "1", "2", "4", "8", "2.0", "2e0", "2E0", "2e+0", "20e-1", "0.2e1", "-0", "-0.0", "-2", "+2", "02", "2.", ".5", "1.5",
    "1e1", "1e999", "9007199254740991", "9007199254740993", "18446744073709551615", "18446744073709551616", "0x2", "2n", "1_0",
    "NaN", "Infinity", "null", "true", '"2"', "[2]", "{}", "",
)  # fmt: skip
NAMES = (
    "a", "b", "", "__metadata__", "\\u0061", "\\ud800", "\\udc00", "\\ud83d\\ude00", "\\ude00\\ud83d", "\\ud800a", "\\ud800\\u0061",
    "\\\\ud800", "\\n", "\\x", "\\u12", "\\u00e9", "\\u0000", "\u0001", "\t", "\u007f", "\u2028", "é", "😀", "\\/", "\\'", "a:b", '\\"', "}",
)  # fmt: skip
DTYPES = ("F32", "U8", "I8", "U16", "I16", "I32", "F64", "BF16", "F8_E4M3", "BOOL", "f32", "U7", "\\u0046\\u0033\\u0032", "F32 ", "")
SPACES = ("", "", "", "", " ", "\n", "\t", "\r", "\f", "\v", "\u00a0", "\ufeff", "/**/", "\\u0020", ",")


class Header:
    def __init__(self, seed):
        self.random = random.Random(seed)

    def rare(self, usual, unusual, chance=0.08):
        return self.random.choice(unusual) if self.random.random() < chance else usual

    def space(self):
        return self.rare("", SPACES, 0.05)

    def number(self, usual):
        return self.space() + self.rare(str(usual), NUMBERS) + self.space()

    def tensor(self, begin, size):
        shape = self.rare([size], ([], [1, size], [size, 1], [0, size], [2, 2]), 0.15)
        fields = [
            '"dtype":"%s"' % self.rare("U8", DTYPES, 0.15),
            '"shape":[%s]' % ",".join(self.number(n) for n in shape),
            '"data_offsets":[%s]' % ",".join(self.number(n) for n in (begin, begin + size)),
        ]
        if self.random.random() < 0.3:
            self.random.shuffle(fields)
        change = self.random.random()
        if change < 0.03:
            fields.append(self.random.choice(fields))
        elif change < 0.06:
            fields.append(self.random.choice(('"x":1', '"shape":null', '"x":{"y":[-1.5,"\\ud800"]}', '"":0')))
        elif change < 0.09:
            fields.pop()
        elif change < 0.11:
            return '["U8",[%d],[%d,%d]]' % (size, begin, begin + size)
        return "{%s}" % ",".join(fields)

    def metadata(self):
        if self.random.random() < 0.2:
            return self.random.choice(("null", "[]", "1", '""', "{}"))
        notes = ['"%s":%s' % (self.rare("k", NAMES, 0.5), self.rare('"v"', NUMBERS, 0.3)) for _ in range(self.random.randrange(3))]
        return "{%s}" % ",".join(notes)

    def text(self):
        entries, at = [], 0
        for i in range(self.random.randrange(4)):
            size = self.random.choice((0, 1, 2, 4))
            name = self.rare("abc"[i], NAMES, 0.3)
            entries.append('"%s":%s%s' % (name, self.space(), self.tensor(at, size)))
            at += size
        if self.random.random() < 0.3:
            entries.append('"__metadata__":%s' % self.metadata())
        if self.random.random() < 0.3:
            self.random.shuffle(entries)
        text = "{%s}" % ",".join(self.space() + entry for entry in entries)
        if self.random.random() < 0.1:
            at = self.random.randrange(len(text) + 1)
            text = text[:at] + self.random.choice(("", "{", "}", '"', ",", "\\", "0", "-", "\0")) + text[at + 1 :]
        text += self.rare("", (" ", "\n\n", "x", "{}", "\0"), 0.1)
        return text, self.rare(at, (0, at + 1, max(0, at - 1)), 0.1)


def verdict(text, size):
    """Shapes by name, or None where the library refuses the file."""
    header = text.encode("utf-8", "surrogatepass")
    try:
        tensors = safetensors.deserialize(struct.pack("<Q", len(header)) + header + bytes(size))
    except safetensors.SafetensorError:
        return None
    return {name: [tensor["dtype"], tensor["shape"]] for name, tensor in sorted(tensors, key=lambda each: each[0])}


def main():
    found, seen = [], set()
    for seed in range(100_000):
        text, size = Header(seed).text()
        # As many that are taken as are refused.
        result = verdict(text, size)
        kept = sum(1 for entry in found if (entry[2] is None) == (result is None))
        if text in seen or kept >= 600:
            continue
        seen.add(text)
        found.append([text, size, result])
        if len(found) == 1200:
            break
    with open(sys.argv[1], "w") as file:
        file.write("[\n%s\n]\n" % ",\n".join(json.dumps(entry, separators=(",", ":")) for entry in found))


if __name__ == "__main__":
    main()
