"""Advice about RUNs that take away what an earlier layer has stored: a layer never shrinks another."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from layerlab.dockerfile import Instruction
from layerlab.dockerfile.commands import Command
from layerlab.image.layer import DIRECTORY, FILE
from layerlab.ui.units import how_large, listed
from layerlab.xray.advice.model import SMALLEST, Advice, Edit, View
from layerlab.xray.edits import InstructionChange, neighbours
from layerlab.xray.effects import Effect
from layerlab.xray.waste.bytes_by_cause import METADATA, NOTHING, Needless

_OWNING: Final = frozenset({"chown", "chmod", "chgrp"})
_USUAL: Final = 0o755  # the mode of a folder that nobody has said anything about


def merge_runs(view: View) -> list[Advice]:
    """Neighbouring RUNs, the later of which deletes or overwrites what the earlier have stored: make them one."""
    stored: dict[tuple[int, int], list[Needless]] = {}  # facts, by the layers that store and take away
    for row in view.rows:
        if row.by_layer is not None:
            stored.setdefault((row.layer, row.by_layer), []).append(row)
    found = []
    for stage in view.traced.origins.layer_history.stages:
        for group in neighbours(view.dockerfile, stage.index):
            lines = [each.line for each in group if each.line in view.by_line]
            layers = [view.by_line[line] for line in lines]
            pairs = {
                pair: rows
                for pair, rows in stored.items()
                if pair[0] in layers and pair[1] in layers and sum(row.bytes for row in rows) >= SMALLEST
            }
            for first, last in _spans(pairs):
                span = [(line, layer) for line, layer in zip(lines, layers, strict=True) if first <= layer <= last]
                inside = [rows for (low, high), rows in pairs.items() if first <= low and high <= last]
                found += _one_run(view, span, inside)
    return found


def _one_run(view: View, span: list[tuple[int, int]], inside: list[list[Needless]]) -> list[Advice]:
    lines = [line for line, _ in span]
    effect = Effect(merged=(frozenset(layer for _, layer in span),))
    largest = max(inside, key=lambda rows: sum(row.bytes for row in rows))
    size, cause = sum(row.bytes for row in largest), largest[0].cause.partition(":")[0]
    stores, takes = view.instructions[largest[0].layer], view.instructions[largest[0].by_layer or 0]
    if cause == "deleted":
        done, fate = "deletes", "it stays in its layer"
    else:
        done, fate = "stores again" if largest[0].cause in {METADATA, NOTHING} else "replaces", "the layers hold both"
    why = f"line {takes.line} {done} {how_large(size)} that line {stores.line} has stored, and {fate}"
    title = f"make lines {listed(lines)} one RUN"
    return view.advise(title, why, lines[0], Edit(merges=(frozenset(lines),)), effect)


def copy_with_owner(view: View) -> list[Advice]:
    """A RUN that changes owner or mode of what a COPY has brought: let COPY do it."""
    found: list[Advice] = []
    by_run: dict[int, list[Needless]] = {}
    for row in view.rows:
        instruction = view.instructions.get(row.layer)
        if (
            row.cause == METADATA
            and row.by_layer is not None
            and instruction
            and instruction.keyword in {"COPY", "ADD"}
        ):
            by_run.setdefault(row.by_layer, []).append(row)
    for layer, rows in by_run.items():
        run = view.instructions.get(layer)
        if run is not None and run.keyword == "RUN" and run.line in view.by_line:
            found += _copy_flags(view, run, layer, rows)
    return found


def _copy_flags(view: View, run: Instruction, layer: int, rows: list[Needless]) -> list[Advice]:
    merged = view.stack.merged
    changes: list[InstructionChange] = []
    again: list[int] = []
    copies = sorted({row.layer for row in rows})
    kinds = set()
    is_all = True
    for stored in copies:
        entries = [view.stack.entry_at(layer, merged.paths[row.entry]) for row in rows if row.layer == stored]
        new = [entry for entry in entries if entry is not None]
        rows_of = [row.entry for row in rows if row.layer == stored]
        of_layer = view.stack.layers[stored]
        if len(set(rows_of)) != len(set(of_layer.inodes[of_layer.kinds == FILE].tolist())):
            is_all = False
            continue  # not all that COPY has brought
        flags = _flags(view, rows_of, new)
        copy = view.instructions[stored]
        if flags is None or copy.line not in view.by_line or copy.flag("chown") or copy.flag("chmod"):
            is_all = False
            continue
        kinds |= {flag.partition("=")[0] for flag in flags}
        changes += [InstructionChange(copy.line, "flag", flag) for flag in flags]
        again += new
    if not changes:
        return []
    is_all = is_all and len(rows) == sum(row.by_layer == layer for row in view.rows)
    is_all = is_all and not _changes_more(view, run, layer, set(copies))
    changed = _without_recursion(view, run, kinds) if is_all else []
    lines = sorted({change.line for change in changes})
    size = sum(int(merged.sizes[entry]) for entry in again)
    what = f"COPY in line{'s' * (len(lines) > 1)} {listed(lines)}"
    title = f"give {what} {listed(sorted(kinds))}, and take -R from line {run.line}"
    why = f"line {run.line} changes owner or mode alone, and so stores {how_large(size)} a second time"
    edit = Edit(changes=(*changes, *changed)) if changed else None
    return view.advise(title, why, run.line, edit, view.removing(again))


def _changes_more(view: View, run: Instruction, layer: int, copies: set[int]) -> bool:
    """Whether a RUN gives owner or mode to more than what these COPYs have brought and the folders that it names."""
    merged = view.stack.merged
    named = {word.rstrip("/") for command in _owning(view, run) for word in command.words[1:]}
    for index in range(int(merged.starts[layer]), int(merged.starts[layer + 1])):
        path, is_folder = merged.paths[index], merged.kinds[index] == DIRECTORY
        lower = next(view.stack.entries_below(layer, path), None)
        if lower is None:  # the RUN has made it
            is_usual = not is_folder or merged.modes[index] & 0o7777 == _USUAL
            is_more = bool(merged.uids[index] or merged.gids[index]) or not is_usual
        else:
            columns = (merged.uids, merged.gids, merged.modes)
            is_same = all(column[index] == column[lower] for column in columns)
            is_more = is_folder and not is_same and int(merged.layers[lower]) not in copies
        if is_more and path not in named:
            return True
    return False


def _owning(view: View, run: Instruction) -> list[Command]:
    """The commands of a RUN that change owners or modes."""
    return [each for each in view.commands(run) if each.name in _OWNING]


def _flags(view: View, old: list[int], new: list[int]) -> list[str] | None:
    """The flags of COPY that give files what a RUN gave them afterwards; None if no one flag gives it to all."""
    merged = view.stack.merged
    flags = []
    if any(
        merged.uids[a] != merged.uids[b] or merged.gids[a] != merged.gids[b] for a, b in zip(old, new, strict=False)
    ):
        owners = {(int(merged.uids[entry]), int(merged.gids[entry])) for entry in new}
        if len(owners) != 1:
            return None
        uid, gid = next(iter(owners))
        flags.append(f"--chown={uid}:{gid}")
    if [merged.modes[entry] for entry in old] != [merged.modes[entry] for entry in new]:
        modes = {int(merged.modes[entry]) for entry in new}
        if len(modes) != 1 or not next(iter(modes)) & 0o111:  # folders get it, too
            return None
        flags.append(f"--chmod={next(iter(modes)):o}")
    return flags or None


def _without_recursion(view: View, run: Instruction, kinds: set[str]) -> list[InstructionChange]:
    """What makes a RUN change only the folders that it names, so that it stores no file again."""
    names = {kind.removeprefix("--") for kind in kinds}
    recursive = _owning(view, run)
    tools = {command.name for command in recursive}
    if run.is_json or run.heredocs or not tools <= names:
        return []
    flag = r"(?:-R|--recursive)"
    changes = [InstructionChange(run.line, "replace", r"\1", rf"(\b{tool})\s+{flag}(?=\s)") for tool in sorted(tools)]
    return changes if all({"-R", "--recursive"} & set(command.words[:2]) for command in recursive) else []


def _spans(pairs: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Intervals that overlap, put together; those that only touch stay apart."""
    found: list[tuple[int, int]] = []
    for low, high in sorted(pairs):
        if found and low < found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], high))
        else:
            found.append((low, high))
    return found
