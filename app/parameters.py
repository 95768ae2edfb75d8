"""Query parameters: what each may be, how it is read, and how it is described.

A parameter is declared once. Reading it (`parse`), the message to a client that got it wrong and its
description in ``/openapi.json`` (`Parameter.schema`) all come from that declaration, so they cannot disagree.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

MAX_ECHO = 40  # characters of a client's own text that a message repeats


class ParameterError(ValueError):
    """A query parameter is wrong: the client's mistake.

    Args:
        message: What is wrong and what would be right.
        parameter: Its name, as the client wrote it.
        limits: What is allowed, in the words of JSON Schema.
    """

    def __init__(self, message: str, *, parameter: str, limits: dict[str, Any]) -> None:
        super().__init__(message)
        self.parameter = parameter
        self.limits = limits


@dataclass(frozen=True)
class Parameter(ABC):
    """One query parameter.

    Attributes:
        name: As it stands in the query.
        description: What it is for, one sentence.
        default: What it is when it is not given. None means: picked at random.
    """

    name: str
    description: str
    default: Any

    @abstractmethod
    def read(self, text: str) -> Any:
        """The value that the text stands for; raises ValueError if it stands for none."""

    @abstractmethod
    def allowed(self) -> str:
        """What is allowed, in words."""

    @abstractmethod
    def schema(self) -> dict[str, Any]:
        """What is allowed, as a JSON Schema."""


@dataclass(frozen=True)
class Integer(Parameter):
    """A whole number between two limits, both included."""

    minimum: int
    maximum: int

    def read(self, text: str) -> int:
        # int() alone would take "１２" (full-width digits), "1_000" and " 7 ", and work long on a million digits.
        if not re.fullmatch(r"-?[0-9]{1,20}", text, re.ASCII):
            raise ValueError(text)
        number = int(text)
        if not self.minimum <= number <= self.maximum:
            raise ValueError(text)
        return number

    def allowed(self) -> str:
        return f"a whole number from {self.minimum} to {self.maximum}"

    def schema(self) -> dict[str, Any]:
        return {"type": "integer", "minimum": self.minimum, "maximum": self.maximum}


@dataclass(frozen=True)
class Choice(Parameter):
    """One of a few words."""

    choices: tuple[str, ...]

    def read(self, text: str) -> str:
        if text not in self.choices:
            raise ValueError(text)
        return text

    def allowed(self) -> str:
        return f"one of {', '.join(self.choices)}"

    def schema(self) -> dict[str, Any]:
        return {"type": "string", "enum": list(self.choices)}


def parse(query: bytes, parameters: Sequence[Parameter]) -> dict[str, Any]:
    """The value of each of these parameters, by name.

    Args:
        query: What follows the question mark, as it came. (Flask's own ``request.args`` fails on bytes that are
            no UTF-8, which would make the client's mistake look like the server's.)
        parameters: What the endpoint takes. One that is missing gets its default.

    Raises:
        ParameterError: one is unknown, given twice, or not what it may be.
    """
    known = {parameter.name: parameter for parameter in parameters}
    arguments: dict[str, list[str]] = {}
    for name, text in parse_qsl(query.decode(errors="replace"), keep_blank_values=True):
        arguments.setdefault(name, []).append(text)
    for name, texts in arguments.items():
        if name not in known:
            # Silence would hide a slip such as `?sed=7`.
            raise ParameterError(
                f"unknown parameter {_quote(name)}: this address takes {', '.join(known) or 'none'}",
                parameter=name[:MAX_ECHO],
                limits={"enum": list(known)},
            )
        if len(texts) > 1:
            raise ParameterError(
                f"{name} is given {len(texts)} times: give it once",
                parameter=name,
                limits=known[name].schema(),
            )
    return {
        name: _value(parameter, arguments[name][0]) if name in arguments else parameter.default
        for name, parameter in known.items()
    }


def _value(parameter: Parameter, text: str) -> Any:
    try:
        return parameter.read(text)
    except ValueError:
        raise ParameterError(
            f"{parameter.name} must be {parameter.allowed()}, not {_quote(text)}",
            parameter=parameter.name,
            limits=parameter.schema(),
        ) from None


def _quote(text: str) -> str:
    """The client's own text, short and without control characters."""
    return ascii(text if len(text) <= MAX_ECHO else text[:MAX_ECHO] + "...")
