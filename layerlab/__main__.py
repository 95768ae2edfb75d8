"""``python -m layerlab``: what ``./lab`` runs."""

from __future__ import annotations

import sys

try:
    from layerlab.cli import main
except KeyboardInterrupt:  # while the packages are loaded, which takes a second
    sys.exit(130)
except ImportError as error:  # a package of .venv is missing or broken
    if (error.name or "").partition(".")[0] in {"layerlab", ""}:
        raise
    from layerlab.bootstrap import condemn

    condemn()
    print(f"lab: .venv is damaged ({error}): repeat the command, and it is mended first", file=sys.stderr)
    sys.exit(2)

sys.exit(main())
