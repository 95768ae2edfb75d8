"""``python -m layerlab``: what ``./lab`` runs."""

from __future__ import annotations

import sys
from pathlib import Path

from layerlab.errors import LabError
from layerlab.ui import streams


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
    except (ImportError, SyntaxError) as error:
        if not is_damage(error):
            raise
        from layerlab import bootstrap  # noqa: PLC0415

        where, remedy = sys.prefix, "install it again: uv sync, or pip install -e . (./lab does so by itself)"
        if bootstrap.is_own() and Path(sys.prefix).resolve() == bootstrap.VENV:
            bootstrap.condemn()
            where, remedy = ".venv", "repeat the command, and it is mended first"
        print(f"lab: {where} is damaged ({error}): {remedy}", file=sys.stderr)
        return 2


def is_damage(error: ImportError | SyntaxError) -> bool:
    """Whether an error comes from a package of .venv that is missing or cut off."""
    if isinstance(error, SyntaxError):
        return Path(error.filename or "").is_relative_to(sys.prefix)
    return error.name is not None and error.name.partition(".")[0] != "layerlab"


if __name__ == "__main__":
    sys.exit(main())
