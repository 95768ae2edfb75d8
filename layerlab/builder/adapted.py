"""The Dockerfile as it is built for a check: what the engine cannot do is worked around, and no line moves."""

from __future__ import annotations

import re
from typing import Final

from layerlab.dockerfile import Dockerfile
from layerlab.dockerfile.reader import DIRECTIVE

OFFICIAL: Final = re.compile(r"(?:docker\.io/)?docker/dockerfile(?:-upstream)?(?:[:@].*)?")
"""Docker's own frontends, of which the engine has one built in."""


def frontend(text: str) -> tuple[int, str] | None:
    """The line of ``# syntax=`` and the image that it names; None if there is none."""
    for number, line in enumerate(text.split("\n"), 1):
        found = DIRECTIVE.fullmatch(line.strip())
        if not found:
            return None
        if found[1].lower() == "syntax":
            return number, found[2]
    return None


def without_frontend(text: str) -> str:
    r"""The text without ``# syntax=``. The directives after it move up, and a comment takes the place of the last.

    >>> without_frontend("# syntax=docker/dockerfile:1\n# escape=`\nFROM a")
    '# escape=`\n#\nFROM a'
    """
    lines = text.split("\n")
    if found := frontend(text):
        del lines[found[0] - 1]
        lines.insert(next(at for at, line in enumerate(lines) if not DIRECTIVE.fullmatch(line.strip())), "#")
    return "\n".join(lines)


def with_names(text: str, dockerfile: Dockerfile) -> str:
    """The text with a name for each stage that has none, since BuildKit finds a target by its name alone."""
    lines = text.split("\n")
    for stage in dockerfile.stages:
        if not stage.name:
            name = f"stage-{stage.index}"  # as BuildKit calls it in what it says
            while name in dockerfile.text.lower():
                name += "-"
            last = stage.instructions[0].end_line - 1
            while last >= stage.line and re.match(r"\s*(?:#|$)", lines[last]):
                last -= 1
            line = lines[last].rstrip()
            lines[last] = f"{line} AS {name}{lines[last][len(line) :]}"
    return "\n".join(lines)
