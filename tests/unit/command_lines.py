"""Whether the lab's command line understands a line, without doing what it says."""

from __future__ import annotations

from collections.abc import Sequence

import click

from layerlab.cli.main import cli


def parse(words: Sequence[str]) -> None:
    """Read ``./lab ...`` as the command line would.

    Raises:
        click.UsageError: there is no such command or option, or an argument is missing.
    """
    assert words[0].endswith("lab"), words
    rest = list(words[1:])
    with cli.make_context("lab", list(rest)) as context:
        remaining = [*context._protected_args, *context.args]
        if remaining:
            name, command, arguments = cli.resolve_command(context, remaining)
            assert command is not None
            command.make_context(name, list(arguments), parent=context).close()


def explains(words: Sequence[str]) -> str | None:
    """Why a line is not understood; None if it is. A missing argument is fine: prose says ``./lab check``."""
    if words[1:2] == ["COMMAND"]:  # any of them
        words = words[:1]
    try:
        parse([word for word in words if word not in {"--help", "-h"}])
    except click.MissingParameter:
        return None
    except click.UsageError as error:
        return error.format_message()
    return None
