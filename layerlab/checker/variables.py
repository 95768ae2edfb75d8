"""The values of ENV and ARG where an instruction stands."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from layerlab.dockerfile import Dockerfile, Instruction, Stage
from layerlab.dockerfile import words as dockerfile_words

_LONGEST_VALUE: Final = 20_000


def environment(dockerfile: Dockerfile, instruction: Instruction) -> dict[str, str]:
    """The values of ENV and ARG where an instruction stands, those of the stages that its stage is FROM included.

    What an external base image sets is not known here.
    """
    declared: dict[str, str] = {}  # ARGs before the first FROM
    for each in dockerfile.instructions:
        if each.stage is not None:
            break
        if each.keyword == "ARG":
            _set_arguments(each, declared, {})
    arguments: dict[str, str] = {}
    values: dict[str, str] = {}
    for stage in lineage(dockerfile, instruction):
        for each in stage.instructions:
            if each.line >= instruction.line:
                break
            if each.keyword == "ARG":
                _set_arguments(each, arguments, values, declared)
            elif each.keyword == "ENV":
                values |= {name: _expanded(text, {**arguments, **values}) for name, text in _pairs(each)}
    return {**arguments, **values}


def lineage(dockerfile: Dockerfile, instruction: Instruction) -> list[Stage]:
    """The stage of an instruction after those that it is FROM, the first one first."""
    if instruction.stage is None:
        return []
    stage: Stage | None = dockerfile.stages[instruction.stage]
    found: list[Stage] = []
    while stage:
        found.append(stage)
        stage = dockerfile.base_stage(stage)
    return found[::-1]


def _set_arguments(
    instruction: Instruction,
    arguments: dict[str, str],
    values: Mapping[str, str],
    declared: Mapping[str, str] | None = None,
) -> None:
    for word in instruction.arguments:
        name, equals, default = word.partition("=")
        if equals:
            arguments[name] = _expanded(default, {**arguments, **values})
        elif declared and name in declared:
            arguments[name] = declared[name]


def _pairs(instruction: Instruction) -> Iterator[tuple[str, str]]:
    words = instruction.arguments
    if len(words) == 2 and "=" not in words[0]:  # the old form: ENV name value
        yield words[0], words[1]
        return
    for word in words:
        name, _, text = word.partition("=")
        yield name, text


def _expanded(text: str, values: Mapping[str, str]) -> str:
    text = text[:_LONGEST_VALUE]
    if text.startswith("'") and text.endswith("'"):
        return dockerfile_words.unquote(text)
    return dockerfile_words.expand(dockerfile_words.unquote(text), values)[:_LONGEST_VALUE]
