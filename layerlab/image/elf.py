"""What of a program or shared library a debugger alone reads: sections of the ELF format, see elf(5).

``strip`` takes out the sections that hold DWARF (``.debug_info`` and the like, also compressed ones) and the symbol
table ``.symtab`` with its names in ``.strtab``; nothing that is run looks at either. (What the dynamic linker needs
is in ``.dynsym`` and ``.dynstr``.)
"""

from __future__ import annotations

from typing import IO, Final

from elftools.common.exceptions import ELFError
from elftools.construct import ConstructError
from elftools.elf.constants import SH_FLAGS
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import Section

MAGIC: Final = b"\x7fELF"
_DEBUG: Final = (".debug_", ".zdebug_", ".stab", ".gdb_index", ".gnu.debuglto_")
_SYMBOLS: Final = frozenset({".symtab", ".strtab", ".symtab_shndx"})
_MOST: Final = 5_000  # sections of a file that are looked at, and segments; libraries have some 30
_GAP: Final = 4096  # bytes of gaps that are worth being stripped
_HARMLESS: Final = (ELFError, ConstructError, ValueError, KeyError, TypeError, OverflowError, AttributeError, OSError)
_NO_BITS: Final = "SHT_NOBITS"


def debug_bytes(file: IO[bytes], size: int) -> int:
    """How many bytes of a file ``strip --strip-unneeded`` would take out; 0 of what is no ELF program or library.

    It writes the sections that stay one after the other, and so takes out gaps, too (those that ``patchelf`` leaves).
    Object files and kernel modules count as having nothing: what links them needs their symbols. The file may say
    anything: it is not believed where its parts do not fit into it.
    """
    try:
        file.seek(0)
        if size < len(MAGIC) or file.read(len(MAGIC)) != MAGIC:
            return 0
        elf = ELFFile(file)
        count = elf.num_sections()
        if elf["e_type"] == "ET_REL" or not 0 < count <= _MOST or elf.num_segments() > _MOST:
            return 0
        sections = [elf.get_section(number) for number in range(count)]
        stored = [section for section in sections if section["sh_type"] != _NO_BITS]
        if any(section["sh_offset"] + section["sh_size"] > size for section in stored):
            return 0
        kept = [each for each in sections if not (each.name.startswith(_DEBUG) or each.name in _SYMBOLS)]
        saved = size - _packed(elf, kept)
        return min(max(saved, 0), size) if len(kept) < count or saved >= _GAP else 0
    except _HARMLESS:
        return 0


def _packed(elf: ELFFile, kept: list[Section]) -> int:
    """The size of a file that holds these sections alone: segments, what is in none, names, headers."""
    stored = [section for section in kept if section["sh_type"] != _NO_BITS]
    loaded = [section for section in stored if section["sh_flags"] & SH_FLAGS.SHF_ALLOC]
    at = 0
    for segment in elf.iter_segments("PT_LOAD"):
        start, end = segment["p_offset"], segment["p_offset"] + segment["p_filesz"]
        ends = [each["sh_offset"] + each["sh_size"] for each in loaded if start <= each["sh_offset"] < end]
        # A segment begins at an offset that is congruent to its address, modulo its alignment.
        at += (segment["p_vaddr"] - at) % max(segment["p_align"], 1) if at else start
        at += min(max(ends, default=start), end) - start
    others = sum(section["sh_size"] for section in stored if section not in loaded and section.name != ".shstrtab")
    names = sum(len(section.name) + 1 for section in kept)
    return int(max(at, elf["e_ehsize"]) + others + names + elf["e_shentsize"] * len(kept))
