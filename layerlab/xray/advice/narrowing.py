"""Advice about the build context: what no image needs of it should not be sent."""

from __future__ import annotations

import posixpath
import re
from collections import Counter
from typing import Final

from layerlab.ui.units import first_few
from layerlab.xray.advice.model import Advice, Edit, View

_MOST_PATTERNS: Final = 20
_NEEDLESS: Final = (
    *(".git", ".github", ".gitlab", ".svn", ".hg", ".idea", ".vscode", ".venv", "venv", "node_modules", ".tox"),
    *(".nox", ".mypy_cache", ".pytest_cache", ".ruff_cache", ".cache", "__pycache__", ".ipynb_checkpoints"),
    *("htmlcov", ".coverage", ".DS_Store"),
)
_NEEDED_AT_TIMES: Final = frozenset({"venv", ".venv", "node_modules", ".cache"})
"""Of these what some services run from, so that it is not a program's to leave out."""


def ignored_context(view: View) -> list[Advice]:
    """Files of the build context that are deleted later, or that no image needs: name them in .dockerignore."""
    return [*_deleted_later(view), *_not_needed(view)]


def _deleted_later(view: View) -> list[Advice]:
    sources: dict[str, list[int]] = {}
    lines, runs = set(), set()
    for row in view.rows:
        if row.cause == "deleted" and (origin := view.origin(row.entry)).kind == "context" and origin.source:
            sources.setdefault(origin.source, []).append(row.entry)
            lines.add(origin.line)
            runs.add(row.by_layer)
    if not sources:
        return []
    patterns = _covering(set(sources), {entry.name for entry in view.traced.source.context.entries})
    effect = view.removing(entry for entries in sources.values() for entry in entries)
    line = min(line for line in lines if line is not None)
    may_be_missing = all(_forces(view, layer) for layer in runs if layer is not None)
    does_it = len(patterns) <= _MOST_PATTERNS and may_be_missing and not _named(view, patterns)
    return view.advise(
        f"name {_quoted(patterns)} in .dockerignore",
        f"line {line} copies what is deleted later: it stays in the layer",
        line,
        Edit(ignored=tuple(patterns)) if does_it else None,
        effect,
    )


def _named(view: View, patterns: list[str]) -> bool:
    """Whether an instruction names what is to be left out: it would find nothing."""
    return any(
        posixpath.normpath(argument.strip("\"'")).lstrip("/") in patterns
        for each in view.dockerfile.instructions
        if each.keyword in {"COPY", "ADD"}
        for argument in each.arguments[:-1]
    )


def _forces(view: View, layer: int) -> bool:
    """Whether the RUN that deletes does not mind that there is nothing to delete."""
    run = view.instructions.get(layer)
    removals = [each for each in view.commands(run) if each.name == "rm"] if run else []
    return bool(removals) and all(
        any(re.fullmatch(r"-[a-zA-Z]*f[a-zA-Z]*|--force", word) for word in each.words) for each in removals
    )


def _not_needed(view: View) -> list[Advice]:
    stack = view.stack
    removed: list[str] = []
    patterns, lines = set(), set()
    for index in stack.visible.tolist():
        origin = view.origin(index)
        if origin.kind != "context" or not origin.source:
            continue
        needless = next((name for name in origin.source.split("/") if name in _NEEDLESS), None)
        if needless is not None:
            patterns.add(f"**/{needless}")
            lines.add(origin.line)
            removed.append(stack.merged.paths[index])
    if not removed:
        return []
    perhaps = sorted(name for name in _NEEDED_AT_TIMES if f"**/{name}" in patterns)
    why = "the image gets them with the build context, and nothing that runs needs them"
    return view.advise(
        f"name {_quoted(sorted(patterns))} in .dockerignore",
        why + (f", unless the service runs from {perhaps[0]}" if perhaps else ""),
        min(line for line in lines if line is not None),
        None if perhaps else Edit(ignored=tuple(sorted(patterns))),
        view.removing_at(removed),
    )


def _covering(wanted: set[str], there: set[str]) -> list[str]:
    """The fewest paths that stand for these files and for no others: a folder where all in it is wanted."""
    files = there - {folder for name in there for folder in _above(name)}
    in_all = Counter(folder for name in files for folder in _above(name))
    in_wanted = Counter(folder for name in wanted & files for folder in _above(name))
    found: dict[str, None] = {}
    for name in sorted(wanted):
        whole = (folder for folder in _above(name) if in_all[folder] == in_wanted[folder])
        found[next(whole, name)] = None
    return list(found)


def _above(name: str) -> list[str]:
    """The folders that a path lies in, the outermost first."""
    parts = name.split("/")
    return ["/".join(parts[:depth]) for depth in range(1, len(parts))]


def _quoted(patterns: list[str]) -> str:
    return first_few([f"`{pattern}`" for pattern in patterns], width=None)
