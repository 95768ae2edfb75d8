"""Which records of the build cache come of a build, by what engines say of them."""

from __future__ import annotations

import pytest

from layerlab.builder.build_cache import Ran, Record, added

RUN, COPY = "mount / from exec /bin/sh -c make", "fileop target"
STEPS = [Ran("context", 10, 11), Ran("other", 12, 13), Ran("RUN", 14, 20)]


def record(name: str, at: str, description: str, parent: str = "", *, key: str = "Parents") -> Record:
    parents = {key: parent if key == "Parent" else [parent]} if parent else {}
    made = f"1970-01-01T00:00:{at}Z"
    return {"ID": name, "Type": "regular", "Description": description, "CreatedAt": made, **parents}


@pytest.mark.parametrize("key", ["Parent", "Parents", " Parents"], ids=["20.10", "28.5", "26.1"])
def test_a_chain_of_records(key: str) -> None:
    """What was made while the steps ran, on the base and on each other, the last first."""
    known = [
        record("base", "05", "from local"),
        record("copied", "12.5", COPY, "base", key=key),
        record("made", "19.123456789", RUN, "copied", key=key),
        record("archive", "10.1", "http url http://build-context-abc"),
    ]

    assert added(known, STEPS) == ["made", "copied", "archive"]


@pytest.mark.parametrize(
    "other",
    [
        record("other", "13.5", COPY, "base"),
        record("other", "15", COPY, "base"),
        record("other", "12.5", RUN, "base"),
        record("other", "15", RUN, "theirs"),
        record("other", "12.5", "http url http://build-context-abc"),
        record("other", "10.5", "http url http://example.com/file"),
        {**record("other", "12.5", "cached mount /root/.cache from exec make"), "Type": "exec.cachemount"},
    ],
    ids=[
        "between steps",
        "copied during RUN",
        "run during COPY",
        "on what others made",
        "sent later",
        "ADD",
        "mount",
    ],
)
def test_what_other_builds_have_made_beside(other: Record) -> None:
    """A record that none of the steps can have made at that time, or of that kind, is somebody else's."""
    known = [record("base", "05", "from local"), record("theirs", "11.5", COPY, "base"), other]

    assert added(known, STEPS) == []
