"""From lines to instructions: continued lines, comments, directives, flags, JSON forms, heredocs."""

from __future__ import annotations

import difflib
import json
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import replace
from typing import Final, NoReturn

from layerlab.dockerfile import shell_words
from layerlab.dockerfile.parsed import Heredoc, Instruction
from layerlab.errors import DockerfileError
from layerlab.ui.text import placed, plain, unseen

KEYWORDS: Final = frozenset(
    {
        *("ADD", "ARG", "CMD", "COPY", "ENTRYPOINT", "ENV", "EXPOSE", "FROM", "HEALTHCHECK", "LABEL"),
        *("MAINTAINER", "ONBUILD", "RUN", "SHELL", "STOPSIGNAL", "USER", "VOLUME", "WORKDIR"),
    }
)
_WITH_HEREDOCS: Final = frozenset({"ADD", "COPY", "RUN"})
_MAYBE_JSON: Final = frozenset({"ADD", "CMD", "COPY", "ENTRYPOINT", "HEALTHCHECK", "RUN", "SHELL", "VOLUME"})
_LISTS_OF_WORDS: Final = frozenset({"ADD", "COPY", "EXPOSE", "FROM", "VOLUME"})
_LISTS_OF_PAIRS: Final = frozenset({"ENV", "LABEL"})
_DIRECTIVE: Final = re.compile(r"#\s*([A-Za-z][A-Za-z0-9]*)\s*=\s*(.+?)\s*$")
_DIRECTIVES: Final = frozenset({"check", "escape", "syntax"})
_NOT_ASCII: Final = re.compile(r"[^!-~]")
_HEREDOC: Final = re.compile(r"\d*<<(-?)\s*([^<]+)")


def refuse(line: int, why: str, remedy: str = "correct that line and save the file") -> NoReturn:
    """Raise the error for a line that is wrong."""
    raise DockerfileError(f"line {line} of the Dockerfile: {plain(why)}", remedy=remedy, line=line)


def instructions(text: str) -> Iterator[Instruction]:
    """The instructions, without stages and step numbers.

    Raises:
        DockerfileError: a line is wrong.
    """
    lines = text.split("\n")
    if not lines[-1]:
        lines.pop()
    escape = _escape_character(lines)
    position = 0
    while position < len(lines):
        first = position
        joined, position = _joined_line(lines, first, escape)
        if joined is None:
            continue
        instruction = _instruction(joined, first + 1, escape, lines[first])
        heredocs = []
        for start in _heredoc_starts(instruction):
            heredoc, position = _heredoc(lines, position, start, first + 1)
            heredocs.append(heredoc)
        yield replace(
            instruction,
            end_line=position,
            heredocs=tuple(heredocs),
            text="\n".join(line.rstrip("\r") for line in lines[first:position]),
        )


def _escape_character(lines: list[str]) -> str:
    """What joins lines: a backslash, unless a directive at the very top says otherwise."""
    seen = set()
    escape = "\\"
    for number, line in enumerate(lines, 1):
        found = _DIRECTIVE.match(line.strip())
        name = found[1].lower() if found else ""
        if not found or name not in _DIRECTIVES:
            break
        if name in seen:
            refuse(number, f"the directive {name} is there twice")
        seen.add(name)
        if name == "escape":
            escape = found[2]
            if escape not in {"\\", "`"}:
                refuse(number, f"the escape character must be \\ or `, not {escape}")
    return escape


def _joined_line(lines: list[str], first: int, escape: str) -> tuple[str | None, int]:
    """The instruction that begins on a line as one line, and the index of the line after it.

    None for a line without an instruction. Within one, comments and empty lines change nothing.
    """
    e = re.escape(escape)
    continuation = re.compile(rf"(?:(?<=[^{e}])|^){e}[ \t]*$")
    line = lines[first].strip("\r").lstrip()
    if not line or line.startswith("#"):
        return None, first + 1
    joined = ""
    position = first
    while True:
        position += 1
        without_end = continuation.sub("", line)
        joined += without_end
        if without_end == line:
            break
        while position < len(lines) and (not lines[position].strip() or lines[position].lstrip().startswith("#")):
            position += 1
        if position == len(lines):
            break
        line = lines[position].rstrip("\r")
    if not joined.strip():
        refuse(first + 1, f"there is nothing but {escape}")
    return joined, position


def _instruction(joined: str, line: int, escape: str, written: str) -> Instruction:
    first, *rest = re.split(rf"{shell_words.SPACE}+", joined.strip(), maxsplit=1)
    keyword = first.upper()
    if keyword not in KEYWORDS:
        _refuse_keyword(first, line, written)
    flags, value = _split_flags(rest[0] if rest else "", escape)
    try:
        arguments, is_json = _arguments(keyword, value, escape)
    except ValueError as error:
        refuse(line, str(error))
    return Instruction(line, line, keyword, flags, value, arguments, is_json, None, None, (), "")


def _refuse_keyword(word: str, line: int, written: str) -> NoReturn:
    """Say what is wrong with what stands where an instruction should; `written` is the line that it stands on."""
    odd = _NOT_ASCII.search(word)
    ascii_only = next(filter(None, _NOT_ASCII.split(unicodedata.normalize("NFKC", word).upper())), "")
    is_misleading = unseen(word) or difflib.get_close_matches(ascii_only, KEYWORDS, n=1)
    if odd and odd[0] in written and is_misleading:
        refuse(
            line,
            f"{placed(written, odd[0])}, which is part of no instruction",
            "delete that character, type anew what is to be there, and save the file",
        )
    near = difflib.get_close_matches(word.upper(), KEYWORDS, n=1)
    refuse(line, f"unknown instruction {word.upper()}" + (f" (did you mean {near[0]}?)" if near else ""))


def _split_flags(rest: str, escape: str) -> tuple[tuple[tuple[str, str], ...], str]:
    flags = []
    rest = rest.lstrip()
    while rest.startswith("--"):
        word = shell_words.split(rest, escape)[0]
        rest = rest[len(word) :].lstrip()
        name, _, value = shell_words.unquote(word, escape)[2:].partition("=")
        if not name and not value:
            break  # a bare "--" ends the flags
        flags.append((name, value))
    return tuple(flags), rest.strip()


def _arguments(keyword: str, value: str, escape: str) -> tuple[tuple[str, ...], bool]:
    """The parts of a value, and whether they come from a JSON form; a ValueError says what is wrong with it."""
    first: tuple[str, ...] = ()
    if keyword == "HEALTHCHECK" and value:
        kind, *rest = value.split(maxsplit=1)
        first, value = (kind.upper(),), rest[0] if rest else ""
    if keyword in _MAYBE_JSON and (parts := _json_form(value)) is not None:
        return first + parts, True
    if keyword in _LISTS_OF_WORDS:
        return tuple(re.split(rf"{shell_words.SPACE}+", value)) if value else (), False
    if keyword in _LISTS_OF_PAIRS:
        return _pairs(keyword, value, escape), False
    if keyword == "ARG":
        return tuple(shell_words.split(value, escape)), False
    return first + ((value,) if value else ()), False


def _json_form(value: str) -> tuple[str, ...] | None:
    try:
        parsed = json.loads(value)
    except ValueError:
        return None  # BuildKit takes it for the shell form then, and so does this
    if not isinstance(parsed, list):
        return None
    if not all(isinstance(part, str) for part in parsed):
        raise ValueError("the parts of a JSON form must be strings")
    return tuple(parsed)


def _pairs(keyword: str, value: str, escape: str) -> tuple[str, ...]:
    pairs = tuple(shell_words.split(value, escape))
    if pairs and "=" not in pairs[0]:  # the old form: one name, and all else is its value
        pairs = tuple(value.split(maxsplit=1))
        if len(pairs) == 1:
            raise ValueError(f"{keyword} takes a name and a value")
    elif not all("=" in pair for pair in pairs):
        raise ValueError(f"{keyword} takes pairs such as name=value")
    return pairs


def _heredoc_starts(instruction: Instruction) -> Iterator[Heredoc]:
    """The heredocs that an instruction begins, still without their content."""
    keyword, value = instruction.keyword, instruction.value
    if keyword == "ONBUILD":
        keyword = value.partition(" ")[0].upper()
    if keyword not in _WITH_HEREDOCS or instruction.is_json or not shell_words.quotes_are_closed(value):
        return
    for word in shell_words.split(value):
        if found := _HEREDOC.fullmatch(word):
            yield Heredoc(shell_words.unquote(found[2]), "", strips_tabs=bool(found[1]))


def _heredoc(lines: list[str], begin: int, start: Heredoc, line: int) -> tuple[Heredoc, int]:
    """A heredoc whose content begins on a line, and the index of the line after its end."""
    for end in range(begin, len(lines)):
        candidate = lines[end].rstrip("\r")
        if (candidate.lstrip("\t") if start.strips_tabs else candidate) == start.name:
            return replace(start, content="".join(f"{each}\n" for each in lines[begin:end])), end + 1
    refuse(line, f"the heredoc {start.name} never ends", f"write {start.name} alone on the line after it")
