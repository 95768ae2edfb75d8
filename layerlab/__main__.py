"""``python -m layerlab``: what ``./lab`` runs."""

from __future__ import annotations

import sys

from layerlab.errors import LabError
from layerlab.ui import streams


def main() -> int:
    """What ``./lab`` and the command ``lab`` of an installation do; returns the exit status."""
    streams.prepare()
    try:
        from layerlab.cli import main as cli  # noqa: PLC0415  # what it needs may be missing

        return cli.main()
    except KeyboardInterrupt:  # while the packages are loaded, which takes a second
        return 130
    except LabError as error:  # while the modules are loaded
        print(f"lab: {error.one_line}", file=sys.stderr)
    except ModuleNotFoundError as error:
        if not error.name or error.name.partition(".")[0] == "layerlab":
            raise
        remedy = "remove .venv, and ./lab makes it anew; elsewhere uv sync, or pip install -e ."
        print(f"lab: {sys.prefix} is damaged ({error}): {remedy}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
