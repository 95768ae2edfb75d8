"""Programs and shared libraries: what they need of each other, and how they are made smaller."""

from __future__ import annotations

import struct
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from elftools.elf.dynamic import DynamicSection
from elftools.elf.elffile import ELFFile
from elftools.elf.segments import InterpSegment

MAGIC: Final = b"\x7fELF"
PAGE: Final = 4096
_LOAD: Final = 1
_64_BIT_LITTLE_ENDIAN: Final = b"\2\1"


@dataclass(frozen=True)
class Needs:
    """What a program or shared library asks the dynamic linker for.

    Attributes:
        names: Of shared libraries.
        folders: Where to look first.
        linker: The dynamic linker itself, which a program names.
    """

    names: tuple[str, ...]
    folders: tuple[Path, ...]
    linker: str | None


def is_elf(path: Path) -> bool:
    """Whether a file is a program or a shared library."""
    with path.open("rb") as file:
        return file.read(4) == MAGIC


def needs(path: Path, origin: Path) -> Needs:
    """What it needs.

    Args:
        path: The file.
        origin: Its folder when it runs, which ``$ORIGIN`` stands for.
    """
    with path.open("rb") as file:
        elf = ELFFile(file)
        linkers = [one.get_interp_name() for one in elf.iter_segments() if isinstance(one, InterpSegment)]
        section = elf.get_section_by_name(".dynamic")
        tags: list[Any] = list(section.iter_tags()) if isinstance(section, DynamicSection) else []
        names = tuple(tag.needed for tag in tags if tag.entry.d_tag == "DT_NEEDED")
        paths = [tag.runpath for tag in tags if tag.entry.d_tag == "DT_RUNPATH"]
        paths += [tag.rpath for tag in tags if tag.entry.d_tag == "DT_RPATH"]
    folders = tuple(
        Path(part.replace("$ORIGIN", str(origin)).replace("${ORIGIN}", str(origin)))
        for one in paths
        for part in one.split(":")
        if part
    )
    return Needs(names, folders, linkers[0] if linkers else None)


def libraries() -> dict[str, Path]:
    """Where the dynamic linker finds the shared libraries of the system, by their names."""
    listed = subprocess.run(["ldconfig", "-p"], capture_output=True, text=True, check=True).stdout
    found: dict[str, Path] = {}
    for line in listed.splitlines():
        name, arrow, path = line.partition(" => ")
        if arrow:
            found.setdefault(name.split()[0], Path(path))
    return found


def strip(paths: Iterable[Path]) -> None:
    """Take the debug symbols out, and the zeros between parts that were laid out for pages of 2 MB.

    The kernel needs parts to lie as they will in memory, up to a multiple of a page. Tools that make wheels keep to
    multiples of 2 MB, which leaves up to as much of nothing in a file; `strip` closes the gap once the file says that
    a page has 4 kB, as on every x86 machine.
    """
    paths = list(paths)
    for path in paths:
        _lay_out_for_small_pages(path)
    subprocess.run(["strip", "--strip-unneeded", *paths], check=True)


def _lay_out_for_small_pages(path: Path) -> None:
    content = bytearray(path.read_bytes())
    machine = struct.unpack_from("<H", content, 18)[0]
    if content[4:6] != _64_BIT_LITTLE_ENDIAN or machine != 62:  # EM_X86_64: others have larger pages
        return
    table, size, count = *struct.unpack_from("<Q", content, 32), *struct.unpack_from("<HH", content, 54)
    for start in (table + size * number for number in range(count)):  # an object file has none
        kind, alignment = *struct.unpack_from("<I", content, start), *struct.unpack_from("<Q", content, start + 48)
        if kind == _LOAD and alignment > PAGE:
            struct.pack_into("<Q", content, start + 48, PAGE)
    path.write_bytes(content)
