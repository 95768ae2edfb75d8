"""How right the X-ray's predictions are: the edits that a program can make, all together, built and measured.

The cases are the single-stage Dockerfile and the exercise's two starters. What the edits save is the difference
of what the two images store.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from benchmarks.rows import Row, Setting
from layerlab import bases, image, xray
from layerlab.builder import trial_builds
from layerlab.engine import Engine
from layerlab.errors import LabError
from layerlab.exercise import new_workspace
from layerlab.paths import ROOT
from layerlab.xray import BuildSource, Proof

OWN: Final = ("single", "starter", "starter-2")


def rows(setting: Setting) -> Iterator[Row]:
    """What the edits save together (of a single edit, that one), predicted beside measured."""
    for case in OWN:
        with setting.step(f"the advice about {case}, edit by edit"):
            proofs = _proofs(setting.engine, case)
        last = proofs[-1]  # all of them together
        if last.measured is None or any(proof.trouble for proof in proofs):
            raise LabError(f"an edit of {case} does not build", remedy="see ./lab xray --prove")
        what = f"{case}: saved by {len(proofs) - 1 or 1} edits that a program can make, predicted"
        yield Row(what, last.predicted / 1e6, "MB", "building it", last.measured / 1e6)


def _proofs(engine: Engine, case: str) -> Sequence[Proof]:
    with _source(case) as source, trial_builds(engine) as place:
        bases.ensure_for(engine, source.parsed)
        built = place.build(source.context)
        looked = image.read(engine, built.image_id, dockerfile=source.parsed)
        return xray.examine(engine, looked, source, proves=True).proofs or []


@contextmanager
def _source(case: str) -> Iterator[BuildSource]:
    """What a case is built from."""
    if case == "single":
        yield BuildSource(ROOT / "Dockerfile.single", ROOT)
        return
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / case
        new_workspace.make(folder, level=2 if case == "starter-2" else 1)
        yield BuildSource(folder / "Dockerfile", folder)
