"""Proves advice: makes the edits in a copy, builds it, and measures what the image stores less."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from layerlab import bases
from layerlab import image as images
from layerlab.builder import Trials, ignore
from layerlab.builder import context as contexts
from layerlab.errors import EngineGone, LabError
from layerlab.ui.progress import Step
from layerlab.xray.advice import together
from layerlab.xray.advice.model import Advice, View, text
from layerlab.xray.source import BuildSource, with_dockerfile

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Proof:
    """What an edit has really saved.

    Attributes:
        title: Of the advice, or what was done together.
        line: Of the advice.
        predicted: Bytes that it was to save.
        measured: Bytes that the image really stores less; None if it could not be built.
        trouble: Why it could not be built; empty if it could.
    """

    title: str
    line: int | None
    predicted: int
    measured: int | None
    trouble: str = ""

    @property
    def error(self) -> float | None:
        """How far the prediction was from what was measured, as a share of that; None where nothing was saved."""
        return abs(self.predicted - self.measured) / abs(self.measured) if self.measured else None


def prove(trials: Trials, view: View, advice: Sequence[Advice]) -> list[Proof]:
    """Make each edit that a program can make by itself, then all of them together, and build each.

    An edit after which the Dockerfile does not build any more is proved to be none, and the proof says so.

    Args:
        trials: Where to build; all images that are built go with it.
        view: The image.
        advice: What was advised about it.

    Raises:
        EngineGone: the engine stopped answering.
    """
    mechanical = [each for each in advice if each.is_mechanical]
    proofs = []
    for number, each in enumerate(mechanical, 1):
        trials.report(Step(f"proof {number}", f"edit {number} of {len(mechanical)}: {each.title}", "running"))
        proofs.append(_proof(trials, view, [each], title=each.title, line=each.line, predicted=each.bytes))
        trials.report(Step(f"proof {number}", f"edit {number} of {len(mechanical)}: {each.title}", "done"))
    if len([proof for proof in proofs if proof.measured is not None]) > 1:
        fine = [each for each, proof in zip(mechanical, proofs, strict=True) if proof.measured is not None]
        title = f"these {len(fine)} together"
        trials.report(Step("proof", title, "running"))
        proofs.append(_proof(trials, view, fine, title=title, line=None, predicted=together(view, fine)))
        trials.report(Step("proof", title, "done"))
    return proofs


def table(proofs: Sequence[Proof]) -> pd.DataFrame:
    """Proofs as a table.

    Returns:
        A row per edit, and one for all together: `title` str, `line` Int64, `predicted` int64 and `measured` Int64
        (bytes), `error` float64 (a share of what was measured), `trouble` str.
    """
    import pandas as pd  # noqa: PLC0415

    return pd.DataFrame(
        {
            "title": pd.Series([proof.title for proof in proofs], dtype="str"),
            "line": pd.array([proof.line for proof in proofs], dtype="Int64"),
            "predicted": pd.Series([proof.predicted for proof in proofs], dtype="int64"),
            "measured": pd.array([proof.measured for proof in proofs], dtype="Int64"),
            "error": pd.Series([proof.error for proof in proofs], dtype="float64"),
            "trouble": pd.Series([proof.trouble for proof in proofs], dtype="str"),
        }
    )


def changed_context(trials: Trials, source: BuildSource, advice: Sequence[Advice]) -> contexts.Context:
    """The build context after these edits."""
    context = with_dockerfile(source.context, text(source.parsed, list(advice)), trials.scratch)
    ignored = [line for each in advice if each.edit for line in each.edit.ignored]
    return without(context, ignored) if ignored else context


def without(context: contexts.Context, ignored: Sequence[str]) -> contexts.Context:
    """The context without what these lines of a ``.dockerignore`` name; the Dockerfile stays."""
    rules = ignore.parse("\n".join(ignored))
    hits: dict[str, tuple[bool, ...]] = {"": ()}
    kept = []
    for entry in context.entries:  # folders come before what is in them
        is_ignored, of_entry = ignore.matches(rules, entry.name, hits.get(entry.name.rpartition("/")[0], ()))
        hits[entry.name] = of_entry
        if not is_ignored or entry.name == context.dockerfile:
            kept.append(entry)
    return contexts.Context(context.folder, context.dockerfile, context.text, tuple(kept))


def _proof(
    trials: Trials, view: View, advice: Sequence[Advice], *, title: str, line: int | None, predicted: int
) -> Proof:
    if view.trace is None:
        raise ValueError("nothing can be built without a Dockerfile")
    source = view.trace.source
    try:
        context = changed_context(trials, source, advice)
        parsed = source.parse(context.text)
        target = source.target if not any(each.edit and each.edit.after for each in advice) else None
        bases.ensure_for(trials.engine, parsed, target, report=trials.report)
        built = trials.build(context, target=target, build_args=source.build_args)
        after = images.read(trials.engine, built.image_id)
    except EngineGone:
        raise
    except LabError as error:
        return Proof(title, line, predicted, None, str(error))
    return Proof(title, line, predicted, view.image.total_bytes - after.total_bytes)
