"""Reading query parameters."""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.parameters import MAX_ECHO, Choice, Integer, ParameterError, parse

ROWS = Integer("rows", "", 10, 1, 500)
KIND = Choice("kind", "", "a", ("a", "b"))


def parsed(*pairs: tuple[str, str]) -> dict[str, Any]:
    return parse(urlencode(pairs, errors="surrogatepass").encode(), (ROWS, KIND))


def test_what_is_missing_gets_its_default() -> None:
    """A parameter that is not given has its default."""
    assert parsed() == {"rows": 10, "kind": "a"}


@given(st.integers(1, 500))
def test_a_number_within_the_limits_is_read(number: int) -> None:
    """Each whole number from the least to the greatest is itself."""
    assert parsed(("rows", str(number)))["rows"] == number


@given(st.integers().filter(lambda number: not 1 <= number <= 500))
def test_a_number_outside_the_limits_is_refused(number: int) -> None:
    """A number outside is refused with a message that names the parameter and both limits."""
    with pytest.raises(ParameterError, match=r"^rows must be a whole number from 1 to 500") as caught:
        parsed(("rows", str(number)))

    assert caught.value.parameter == "rows"
    assert caught.value.limits == {"type": "integer", "minimum": 1, "maximum": 500}


@pytest.mark.parametrize(
    "text", ["", " 7", "7 ", "+7", "1_0", "7.0", "7e1", "0x7", "７", "٧", "²", "nan", "\x007", "7\n", "9" * 100_000]
)
def test_what_only_looks_like_a_number_is_refused(text: str) -> None:
    """Digits of other scripts, signs, spaces, exponents and endless numbers are no numbers here."""
    with pytest.raises(ParameterError):
        parsed(("rows", text))


@given(st.text().filter(lambda text: not re.fullmatch("-?[0-9]+", text)))
def test_other_text_is_no_number(text: str) -> None:
    """No other text at all is taken for a number, and the message is short and printable ASCII."""
    with pytest.raises(ParameterError) as caught:
        parsed(("rows", text))

    assert str(caught.value).isascii()
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 100 + 10 * MAX_ECHO


@given(st.text().filter(lambda text: text not in {"a", "b"}))
def test_a_word_that_is_no_choice_is_refused(text: str) -> None:
    """Only the words themselves are taken, in their own case."""
    with pytest.raises(ParameterError, match=r"^kind must be one of a, b, not "):
        parsed(("kind", text))


def test_a_parameter_given_twice_is_refused() -> None:
    """Neither of two values is preferred, even when both are right."""
    with pytest.raises(ParameterError, match="rows is given 2 times"):
        parsed(("rows", "1"), ("rows", "1"))


@given(st.text().filter(lambda name: name not in {"rows", "kind"}))
def test_an_unknown_parameter_is_refused(name: str) -> None:
    """The message names what there is, and the body that is made of it is valid JSON."""
    with pytest.raises(ParameterError, match=r"this address takes rows, kind$") as caught:
        parsed((name, "1"))

    assert json.loads(json.dumps(caught.value.limits)) == {"enum": ["rows", "kind"]}
    assert name.startswith(caught.value.parameter)
