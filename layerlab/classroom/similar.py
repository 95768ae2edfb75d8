"""Which Dockerfiles are nearly the same: by what they say, not by how it is laid out. It says nothing about why."""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import combinations
from typing import Final

from layerlab import dockerfile as dockerfiles
from layerlab.errors import DockerfileError
from layerlab.exercise import new_workspace

NEARLY: Final = 0.8
"""The share of two Dockerfiles' runs of words from which on they are nearly the same (Jaccard's index)."""
LEAST: Final = 20  # runs of words that are the learner's own; with less, everybody's are the same
_RUN: Final = 4  # words
_MOST: Final = 5_000  # words of a Dockerfile that are looked at


def similar(texts: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """For each learner those others whose Dockerfiles are nearly the same.

    Comments, spaces, the names of stages and what the starter says already make no difference.
    """
    starter = _runs(new_workspace.files(1)["Dockerfile"].decode())
    runs = {learner: _runs(text) - starter for learner, text in texts.items()}
    runs = {learner: found for learner, found in runs.items() if len(found) >= LEAST}
    near: dict[str, list[str]] = {learner: [] for learner in texts}
    for one, other in combinations(sorted(runs), 2):
        # The index cannot exceed the ratio of their sizes.
        few, many = sorted((len(runs[one]), len(runs[other])))
        if few >= NEARLY * many and len(runs[one] & runs[other]) >= NEARLY * len(runs[one] | runs[other]):
            near[one].append(other)
            near[other].append(one)
    return {learner: tuple(others) for learner, others in near.items()}


def _runs(text: str) -> frozenset[tuple[str, ...]]:
    """All runs of so many words of what a Dockerfile says."""
    try:
        parsed = dockerfiles.parse(text)
        says = " ".join(one.text for one in parsed.instructions)
        names = {stage.name: f"stage{stage.index}" for stage in parsed.stages if stage.name}
    except DockerfileError:
        says, names = text, {}
    lines = [line for line in says.splitlines() if not line.lstrip().startswith("#")]
    words = re.findall(r"[\w.]+|[^\w\s\\]", " ".join(lines).lower())[:_MOST]
    words = [names.get(word, word) for word in words]
    return frozenset(tuple(words[n : n + _RUN]) for n in range(len(words) - _RUN + 1))
