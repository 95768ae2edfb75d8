"""Python's bytecode that no interpreter of the image ever reads (PEP 3147, PEP 488).

* ``__pycache__/x.cpython-313.pyc`` without ``x.py``: bytecode there counts only beside its module;
* the same of another interpreter than those in the image;
* ``x.cpython-313.opt-1.pyc``, unless the image says that Python runs with ``-O``;
* ``x.pyc`` beside ``x.py``: the module comes first. (``x.pyc`` without ``x.py`` is a module that ships as bytecode.)
"""

from __future__ import annotations

import re
from typing import Final

from layerlab.image.layer import DIRECTORY, FILE
from layerlab.image.stack import LayerStack

_CACHED: Final = re.compile(r"(.*)/__pycache__/([^/]+?)\.(?:cpython-3(\d+)|[\w-]+?)(?:\.opt-(\d))?\.pyc")
_INTERPRETER: Final = re.compile(r".*/(?:lib)?python3\.(\d+)t?(?:\.so.*)?")


def without_use(stack: LayerStack) -> dict[int, str]:
    """The visible bytecode that nothing reads, by index, with the reason."""
    merged = stack.merged
    visible = stack.visible.tolist()
    compiled = [index for index in visible if merged.paths[index].endswith(".pyc") and merged.kinds[index] == FILE]
    if not compiled:
        return {}
    there = _interpreters(stack)
    optimizes = _optimizes(stack)
    found = {}
    for index in compiled:
        path = merged.paths[index]
        parts = _CACHED.fullmatch(path)
        if parts is None:
            if "/__pycache__/" not in path and merged.find(path[:-1]) is not None:
                found[index] = "beside its module"
        elif merged.find(f"{parts[1]}/{parts[2]}.py") is None:
            found[index] = "without its module"
        elif parts[3] and there and parts[3] not in there:
            found[index] = f"of Python 3.{parts[3]}, which is not there"
        elif parts[4] and parts[4] not in optimizes:
            found[index] = "of python -O"
    return found


def _interpreters(stack: LayerStack) -> frozenset[str]:
    """The minor versions of the interpreters that are there; empty where none can be told."""
    merged = stack.merged
    found = set()
    for index in stack.visible.tolist():
        path = merged.paths[index]
        if (
            "python3." in path[-24:]
            and merged.kinds[index] != DIRECTORY
            and (version := _INTERPRETER.fullmatch(path))
        ):
            found.add(version[1])
    return frozenset(found)


def _optimizes(stack: LayerStack) -> frozenset[str]:
    """The levels of optimisation that Python may run with, as the image's config says."""
    config = stack.config.get("config") or {}
    words = [*(config.get("Entrypoint") or []), *(config.get("Cmd") or [])]
    text = " ".join(map(str, words))
    if any(str(value).startswith("PYTHONOPTIMIZE=") for value in config.get("Env") or []):
        return frozenset("12")
    if re.search(r"(^|\s)-OO(\s|$)", text):
        return frozenset("2")
    return frozenset("1") if re.search(r"(^|\s)-O(\s|$)", text) else frozenset()
