"""Prints images: what is in one, where they differ side by side, and what their configurations say."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Final

import pandas as pd

from layerlab import compare
from layerlab.cli.options import out
from layerlab.compare import Difference, column_names
from layerlab.engine import Engine
from layerlab.engine.ownership import STAND_IN_LABEL
from layerlab.image import Image
from layerlab.ui import tables
from layerlab.ui.text import printable, shorten
from layerlab.ui.units import tenths
from layerlab.xray import Examined, proof, waste

OWNERS: Final = 12
PATHS: Final = 30
SETTING: Final = 60
"""Characters of a setting's value; --json has them all."""
LEAST: Final = 50_000
"""Bytes of a cause that gets a line of its own."""
_MB: Final = ["bytes_before", "bytes_after", "difference"]


show: Final = partial(tables.show, out)


def print_image(looked: Image) -> None:
    """Print an image's layers, parts, largest packages and waste."""
    layers = looked.layers.assign(instruction=looked.layers["instruction"].str.slice(0, 70))
    show(
        layers, f"Layers of {printable(looked.name)}", ["bytes", "live_bytes", "wasted_bytes"], first=True,
        index="layer", bytes="MB", live_bytes="live MB", wasted_bytes="wasted MB", files="files", line="line",
        instruction="instruction",
    )  # fmt: skip
    parts = looked.files.groupby("part", observed=True)["bytes"].agg(["sum", "count"]).reset_index()
    show(parts.sort_values("sum", ascending=False), "What is live", ["sum"], part="part", sum="MB", count="files")
    show(
        looked.packages.nlargest(12, "bytes"), "The largest packages", ["bytes"],
        name="package", version="version", manager="manager", bytes="MB", files="files",
    )  # fmt: skip
    wasted = looked.waste.groupby("cause", observed=True)["bytes"].agg(["sum", "count"]).reset_index()
    if wasted.empty:
        out.print("\nNothing is wasted: every byte that is stored can be seen in a container.")
    else:
        show(wasted, "What no container can see", ["sum"], cause="cause", sum="MB", count="files")


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
    rows = []
    for cause in (cause for cause in examined.causes if cause.bytes >= LEAST):
        by = "" if cause.by_layer is None else _place(cause.by_line, cause.by_layer)
        what = ", ".join(cause.details[:3]) or cause.examples[0]
        kind, stored = "fact" if cause.is_fact else "judgement", _place(cause.line, cause.layer)
        rows.append((kind, cause.cause, cause.bytes, cause.files, stored, by, what))
    show(
        pd.DataFrame(rows, columns=["kind", "cause", "bytes", "files", "stored", "by", "what"]),
        "What the image could do without", ["bytes"],
        kind="", cause="cause", bytes="MB", files="files", stored="stored by", by="taken away by", what="what",
    )  # fmt: skip
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
    show(
        stages.astype({"role": "str"}), "What the stages contribute",
        ["base_bytes", "own_bytes", "used_bytes", "left_bytes"],
        stage="stage", line="line", base="from", role="in the image", base_bytes="base MB", own_bytes="own MB",
        used_bytes="used MB", left_bytes="left behind MB",
    )  # fmt: skip
    for row in stages[stages["role"] == "not built"].itertuples():
        stage = f"Stage {printable(str(row.stage))} (line {row.line})"
        out.print(f"{stage} contributes nothing: no stage needs it.")


def _print_lines(lines: pd.DataFrame) -> None:
    shown = lines.astype({"origin": "str"}).assign(instruction=lines["instruction"].str.slice(0, 70))
    show(
        shown, "Where the image's files came from", ["bytes"], line="line", stage="stage", origin="what it brings",
        bytes="MB", files="files", instruction="instruction",
    )  # fmt: skip


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
    proofs = proof.table(examined.proofs or [])
    if proofs.empty:
        out.print("\nThere is nothing to prove: no advice about this image is one that a program can follow.")
        return
    proofs["error"] = [f"{error:.1%}" if pd.notna(error) else "–" for error in proofs["error"]]
    show(
        proofs, "What the edits save, each built by itself", ["predicted", "measured"],
        title="edit", predicted="predicted MB", measured="measured MB", error="off by",
    )  # fmt: skip
    for row in proofs[proofs["trouble"] != ""].itertuples():
        out.print(f"Not proved: {printable(str(row.title))}: {printable(str(row.trouble))}")


def print_comparison(images: Sequence[Image]) -> None:
    """Print a table of these images."""
    frame = compare.compare(images)
    frame["share"] = [f"{ratio:.1%}" for ratio in frame["ratio"]]
    show(
        frame, "Comparison: MB (10^6 bytes) uncompressed", ["bytes", "wasted_bytes"], name="image", bytes="MB",
        share="share", wasted_bytes="wasted", layers="layers", files="files",
    )  # fmt: skip
    if line := compare.in_words(images):
        out.print(printable(line))
    if any(STAND_IN_LABEL in ((image.config.get("config") or {}).get("Labels") or {}) for image in images):
        out.print("Built on stand-ins for the official base images, made from Debian packages: no registry answered.")


def print_differences(images: Sequence[Image], *, layers: bool = False, paths: bool = False) -> None:
    """Print where the second image and each after it differ from the first; nothing for a single image.

    That of layers, and the paths with the largest differences, where these are asked for.
    """
    if len(images) < 2:
        return
    _print_parts(images)
    differences = [Difference(images[0], image) for image in images[1:]]
    for difference in differences:
        _print_places(difference)
        _print_owners(difference)
        if layers:
            _print_layers(difference)
        if paths:
            _print_paths(difference)
    _print_settings(images)
    if not (layers and paths):
        more = " and ".join(name for name, asked in (("--layers", layers), ("--paths", paths)) if not asked)
        out.print(f"\n{more} show more; --json has everything.")


def _print_parts(images: Sequence[Image]) -> None:
    frame = compare.parts(images).T
    frame.columns = pd.Index(column_names(images))
    frame = frame[(frame != 0).any(axis=1)]
    if frame.empty:
        return
    names = {name: printable(name) for name in frame.columns}
    if len(images) == 2:
        frame["difference"] = frame.iloc[:, 1] - frame.iloc[:, 0]
        names["difference"] = "difference"
    show(frame.rename_axis("part").reset_index(), "What the MB are for", list(names), {"part": "part", **names})


def print_surfaces(engine: Engine | None, images: Sequence[Image]) -> None:
    """Print what an attacker finds in each image."""
    frame = compare.surfaces(engine, images).T
    names = column_names(images)
    frame.columns = pd.Index(names)
    shown = frame.rename_axis("found").reset_index()
    show(shown, "What an attacker finds", (), {"found": "", **{name: printable(name) for name in names}})


def _print_places(difference: Difference) -> None:
    if not difference.changes:
        out.print(f"\n{_pair(difference)}: the same files, as far as size, mode and owner tell.")
        return
    frame = difference.places
    places = (
        frame["path"]
        .mask(frame["is_rest"], frame["path"] + " (the rest of it)")
        .mask(frame["path"] == "", "elsewhere")
    )
    counts = ", ".join(f"{count:,} {change}" for change, count in difference.counts.items())
    show(
        frame.assign(path=places), f"Where the difference is, {_pair(difference)} (files: {counts})", _MB,
        path="where", bytes_before="MB before", bytes_after="MB after", difference="difference", added="added",
        removed="removed", changed="changed",
    )  # fmt: skip


def _print_owners(difference: Difference) -> None:
    frame = difference.owners[difference.owners["change"] != "same"]
    if frame.empty:
        return
    before, after = frame["version_before"], frame["version_after"]
    changed = (before != "") & (after != "") & (before != after)
    frame = frame.assign(version=after.mask(after == "", before).mask(changed, before + " → " + after))
    shown, others = frame.head(OWNERS), frame.iloc[OWNERS:]
    if len(others):
        sums = {name: others[name].sum() for name in _MB}
        rest = pd.DataFrame([{"owner": f"{len(others):,} others", "version": "", "change": "", **sums}])
        shown = pd.concat([shown, rest])
    show(
        shown, f"Whose the difference is, {_pair(difference)}", _MB, owner="whose", change="change",
        version="version", bytes_before="MB before", bytes_after="MB after", difference="difference",
    )  # fmt: skip


def _print_layers(difference: Difference) -> None:
    frame = difference.layers
    show(
        frame.assign(instruction=frame["instruction"].map(lambda text: shorten(text, 70))),
        f"How the layers differ, {_pair(difference)}", _MB, change="change", index_before="layer before",
        index_after="after", bytes_before="MB before", bytes_after="MB after", difference="difference",
        instruction="instruction",
    )  # fmt: skip


def _print_paths(difference: Difference) -> None:
    frame = difference.paths
    if frame.empty:
        return
    largest = frame.reindex(frame["difference"].abs().sort_values(ascending=False, kind="stable").index).head(PATHS)
    show(
        largest, f"The largest paths that differ, {_pair(difference)}", change="change", what="what",
        bytes_before="bytes before", bytes_after="after", difference="difference", owner="whose", path="path",
    )  # fmt: skip
    if len(frame) > len(largest):
        out.print(f"and {len(frame) - len(largest):,} more: --json --paths has them all")


def _print_settings(images: Sequence[Image]) -> None:
    frame = compare.settings(images)
    if frame.empty:
        out.print("\nTheir configurations say the same.")
        return
    for column in frame.columns[1:]:
        frame[column] = [text if pd.isna(text) else shorten(text, SETTING) for text in frame[column]]
    headings = {column: printable(column) for column in frame.columns}
    show(frame, "What their configurations say differently", (), headings)


def _pair(difference: Difference) -> str:
    return f"from {printable(difference.before.name)} to {printable(difference.after.name)}"
