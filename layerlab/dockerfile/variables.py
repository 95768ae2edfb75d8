"""The values of ENV and ARG where an instruction stands."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from layerlab.dockerfile import Dockerfile, Instruction
from layerlab.dockerfile.shell_words import expand


def environment(dockerfile: Dockerfile, instruction: Instruction) -> dict[str, str | None]:
    """The values of ENV and ARG where an instruction stands, those of the stages that its stage is FROM included.

    None for a value that only the engine knows. What an external base image sets is not known here.
    """
    arguments: dict[str, str | None] = {}
    values: dict[str, str | None] = {}
    stage = None if instruction.stage is None else dockerfile.stages[instruction.stage]
    for below in dockerfile.chain(stage) if stage else ():
        for each in below.executed:
            if each.line > instruction.line or each == instruction:
                break
            if each.keyword == "ARG":
                _set_arguments(each, arguments, values, dockerfile.arguments)
            elif each.keyword == "ENV":
                values |= {name: expand(text, {**arguments, **values}) for name, text in _pairs(each)}
    return {**arguments, **values}


def _set_arguments(
    instruction: Instruction,
    arguments: dict[str, str | None],
    values: Mapping[str, str | None],
    declared: Mapping[str, str | None],
) -> None:
    for word in instruction.arguments:
        name, equals, default = word.partition("=")
        if equals:
            arguments[name] = expand(default, {**arguments, **values})
        elif name in declared:
            arguments[name] = declared[name]


def _pairs(instruction: Instruction) -> Iterator[tuple[str, str]]:
    words = instruction.arguments
    if len(words) == 2 and "=" not in words[0]:  # the old form: ENV name value
        yield words[0], words[1]
        return
    for word in words:
        name, _, text = word.partition("=")
        yield name, text
