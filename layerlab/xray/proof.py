"""Proves advice: makes the edits in a copy, builds it, and measures what the image stores less."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from layerlab import image as images
from layerlab.builder import Trials
from layerlab.errors import EngineGone, LabError
from layerlab.ui.progress import Step
from layerlab.xray.advice import Advice, edited, together
from layerlab.xray.tracing import Trace, with_dockerfile

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Proof:
    """What an edit has really saved."""

    title: str  # of the advice, or what was done together
    line: int | None  # of the advice
    predicted: int  # bytes that it was to save
    measured: int | None  # bytes that the image really stores less; None if it could not be built
    trouble: str = ""  # why it could not be built; empty if it could

    @property
    def error(self) -> float | None:
        """How far the prediction was from what was measured, as a share of that; None where nothing was saved."""
        return abs(self.predicted - self.measured) / abs(self.measured) if self.measured else None


def prove(trials: Trials, trace: Trace, advice: Sequence[Advice]) -> list[Proof]:
    """Make each edit that a program can make by itself, then all of them together, and build each.

    An edit after which the Dockerfile does not build any more is proved to be none, and the proof says so.

    Raises:
        EngineGone: the engine stopped answering.
    """
    mechanical = [each for each in advice if each.is_mechanical]
    proofs = []
    for number, each in enumerate(mechanical, 1):
        step = Step(f"proof {number}", f"edit {number} of {len(mechanical)}: {each.title}", "running")
        proofs.append(_proof(trials, trace, [each], step, Proof(each.title, each.line, each.bytes, None)))
    fine = [each for each, proof in zip(mechanical, proofs, strict=True) if proof.measured is not None]
    if len(fine) > 1:
        title = f"these {len(fine)} together"
        asked = Proof(title, None, together(fine), None)
        proofs.append(_proof(trials, trace, fine, Step("proof", title, "running"), asked))
    return proofs


def table(proofs: Sequence[Proof]) -> pd.DataFrame:
    """Proofs as a table.

    Returns:
        A row per edit, and one for all together: `title` str, `line` Int64, `predicted` int64 and `measured` Int64
        (bytes), `error` float64 (a share of what was measured), `trouble` str.
    """
    import pandas as pd  # noqa: PLC0415

    kinds: dict[str, Any] = {"title": "str", "line": "Int64", "predicted": "int64", "measured": "Int64"}
    kinds |= {"error": "float64", "trouble": "str"}
    return pd.DataFrame([{**vars(one), "error": one.error} for one in proofs], columns=list(kinds)).astype(kinds)


def _proof(trials: Trials, trace: Trace, advice: Sequence[Advice], step: Step, asked: Proof) -> Proof:
    trials.report(step)
    source, edits = trace.source, [each.edit for each in advice if each.edit]
    try:
        context = source.collect([line for edit in edits for line in edit.ignored])
        context = with_dockerfile(context, edited(source.parsed, edits), trials.scratch)
        built = trials.build(context, target=source.target, build_args=source.build_args)
        after = images.read(trials.engine, built.image_id)
        found = replace(asked, measured=trace.image.total_bytes - after.total_bytes)
    except EngineGone:
        raise
    except LabError as error:
        found = replace(asked, trouble=str(error))
    trials.report(replace(step, state="done"))
    return found
