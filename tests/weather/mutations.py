"""Valid files made invalid: flips, cuts, copies, splices and extreme numbers."""

import re

EXTREMES = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 2**31 - 1, 2**31, 2**32 - 1)
WIDE = (*EXTREMES, 2**63 - 1, 2**63, 2**64 - 1)
WORDS = [
    b"0",
    b"-1",
    b"1e999",
    b"NaN",
    b"null",
    b"[]",
    b"{}",
    b'""',
    b"true",
    b"9" * 400,
]
WORDS += [
    b"[" * 200 + b"]" * 200,
    b'"\\ud800"',
    b"1" + b"0" * 400,
    b"-Infinity",
    b'{"a": {}}',
]
VALUE = re.compile(rb'(?<=: )(-?\d[^,\n]*|"(?:[^"\\]|\\.)*"|null)(?=,?\n)')


def flip(rng, content, start):
    """One bit."""
    altered = bytearray(content)
    altered[rng.integers(start, len(content))] ^= 1 << int(rng.integers(8))
    return bytes(altered)


def number(rng, content, start):
    """One to eight bytes, as an extreme number of either byte order."""
    size = int(rng.choice([1, 2, 4, 8]))
    value = WIDE[rng.integers(len(WIDE))] % 256**size
    at = int(rng.integers(start, len(content)))
    order = "little" if rng.integers(2) else "big"
    return content[:at] + value.to_bytes(size, order) + content[at + size :]


def cut(rng, content, start):
    """The end is gone."""
    return content[: int(rng.integers(start, len(content)))]


def drop(rng, content, start):
    """A part is gone."""
    at, size = int(rng.integers(start, len(content))), int(rng.integers(1, 64))
    return content[:at] + content[at + size :]


def double(rng, content, start):
    """A part is there twice."""
    at, size = int(rng.integers(start, len(content))), int(rng.integers(1, 512))
    return content[: at + size] + content[at:]


def splice(rng, content, start):
    """A part is overwritten by another."""
    source = int(rng.integers(len(content)))
    at, size = int(rng.integers(start, len(content))), int(rng.integers(1, 128))
    part = content[source : source + size]
    return content[:at] + part + content[at + len(part) :]


def word(rng, content, start):
    """A value of a text is replaced by an extreme one."""
    values = list(VALUE.finditer(content, start))
    if not values:
        return flip(rng, content, start)
    chosen = values[rng.integers(len(values))]
    a, b = chosen.span()
    return content[:a] + WORDS[rng.integers(len(WORDS))] + content[b:]


LENGTHS = (cut, drop, double)
BINARY = (*[flip] * 5, *[number] * 4, splice, splice, *LENGTHS)
TEXT = (*[word] * 24, flip, flip, splice, *LENGTHS)


def mutated(rng, content, start, kinds):
    """One to four mutations, none of them before ``start``."""
    for _ in range(int(rng.integers(1, 5))):
        if len(content) > start:
            content = kinds[rng.integers(len(kinds))](rng, content, start)
    return content
