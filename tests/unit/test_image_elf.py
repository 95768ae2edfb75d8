"""ELF files: what strip would take out, and that no file can do harm."""

from __future__ import annotations

import io
import random
import struct

import pytest

from layerlab.image import elf

PROGRAM, OBJECT = 3, 1
SECTIONS = {".text": 1000, ".debug_info": 5000, ".zdebug_line": 300, ".symtab": 240, ".strtab": 70, ".dynsym": 96}
STRIPPED = [".debug_info", ".zdebug_line", ".symtab", ".strtab"]
DEBUG = sum(SECTIONS[name] + 64 + len(name) + 1 for name in STRIPPED)  # with headers and names


def made(sections: dict[str, int], kind: int = PROGRAM) -> bytes:
    """A 64-bit ELF file with these sections, by their sizes (elf(5))."""
    names = b"\0" + b"".join(name.encode() + b"\0" for name in (*sections, ".shstrtab"))
    body, headers, at = b"", struct.pack("<IIQQQQIIQQ", *[0] * 10), 64
    for name, size in {**sections, ".shstrtab": len(names)}.items():
        types = {".symtab": 2, ".strtab": 3, ".shstrtab": 3}
        entry = 24 if name == ".symtab" else 0
        place = names.index(name.encode() + b"\0")
        link = 1 + list(sections).index(".strtab") if name == ".symtab" and ".strtab" in sections else 0
        headers += struct.pack("<IIQQQQIIQQ", place, types.get(name, 1), 0, 0, at, size, link, 0, 1, entry)
        body += names if name == ".shstrtab" else bytes(size)
        at += size
    count = len(sections) + 2
    ident = b"\x7fELF\x02\x01\x01" + bytes(9)
    start = struct.pack("<HHIQQQIHHHHHH", kind, 62, 1, 0, 0, at, 0, 64, 56, 0, 64, count, count - 1)
    return ident + start + body + headers


def test_debug_sections_and_symbols_count() -> None:
    """DWARF, compressed or not, and the symbol table with its names count."""
    content = made(SECTIONS)
    assert elf.debug_bytes(io.BytesIO(content), len(content)) == DEBUG


@pytest.mark.parametrize("content", [b"", b"\x7fELF", b"#!/bin/sh\n", made({".text": 10}), made(SECTIONS, OBJECT)])
def test_nothing_to_strip(content: bytes) -> None:
    """Scripts, stumps, programs without symbols, and object files, which need theirs, count as having none."""
    assert elf.debug_bytes(io.BytesIO(content), len(content)) == 0


def test_sections_beyond_the_file_are_not_believed() -> None:
    """A file that claims more than it has gets nothing for it."""
    content = made(SECTIONS)
    assert elf.debug_bytes(io.BytesIO(content), len(content) // 2) == 0


def test_damaged_files_do_no_harm() -> None:
    """Whatever bytes are changed or missing, the answer is a number within the file's size."""
    chance = random.Random(7)
    content = made(SECTIONS)
    for _ in range(300):
        damaged = bytearray(content[: chance.randrange(4, len(content) + 1)])
        for _ in range(chance.randrange(1, 9)):
            damaged[chance.randrange(4, len(damaged)) if len(damaged) > 4 else 0] = chance.randrange(256)
        assert 0 <= elf.debug_bytes(io.BytesIO(damaged), len(damaged)) <= len(damaged)
