"""``python -m layerlab``: what ``./lab`` runs."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Final

from layerlab.errors import LabError
from layerlab.ui import streams

_LOADER: Final = "<frozen importlib"


def main() -> int:
    """What ``./lab`` and the command ``lab`` of an installation do; returns the exit status."""
    streams.prepare()
    status = run()
    sys.stdout.flush()  # while something can still be said if it fails
    return status


def run() -> int:
    """Run the command line; a ``.venv`` of ``./lab`` that turns out to be damaged is made anew by the next one."""
    try:
        from layerlab.cli import main as cli  # noqa: PLC0415  # what it needs may be damaged

        return cli.main()
    except KeyboardInterrupt:  # while the packages are loaded, which takes a second
        return 130
    except LabError as error:  # while the modules are loaded
        print(f"lab: {error.one_line}", file=sys.stderr)
        return 2
    except (ImportError, SyntaxError, AttributeError, EOFError, NameError, TypeError, ValueError) as error:
        if not is_damage(error):
            raise
        from layerlab import bootstrap  # noqa: PLC0415

        where, remedy = sys.prefix, "install it again: uv sync, or pip install -e . (./lab does so by itself)"
        if bootstrap.is_own() and Path(sys.prefix).resolve() == bootstrap.VENV:
            bootstrap.condemn()
            where, remedy = ".venv", "repeat the command, and it is mended first"
        print(f"lab: {where} is damaged ({error}): {remedy}", file=sys.stderr)
        return 2


def is_damage(error: Exception) -> bool:
    """Whether an error comes from a package of .venv that is missing, or cannot be loaded any more."""
    if isinstance(error, ImportError) and error.name:
        return error.name.partition(".")[0] != "layerlab"
    if isinstance(error, SyntaxError) and error.filename:
        return _is_package(error.filename)
    if isinstance(error, AttributeError) and isinstance(error.obj, ModuleType):  # an empty file, say
        return _is_package(error.obj.__file__ or "")
    frames = list(_frames(error.__traceback__))
    return frames[-1][0].startswith(_LOADER) or any(name == "<module>" and _is_package(file) for file, name in frames)


def _frames(trace: TracebackType | None) -> Iterator[tuple[str, str]]:
    """The file and the name of each piece of code through which an error has come."""
    while trace is not None:
        yield trace.tb_frame.f_code.co_filename, trace.tb_frame.f_code.co_name
        trace = trace.tb_next


def _is_package(file: str) -> bool:
    return Path(file).is_relative_to(sys.prefix)


if __name__ == "__main__":
    sys.exit(main())
