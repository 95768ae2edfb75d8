"""Every command and option has help and examples."""

from __future__ import annotations

import re
import shlex

import click
import pytest

from layerlab.cli.main import COMMANDS, cli
from layerlab.paths import ROOT
from tests.unit.command_lines import parse

GROUP = click.Context(cli, info_name="./lab")
ALL = {"": cli, **{name: cli.get_command(GROUP, name) for name in COMMANDS}}


@pytest.fixture(params=ALL, ids=lambda name: name or "lab")
def command(request: pytest.FixtureRequest) -> click.Command:
    found = ALL[request.param]
    assert found is not None
    return found


def examples(command: click.Command) -> list[str]:
    """The lines that a command's help gives as examples."""
    lines = (command.epilog or "").partition("Examples:\n")[2].splitlines()
    return [line.strip() for line in lines]


def test_every_option_says_what_it_does(command: click.Command) -> None:
    """No option is without help, and none is hidden."""
    for option in (one for one in command.params if isinstance(one, click.Option)):
        assert not option.hidden
        assert option.help, option.name


def test_every_command_says_what_it_does(command: click.Command) -> None:
    """A command's help begins with one sentence, and names its arguments."""
    text = command.help or ""
    first, _, rest = text.partition("\n")

    assert re.fullmatch(r"[A-Z].*[.]", first), first
    for argument in (one for one in command.params if isinstance(one, click.Argument)):
        if not isinstance(argument.type, click.Choice):  # whose choices stand in the usage line
            assert argument.make_metavar(GROUP).strip("[].") in rest


def test_every_command_has_examples_that_it_understands(command: click.Command) -> None:
    """What the help gives as examples can be typed as it stands."""
    lines = examples(command)

    assert lines
    for line in lines:
        parse(shlex.split(line))


def test_the_examples_appear_in_the_help_line_by_line(command: click.Command) -> None:
    """A terminal shows each example on a line of its own."""
    shown = [line.strip() for line in command.get_help(click.Context(command, info_name="x")).splitlines()]

    assert set(examples(command)) <= set(shown)


@pytest.mark.parametrize("name", COMMANDS)
def test_readme_names_every_command(name: str) -> None:
    """README's table of the commands has them all."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")

    assert re.search(rf"^\| `\./lab {name}\b", readme, flags=re.MULTILINE)
