"""Writes ``docs/commands.md``: what ``--help`` says of every command.

python -m layerlab.cli.manual     # after a change of a command; a test says when that is due
"""

from __future__ import annotations

from typing import Final

import click

from layerlab.cli.main import COMMANDS, cli
from layerlab.paths import ROOT

PAGE: Final = ROOT / "docs" / "commands.md"
OPENING: Final = """\
# Commands

Everything that `./lab` can be asked for. `./lab COMMAND --help` (or `-h`) says the same in a terminal.

Exit status: 0 done; 1 the answer is no (a task does not pass, a test fails, a limit is broken, something is missing);
2 it could not be done, with one line on stderr that says why and what to do, and nothing on stdout; 130 after Ctrl-C;
141 where nobody reads on (`./lab xray IMAGE | head -1`), as of a program that SIGPIPE has ended.
Results are on stdout, progress is on stderr: so `./lab xray IMAGE --json | jq .` works. IMAGE is one of the lab's own
(`single`, `optimized`), a name, an id, or a file that `docker save` wrote. MB is 10⁶ bytes.

This page is made from the commands themselves, by `.venv/bin/python -m layerlab.cli.manual`.
"""


def page() -> str:
    """The page's text."""
    context = click.Context(cli, info_name="./lab", terminal_width=100, **cli.context_settings)
    sections = [_section(cli, context)]
    for name in COMMANDS:
        command = cli.get_command(context, name)
        assert command is not None  # noqa: S101  # it is in the table that the group reads
        sections.append(_section(command, click.Context(command, parent=context, info_name=name)))
    return "\n".join([OPENING, *sections])


def _section(command: click.Command, context: click.Context) -> str:
    return f"## `{context.command_path}`\n\n```\n{command.get_help(context)}\n```\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(f"{PAGE.relative_to(ROOT)} is written")
