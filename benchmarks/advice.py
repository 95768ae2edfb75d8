"""How right the X-ray's predictions are: each edit that a program can make, and all together, built and measured.

    python -m benchmarks advice             # as rows: a sum for each of the cases that the lab is about
    python -m benchmarks.advice [CASE...]   # edit by edit; all cases, if none is named

The cases are the single-stage Dockerfile, the exercise's two starters and labelled solutions of it that do something
in vain. What an edit saves is the difference of what the two images store. A prediction may be off by 5 % of that;
the exit status is 1 if one is off by more, or if an edit does not build.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pandas as pd

from benchmarks.rows import Row, Setting
from layerlab import bases, image, xray
from layerlab.builder import trial_builds
from layerlab.engine import Engine
from layerlab.engine import connection as engines
from layerlab.errors import LabError
from layerlab.exercise import new_workspace
from layerlab.paths import ROOT
from layerlab.ui import displays
from layerlab.ui.progress import Report, silent
from layerlab.xray import BuildSource
from layerlab.xray.proof import table

ALLOWED: Final = 0.05
"""The largest share of what was measured by which a prediction may be off."""
OWN: Final = ("single", "starter", "starter-2")
SOLUTIONS: Final = (
    *("wrong-full-runtime", "wrong-lists-cleaned-later", "wrong-compiler-purged-later", "wrong-apt-recommends"),
    *("wrong-chown-venv", "wrong-context-removed-later", "wrong-compiler-in-runtime", "wrong-single-stage"),
    *("wrong-usr-local-whole", "right-unused-stage", "right-three-stages-trim", "wrong-pip-cache-shipped"),
)


def rows(setting: Setting) -> Iterator[Row]:
    """What the edits save together (of a single edit, that one), predicted beside measured."""
    for case in OWN:
        with setting.step(f"the advice about {case}, edit by edit"):
            proofs = prove(setting.engine, case, silent)
        if proofs["measured"].isna().any():
            raise LabError(f"an edit of {case} does not build", remedy=f"python -m benchmarks.advice {case}")
        last = proofs.iloc[-1]  # all of them together
        what = f"{case}: saved by {len(proofs) - 1 or 1} edits that a program can make, predicted"
        yield Row(what, last["predicted"] / 1e6, "MB", "building it", last["measured"] / 1e6)


def prove(engine: Engine, case: str, report: Report) -> pd.DataFrame:
    """Prove the advice about a case; see `layerlab.xray.proof.table` for the columns."""
    with _workspace(case) as source, trial_builds(engine, report) as place:
        bases.ensure_for(engine, source.parsed, report=report)
        built = place.build(source.context)
        looked = image.read(engine, built.image_id, dockerfile=source.parsed)
        return table(xray.examine(engine, looked, source, proves=True, report=report).proofs or [])


def measure(engine: Engine, cases: Sequence[str]) -> pd.DataFrame:
    """Prove the advice about each case.

    Returns:
        `case` str, then the columns of `layerlab.xray.proof.table`.
    """
    tables = []
    for case in cases:
        with displays.terminal(case) as report:
            tables.append(prove(engine, case, report).assign(case=case))
        print(_shown(tables[-1]), flush=True)
    return pd.concat(tables, ignore_index=True)


@contextmanager
def _workspace(case: str) -> Iterator[BuildSource]:
    """What a case is built from."""
    if case == "single":
        yield BuildSource(ROOT / "Dockerfile.single", ROOT)
        return
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / case
        new_workspace.make(folder, level=2 if case == "starter-2" else 1)
        if case not in OWN:
            shutil.copytree(ROOT / "tests" / "solutions" / case, folder, dirs_exist_ok=True)
        yield BuildSource(folder / "Dockerfile", folder)


def _shown(proofs: pd.DataFrame) -> str:
    shown = proofs.assign(predicted=proofs["predicted"] / 1e6, measured=proofs["measured"] / 1e6, off=proofs["error"])
    columns = ["case", "title", "predicted", "measured", "off", "trouble"]
    formatters = {"off": "{:.2%}".format, "predicted": "{:.2f}".format, "measured": "{:.2f}".format}
    return "" if proofs.empty else shown[columns].to_string(index=False, formatters=formatters)


def main() -> None:
    """Measure, print the tables, and judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", metavar="CASE", help="which ones (all)")
    cases = parser.parse_args().cases or [*OWN, *SOLUTIONS]
    found = measure(engines.connect(), cases)
    wrong = found[(found["error"] > ALLOWED) | found["measured"].isna()]
    print(
        f"\n{len(found)} predictions about {len(cases)} Dockerfiles, MB (10^6 bytes); off by more than {ALLOWED:.0%}:"
    )
    print(_shown(wrong) or "none")
    sys.exit(1 if len(wrong) else 0)


if __name__ == "__main__":
    main()
