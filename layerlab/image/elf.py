"""What of a program or shared library a debugger alone reads: sections of the ELF format, see elf(5).

``strip`` takes out the sections that hold DWARF (``.debug_info`` and the like, also compressed ones) and the symbol
table ``.symtab`` with its names in ``.strtab``; nothing that is run looks at either. (What the dynamic linker needs
is in ``.dynsym`` and ``.dynstr``.)
"""

from __future__ import annotations

from typing import IO, Final

from elftools.common.exceptions import ELFError
from elftools.construct import ConstructError
from elftools.elf.dynamic import DynamicSection
from elftools.elf.elffile import ELFFile

MAGIC: Final = b"\x7fELF"
_DEBUG: Final = (".debug_", ".zdebug_", ".stab", ".gdb_index", ".gnu.debuglto_")
_SYMBOLS: Final = frozenset({".symtab", ".strtab", ".symtab_shndx"})
_MOST_SECTIONS: Final = 5_000
"""Sections of a file that are looked at; libraries have some 30."""
_NO_BITS: Final = "SHT_NOBITS"
_LINKABLE: Final = "ET_REL"


def debug_bytes(file: IO[bytes], size: int) -> int:
    """How many bytes of a file ``strip`` would take out; 0 of what is no ELF program or shared library.

    Object files and kernel modules count as having none: what links them needs their symbols. The file may say
    anything: it is not believed where its parts do not fit into it.

    Args:
        file: Can be sought in.
        size: Its bytes.
    """
    file.seek(0)
    if file.read(len(MAGIC)) != MAGIC:
        return 0
    try:
        elf = ELFFile(file)
        count, header_size = elf.num_sections(), elf["e_shentsize"]
        if elf["e_type"] == _LINKABLE or not 0 < count <= _MOST_SECTIONS:
            return 0
        found = 0
        for number in range(count):
            section = elf.get_section(number)
            stripped = section.name.startswith(_DEBUG) or section.name in _SYMBOLS
            if not stripped or section["sh_type"] == _NO_BITS:
                continue
            if section["sh_offset"] + section["sh_size"] > size:
                return 0
            found += section["sh_size"] + header_size
    except (ELFError, ConstructError, ValueError, KeyError, TypeError, OverflowError, AttributeError, OSError):
        return 0
    return min(found, size)


def needed_libraries(file: IO[bytes], size: int) -> str:
    """The names of the shared libraries that a program or library asks for (DT_NEEDED), separated by null bytes.

    Args:
        file: Can be sought in.
        size: Its bytes.
    """
    file.seek(0)
    if size < len(MAGIC) or file.read(len(MAGIC)) != MAGIC:
        return ""
    try:
        elf = ELFFile(file)
        if not 0 < elf.num_sections() <= _MOST_SECTIONS:
            return ""
        section = elf.get_section_by_name(".dynamic")
        if not isinstance(section, DynamicSection) or (section.num_tags() or 0) > _MOST_SECTIONS:
            return ""
        return "\0".join(str(getattr(tag, "needed", "")) for tag in section.iter_tags("DT_NEEDED"))
    except (ELFError, ConstructError, ValueError, KeyError, TypeError, OverflowError, AttributeError, OSError):
        return ""
