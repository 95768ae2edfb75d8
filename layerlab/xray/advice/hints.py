"""Advice that takes somebody who knows what the image is for: no program can make these edits."""

from __future__ import annotations

from layerlab.dockerfile.commands import installs_python
from layerlab.ui.units import how_large
from layerlab.xray import waste
from layerlab.xray.advice.model import Advice, View
from layerlab.xray.waste.bytes_by_cause import SAME
from layerlab.xray.waste.rules import BYTECODE, HEADERS, TOOLS


def copied_twice(view: View) -> list[Advice]:
    """Layers that store what another layer has already, at other paths."""
    groups: dict[tuple[int, int], list[int]] = {}
    merged = view.stack.merged
    for row in view.rows:
        if row.cause == SAME and row.like is not None and row.layer >= view.base_layers:
            groups.setdefault((row.layer, int(merged.layers[row.like])), []).append(row.entry)
    found: list[Advice] = []
    for (layer, of), entries in groups.items():
        mine, theirs = view.instructions.get(layer), view.instructions.get(of)
        source = theirs.flag("from") if theirs else None
        if theirs and source and mine and mine.keyword == "RUN" and installs_python(mine):
            title = f"use what line {theirs.line} copies from `{source}` instead of installing it again"
        elif of < view.base_layers:
            title = f"{_in_words(view, layer)} stores files again that the base image has"
        else:
            title = f"{_in_words(view, layer)} stores what {_in_words(view, of)} has brought already: keep one"
        example = merged.paths[max(entries, key=lambda entry: int(merged.sizes[entry]))]
        why = f"{len(entries)} files have the same content at another path, such as {example}"
        found += view.advise(title, why, mine.line if mine else None, None, view.removing(entries))
    return found


def tools_that_ship(view: View) -> list[Advice]:
    """Build tools and headers that were installed above the base."""
    found: list[Advice] = []
    by_layer: dict[int, list[tuple[int, str]]] = {}
    for row in view.rows:
        if row.cause in {TOOLS, HEADERS} and row.layer >= view.base_layers:
            by_layer.setdefault(row.layer, []).append((row.entry, row.detail))
    for layer, entries in by_layer.items():
        instruction = view.instructions.get(layer)
        sizes: dict[str, int] = {}
        for entry, detail in entries:
            sizes[detail] = sizes.get(detail, 0) + int(view.stack.merged.sizes[entry])
        largest = sorted(sizes, key=lambda detail: -sizes[detail])[:3]
        layer_name = _in_words(view, layer)
        found += view.advise(
            f"leave what only builds need out of {layer_name}: build in another stage, and copy the result",
            f"it ships {', '.join(f'{each} ({how_large(sizes[each])})' for each in largest)}",
            instruction.line if instruction else None,
            None,
            view.removing(entry for entry, _ in entries),
        )
    return found


def unused_bytecode(view: View) -> list[Advice]:
    """Bytecode that nothing reads."""
    rows = [row for row in view.rows if row.cause == BYTECODE]
    effect = view.removing(row.entry for row in rows if row.layer >= view.base_layers)
    reasons = " or ".join(sorted({row.detail for row in rows}))
    return view.advise("leave bytecode out that no interpreter reads", f"it is {reasons}", None, None, effect)


def unused_stages(view: View) -> list[Advice]:
    """Stages that contribute nothing: none that the image is made of takes anything from them."""
    needed = view.dockerfile.needed(view.traced.final)
    return [
        Advice(
            f"delete stage `{stage.label}`, or use it", "no stage that counts takes anything from it", stage.line, 0
        )
        for stage in view.dockerfile.stages
        if stage not in needed
    ]


def left_in_layers(view: View) -> list[Advice]:
    """What can be said without a Dockerfile: by layer, what was stored in vain."""
    by_place = waste.grouped(view.stack, view.rows)
    return [
        Advice(remark.title, remark.why, remark.line, remark.bytes)
        for remark in waste.remarks(view.stack, by_place)
        if remark.cause.is_fact or remark.cause.cause not in {TOOLS, HEADERS, SAME, BYTECODE}
    ]


def _in_words(view: View, layer: int) -> str:
    instruction = view.instructions.get(layer)
    return waste.layer_in_words(view.stack, layer, instruction.line if instruction else None)
