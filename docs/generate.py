"""Writes what of the docs follows from the code: ``commands.md``, from what ``--help`` says, and ``rooms.svg``.

.venv/bin/python docs/generate.py     # after a change of a command, a contract or a room's docstring: a test says so
"""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterator
from html import escape
from typing import Final

import click

from layerlab.cli.main import COMMANDS, cli
from layerlab.paths import ROOT

OPENING: Final = """\
# Commands

Everything that `./lab` can be asked for. `./lab COMMAND --help` (or `-h`) says the same in a terminal.

Exit status: 0 done; 1 the answer is no (a task does not pass, a test fails, a limit is broken, something is missing);
2 it could not be done, with one line on stderr that says why and what to do, and nothing on stdout; 130 after Ctrl-C;
141 where nobody reads on (`./lab xray IMAGE | head -1`), as of a program that SIGPIPE has ended.
Results are on stdout, progress is on stderr: so `./lab xray IMAGE --json | jq .` works. IMAGE is one of the lab's own
(`single`, `optimized`), a name, an id, or a file that `docker save` wrote. MB is 10⁶ bytes.

This page is made from the commands themselves, by `.venv/bin/python docs/generate.py`.
"""
WIDTH, ROW, GAP, TOP = 940, 34, 6, 58
"""Of the picture, of a room, between rows, above the first; in pixels."""
PLAIN, TALKS = "#f6f6f2", "#cfe3f7"


def commands() -> str:
    """Every command's help, one below the other."""
    top = click.Context(cli, info_name="./lab", terminal_width=100, **cli.context_settings)
    found = [top]
    for name in COMMANDS:
        command = cli.get_command(top, name)
        if command is not None:  # it is in the table that the group reads
            found.append(click.Context(command, parent=top, info_name=name))
    sections = (f"## `{one.command_path}`\n\n```\n{one.command.get_help(one)}\n```\n" for one in found)
    return "\n".join([OPENING, *sections])


def rooms() -> str:
    """The rooms in the order of the import contract, each with its first sentence, as SVG."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = settings["tool"]["importlinter"]["contracts"]
    (order,) = (contract["layers"] for contract in contracts if contract["type"] == "layers")
    floors = [floor.split(" | ") for floor in order]
    (without_sdk,) = (one["source_modules"] for one in contracts if one.get("forbidden_modules") == ["docker"])
    height = TOP + sum(len(floor) * ROW + GAP for floor in floors)
    frames = "\n".join(_frames(floors, set(without_sdk)))
    return f"""\
<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" font-family="sans-serif" font-size="13">
<title>The rooms of layerlab, from the top down</title>
<rect width="{WIDTH}" height="{height}" fill="white"/>
<text x="6" y="22" font-size="15">Imports only go downwards; rooms in one frame know nothing of each other.</text>
<rect x="6" y="33" width="14" height="14" fill="{TALKS}" stroke="#335"/>
<text x="28" y="45">talks to the Docker Engine itself, through the SDK</text>
{frames}
</svg>
"""


def _frames(floors: list[list[str]], without_sdk: set[str]) -> Iterator[str]:
    frame = TOP
    for floor in floors:
        for y, room in enumerate(floor):
            top = frame + y * ROW
            is_package = ROOT.joinpath(*room.split("."), "__init__.py").exists()
            fill = TALKS if is_package and room not in without_sdk else PLAIN
            yield f'<rect x="6" y="{top}" width="{WIDTH - 12}" height="{ROW}" fill="{fill}"/>'
            yield f'<text x="18" y="{top + 22}" font-weight="bold">{room.removeprefix("layerlab.")}</text>'
            yield f'<text x="130" y="{top + 22}">{escape(_first_sentence(room))}</text>'
        height = len(floor) * ROW
        yield f'<rect x="6" y="{frame}" width="{WIDTH - 12}" height="{height}" fill="none" stroke="#335"/>'
        frame += height + GAP


def _first_sentence(room: str) -> str:
    path = ROOT.joinpath(*room.split("."))
    source = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    text = ast.get_docstring(ast.parse(source.read_text(encoding="utf-8"))) or ""
    return text.partition("\n\n")[0].replace("\n", " ").replace("`", "")


PARTS: Final = {"commands.md": commands, "rooms.svg": rooms}

if __name__ == "__main__":
    for name, written in PARTS.items():
        (ROOT / "docs" / name).write_text(written(), encoding="utf-8")
        print(f"docs/{name} is written")
