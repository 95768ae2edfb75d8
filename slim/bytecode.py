"""Bytecode instead of sources: what Python runs, and no more."""

from __future__ import annotations

import importlib.util
import marshal
from pathlib import Path
from typing import Final

UNCHECKED: Final = b"\x01\0\0\0"
"""The flags of bytecode that counts whatever has become of its source (PEP 552)."""


def replace(source: Path, name: Path) -> None:
    """Put a module's bytecode where its source is, where Python looks for it if there is no source.

    As ``python -OO`` makes it: without docstrings and assertions. Libraries are made to work so. Started with
    ``-X no_debug_ranges`` it leaves out which columns of a line an instruction belongs to, too: without the source
    nobody could show them. Names and lines of tracebacks stay.

    Args:
        source: The source, which goes.
        name: What tracebacks call it.

    Raises:
        SyntaxError, ValueError: it is a module of another Python, or none; it stays as it is.
    """
    text = source.read_bytes()
    code = compile(text, str(name), "exec", dont_inherit=True, optimize=2)
    header = importlib.util.MAGIC_NUMBER + UNCHECKED + importlib.util.source_hash(text)
    source.with_suffix(".pyc").write_bytes(header + marshal.dumps(code))
    source.unlink()
