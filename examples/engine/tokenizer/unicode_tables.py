#!/usr/bin/env python3
"""Prints unicode_tables.inc from Python's unicodedata:  python3 unicode_tables.py > unicode_tables.inc"""
import unicodedata

CLASSES = {"C": "control", "M": "mark", "P": "punctuation", "Z": "blank"}


def class_of(point):
    category = unicodedata.category(chr(point))
    if category[0] == "M" and category != "Mn":
        return None  # only nonspacing marks are dropped
    return CLASSES.get(category[0])


def folded(point):
    """Removes accents and lowercases: canonical decomposition, marks dropped, each character in lower case."""
    text = unicodedata.normalize("NFD", chr(point))
    text = "".join(c for c in text if unicodedata.category(c) != "Mn")
    return [ord(c) for c in "".join(c.lower() for c in text)]


def rows(items):
    line = ""
    for item in items:
        if len(line) + len(item) > 118:
            print(line)
            line = ""
        line += item + ","
    print(line)


ranges = []
for point in range(0x80, 0x110000):
    kind = class_of(point)
    if ranges and ranges[-1][2] == kind and ranges[-1][1] == point - 1:
        ranges[-1][1] = point
    elif kind:
        ranges.append([point, point, kind])

single, several = [], []
for point in range(0x80, 0x110000):
    hangul, surrogate = 0xAC00 <= point <= 0xD7A3, 0xD800 <= point <= 0xDFFF
    if hangul or surrogate or class_of(point) == "mark":
        continue
    to = folded(point)
    if to != [point]:
        (single if len(to) == 1 else several).append((point, to))

print(f"// Made by unicode_tables.py from Unicode {unicodedata.unidata_version}. Do not edit.")
print("constexpr class_range classes[] = {")
rows(f"{{0x{a:X},0x{b:X},{kind}}}" for a, b, kind in ranges)
print("};")
print("constexpr fold_one folded_to_one[] = {")
rows(f"{{0x{a:X},0x{to[0]:X}}}" for a, to in single)
print("};")
print("constexpr fold_several folded_to_several[] = {")
rows(f"{{0x{a:X},{{{','.join(f'0x{t:X}' for t in to)}}}}}" for a, to in several)
print("};")
