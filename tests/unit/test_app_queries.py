"""What an address's query asks for."""

from __future__ import annotations

import os

import pytest

from app import create_app, queries

app = create_app()


def asked(query: str) -> tuple[dict[str, object], bool]:
    with app.test_request_context(f"/data?{query}"):
        return queries.read(queries.DATA)


def test_a_seed_makes_an_answer_repeatable() -> None:
    """With a seed the answer is always the same, and may be kept."""
    assert asked("seed=7&rows=3") == ({"rows": 3, "seed": 7, "format": "json"}, True)


def test_without_a_seed_one_is_picked() -> None:
    """It is within the limits that hold for a client's, so that the client can ask for it."""
    values, repeatable = asked("")

    assert not repeatable
    assert isinstance(values["seed"], int)
    assert 0 <= values["seed"] <= queries.MAX_SEED


def test_forked_workers_pick_different_seeds() -> None:
    """Workers forked from one process do not all go on with the same random numbers."""
    seeds = set()
    for _ in range(3):
        reader, writer = os.pipe()
        if (child := os.fork()) == 0:
            os.write(writer, str(asked("")[0]["seed"]).encode())
            os._exit(0)
        os.close(writer)
        with os.fdopen(reader) as answer:
            seeds.add(answer.read())
        os.waitpid(child, 0)

    assert len(seeds) == 3


@pytest.mark.parametrize(("name", "most"), [("rows", 10_000), ("size", 1600)])
def test_the_cost_of_a_request_is_bounded(name: str, most: int) -> None:
    """Nobody can ask for more than the service can give in well under a second."""
    (parameter,) = {p for p in (*queries.PLOT, *queries.DATA) if p.name == name}

    assert parameter.schema()["maximum"] == most
