"""Prints what is in an image: layers, parts, packages and waste; then causes, stages, advice and proofs."""

from __future__ import annotations

import pandas as pd

from layerlab.cli.options import out
from layerlab.image import Image
from layerlab.ui import tables
from layerlab.ui.text import printable
from layerlab.ui.units import tenths
from layerlab.xray import Examined, waste
from layerlab.xray.proof import table

_LEAST = 50_000  # bytes of a cause that gets a line of its own


def print_image(looked: Image) -> None:
    """Print an image's layers, parts, largest packages and waste."""
    layers = tables.megabytes(looked.layers, ["bytes", "live_bytes", "wasted_bytes"])
    layers["instruction"] = layers["instruction"].str.slice(0, 70)
    headings = {
        "index": "layer", "bytes": "MB", "live_bytes": "live MB", "wasted_bytes": "wasted MB", "files": "files",
        "line": "line", "instruction": "instruction",
    }  # fmt: skip
    tables.show(out, layers, title=f"Layers of {printable(looked.name)}", headings=headings, first=True)
    parts = looked.files.groupby("part", observed=True)["bytes"].agg(["sum", "count"]).reset_index()
    parts = tables.megabytes(parts, ["sum"]).sort_values("sum", ascending=False)
    tables.show(out, parts, title="What is live", headings={"part": "part", "sum": "MB", "count": "files"})
    largest = tables.megabytes(looked.packages.nlargest(12, "bytes"), ["bytes"])
    headings = {"name": "package", "version": "version", "manager": "manager", "bytes": "MB", "files": "files"}
    tables.show(out, largest, title="The largest packages", headings=headings)
    waste = looked.waste.groupby("cause", observed=True)["bytes"].agg(["sum", "count"]).reset_index()
    if waste.empty:
        out.print("\nNothing is wasted: every byte that is stored can be seen in a container.")
    else:
        headings = {"cause": "cause", "sum": "MB", "count": "files"}
        tables.show(out, tables.megabytes(waste, ["sum"]), title="What no container can see", headings=headings)


def print_examined(examined: Examined, *, advice: bool) -> None:
    """Print what was found out beyond layers and packages."""
    _print_causes(examined)
    if examined.stages is not None and examined.lines is not None:
        _print_stages(examined.stages)
        _print_lines(examined.lines)
    if advice:
        _print_advice(examined)
    if examined.proofs is not None:
        _print_proofs(examined)


def _print_causes(examined: Examined) -> None:
    found = examined.causes
    rows = [
        (
            "fact" if cause.is_fact else "judgement",
            cause.cause,
            cause.bytes / 1e6,
            cause.files,
            _place(cause.line, cause.layer),
            "" if cause.by_layer is None else _place(cause.by_line, cause.by_layer),
            ", ".join(cause.details[:3]) or cause.examples[0],
        )
        for cause in found
        if cause.bytes >= _LEAST
    ]
    columns = ["kind", "cause", "size", "files", "stored", "by", "what"]
    headings = {
        "kind": "", "cause": "cause", "size": "MB", "files": "files", "stored": "stored by", "by": "taken away by",
        "what": "what",
    }  # fmt: skip
    tables.show(out, pd.DataFrame(rows, columns=columns), title="What the image could do without", headings=headings)
    sums = waste.totals(examined.image.stack, examined.rows)
    facts = sum(sums[cause] for cause in waste.FACTS)
    judged = sum(sums[cause] for cause in waste.JUDGEMENTS)
    total = examined.image.total_bytes
    out.print(
        f"{tenths(total)} MB stored = {tenths(facts)} that no container sees (facts) + {tenths(judged)} that"
        f" nothing needs, by the look of it (judgements) + {tenths(sums['needed'])} of the rest."
    )
    if not examined.read_contents:
        out.print("Files with the same content and debug symbols were not looked for: --advice reads the files.")


def _place(line: int | None, layer: int) -> str:
    return f"line {line}" if line is not None else f"layer {layer}"


def _print_stages(stages: pd.DataFrame) -> None:
    columns = ["base_bytes", "own_bytes", "used_bytes", "left_bytes", "final_bytes"]
    headings = {
        "stage": "stage", "line": "line", "base": "from", "role": "in the image", "base_bytes": "base MB",
        "own_bytes": "own MB", "used_bytes": "used MB", "left_bytes": "left behind MB",
    }  # fmt: skip
    shown = tables.megabytes(stages, columns).astype({"role": "str"})
    tables.show(out, shown, title="What the stages contribute", headings=headings)
    for row in stages[stages["role"] == "not built"].itertuples():
        stage = f"Stage {printable(str(row.stage))} (line {row.line})"
        out.print(f"{stage} contributes nothing: no stage needs it.")


def _print_lines(lines: pd.DataFrame) -> None:
    headings = {
        "line": "line", "stage": "stage", "origin": "what it brings", "bytes": "MB", "files": "files",
        "instruction": "instruction",
    }  # fmt: skip
    shown = tables.megabytes(lines, ["bytes"]).astype({"origin": "str"})
    shown["instruction"] = shown["instruction"].str.slice(0, 70)
    tables.show(out, shown, title="Where the image's files came from", headings=headings)


def _print_advice(examined: Examined) -> None:
    if not examined.advice:
        out.print("\nThere is nothing to advise that would save 0.1 MB or more.")
        return
    out.print("\nWhat to change, and what that would save (predicted)", style="bold")
    for advice in examined.advice:
        mark = "*" if advice.is_mechanical else " "
        out.print(f"{tenths(advice.bytes):>10} MB {mark} {printable(advice.title)}")
        out.print(f"{'':15}{printable(advice.why)}", style="dim")
    if any(advice.is_mechanical for advice in examined.advice):
        how = "" if examined.proofs is not None else ": --prove makes them in a copy, builds it, and measures"
        out.print(
            f"Edits marked * can be made by a program{how}. Together they would save"
            f" {tenths(examined.together)} MB; some save the same bytes."
        )


def _print_proofs(examined: Examined) -> None:
    proofs = tables.megabytes(table(examined.proofs or []), ["predicted", "measured"])
    if proofs.empty:
        out.print("\nThere is nothing to prove: no advice about this image is one that a program can follow.")
        return
    proofs["error"] = [f"{error:.1%}" if pd.notna(error) else "–" for error in proofs["error"]]
    headings = {"title": "edit", "predicted": "predicted MB", "measured": "measured MB", "error": "off by"}
    tables.show(out, proofs, title="What the edits save, each built by itself", headings=headings)
    for row in proofs[proofs["trouble"] != ""].itertuples():
        out.print(f"Not proved: {printable(str(row.title))}: {printable(str(row.trouble))}")
