"""Which instruction made a layer: in the image's own history, and in the Dockerfile that it was built from.

Engines write an instruction down in three ways: the classic builder as ``/bin/sh -c #(nop) COPY dir:6e1f in /app``
or ``/bin/sh -c apt-get update``, BuildKit as ``COPY app app # buildkit`` or ``RUN /bin/sh -c apt-get update #
buildkit``; build arguments come before the command as ``|1 VERSION=3``. See ``builder/dockerfile/dispatchers.go`` of
github.com/moby/moby and ``frontend/dockerfile/dockerfile2llb/convert.go`` of github.com/moby/buildkit.
"""

from __future__ import annotations

import glob
import re
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from typing import Any, Final, NamedTuple

from layerlab.dockerfile import Dockerfile, Instruction

_NOP: Final = re.compile(r"(?:\S+ ){1,9}?#\(nop\)\s*(?=[A-Z]+\b)")  # after whatever SHELL says
_ARGUMENT_COUNT: Final = re.compile(r"\|\d+ ")
_FLAGS: Final = re.compile(r"(?:--[a-z]+=\S+ )*")
_SHELL: Final = "/bin/sh -c "
_CLASSIC_COPY: Final = re.compile(r"(?:--chown=\S*?)?(?:file|dir|multi):[0-9a-f]+ in (.*)", re.DOTALL)
_VARIABLE: Final = re.compile(r"\\?\$(?:\w+|\\?\{[^}]*\})")
LAYERS: Final = frozenset({"RUN", "COPY", "ADD", "WORKDIR"})  # what may make a layer
_CONFIG: Final = frozenset({
    "ARG", "CMD", "ENTRYPOINT", "ENV", "EXPOSE", "HEALTHCHECK", "LABEL", "MAINTAINER", "ONBUILD", "SHELL",
    "STOPSIGNAL", "USER", "VOLUME",
})  # fmt: skip


class HistoryLine(NamedTuple):
    """One line of an image's history."""

    raw: str  # ``created_by`` as it is
    layer: int | None  # the index of the layer that it made, if any


def entries(config: dict[str, Any], layer_count: int) -> list[HistoryLine]:
    """The history, from the first line; empty where it does not fit the layers."""
    found, layer = [], 0
    history = config.get("history")
    for line in history if isinstance(history, list) else []:
        if not isinstance(line, dict):
            return []
        empty = line.get("empty_layer") is True
        found.append(HistoryLine(str(line.get("created_by") or ""), None if empty else layer))
        layer += not empty
    return found if layer == layer_count else []


def instruction(raw: str) -> str:
    """A history's ``created_by`` in the words of a Dockerfile.

    >>> instruction("/bin/sh -c #(nop) COPY dir:6e1f in /app ")
    'COPY dir:6e1f in /app'
    >>> instruction("RUN |1 V=3 /bin/sh -c pip install flask==$V # buildkit")
    'RUN V=3 pip install flask==$V'
    """
    text = raw.strip().removesuffix("# buildkit").rstrip()
    if found := _NOP.match(text):
        return text[found.end() :]
    # Histories come from strangers, and may be megabytes long: no pattern here tries one place after the other.
    rest = text.removeprefix("RUN").lstrip() if text[:3] == "RUN" and text[3:4].isspace() else text
    arguments = ""
    if found := _ARGUMENT_COUNT.match(rest):
        arguments, shell, command = rest[found.end() :].partition(_SHELL)
    else:
        shell, command = rest[: len(_SHELL)], rest[len(_SHELL) :]
    return " ".join(filter(None, ["RUN", arguments.strip(), command.strip()])) if shell == _SHELL else text


def instructions(config: dict[str, Any], layer_count: int) -> list[str]:
    """The instruction of each layer; empty where the history does not say."""
    made = {entry.layer: instruction(entry.raw) for entry in entries(config, layer_count)}
    return [made.get(layer, "") for layer in range(layer_count)]


def origins(config: dict[str, Any], layer_count: int, dockerfile: Dockerfile | None) -> dict[int, Instruction]:
    """The instructions of the Dockerfile that made layers, by layer.

    The history is followed from its end, beside the final stage's instructions and those of the stages that it is
    FROM. Where the two differ, the image was built from something else: no line is better than a wrong one, so
    neither that layer nor any below it is tied. The base image's layers are tied to nothing.
    """
    if dockerfile is None:
        return {}
    found: dict[int, Instruction] = {}
    written = list(_written(dockerfile))
    shell = (config.get("config") or {}).get("Shell")
    of_config = " ".join(map(str, shell)) if isinstance(shell, list) and shell else "/bin/sh -c"
    for entry in reversed(entries(config, layer_count)):
        keyword = keyword_of(entry.raw)
        if keyword not in LAYERS:
            if entry.layer is not None:
                return found
            continue
        if not written:
            break
        candidate, shells = written.pop()
        shells.add(of_config)
        if candidate.keyword != keyword or not _same(entry.raw, candidate, shells):
            break
        if entry.layer is not None:
            found[entry.layer] = candidate
    return found


def from_context(origins: dict[int, Instruction]) -> list[int]:
    """The layers that hold what was copied from the build context."""
    return [
        layer
        for layer, instruction in origins.items()
        if instruction.keyword in {"COPY", "ADD"} and instruction.flag("from") is None
    ]


def _written(dockerfile: Dockerfile) -> Iterator[tuple[Instruction, set[str]]]:
    """The instructions that may make layers, from the first, each with the shells that may run it."""
    shell = "/bin/sh -c"
    for stage in dockerfile.chain(dockerfile.stages[-1]):
        for found in stage.instructions:
            if found.keyword == "SHELL":
                shell = " ".join(found.arguments)
            elif found.keyword in LAYERS:
                yield found, {shell}


def keyword_of(raw: str) -> str:
    """The keyword of a history's ``created_by``; empty where it has none.

    >>> keyword_of("/bin/bash -c pip install flask")
    'RUN'
    """
    first = instruction(raw).partition(" ")[0]
    # BuildKit ends only those entries with its name that make a layer.
    if first in LAYERS | _CONFIG or _NOP.match(raw) or raw.rstrip().endswith("# buildkit"):
        return first
    # The classic builder writes a RUN down as its command alone.
    return "RUN" if raw.strip() else ""


def _same(raw: str, candidate: Instruction, shells: set[str]) -> bool:
    text = raw.strip().removesuffix("# buildkit")
    if candidate.keyword == "RUN":
        return _same_command(_squeeze(text).removeprefix("RUN "), candidate, shells)
    text = _squeeze(_NOP.sub("", text, count=1)).removeprefix(f"{candidate.keyword} ")
    if candidate.keyword == "WORKDIR":  # a relative one is written down as what it means
        folder, written = text.rstrip("/"), _literals(candidate.value.strip("\"'").rstrip("/"))
        return _fits(folder, written) or _fits(folder, ["", f"/{written[0]}", *written[1:]])
    if not candidate.arguments:
        return False
    if classic := _CLASSIC_COPY.fullmatch(text):
        return _fits(classic[1].rstrip("/ "), _literals(candidate.arguments[-1].rstrip("/")))
    return _fits(_FLAGS.sub("", text, count=1), _literals(" ".join(candidate.arguments)))


def _same_command(text: str, candidate: Instruction, shells: set[str]) -> bool:
    bodies = [candidate.value]
    if candidate.heredocs:
        bodies.append("\n".join(heredoc.content for heredoc in candidate.heredocs))
        bodies.append("\n".join([candidate.value, *(f"{h.content}{h.name}" for h in candidate.heredocs)]))
    wanted = [f"{shell} {body}" for shell in shells for body in bodies]
    if candidate.is_json:
        wanted = [" ".join(candidate.arguments)]
    for command in map(_squeeze, wanted):
        arguments = text.removesuffix(command)
        is_plain = text.endswith(command) and re.fullmatch(r"(\|\d+ .* )?", arguments)
        if is_plain and not any(shell in arguments for shell in shells):
            return True
    return False


def _literals(text: str) -> list[str]:
    """What stands between the variables of this text of a Dockerfile."""
    return _VARIABLE.split(_squeeze(text))


def _fits(text: str, literals: Sequence[str]) -> bool:
    """Whether these literals, with anything between them, make up a text."""
    return fnmatchcase(text, "*".join(map(glob.escape, literals)))


def _squeeze(text: str) -> str:
    return " ".join(text.split())
