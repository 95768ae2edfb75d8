"""How a second image differs from a first one: by layer, by owner, by folder, by path. Each adds up to the whole.

A path is ``added``, ``removed`` or ``changed``. What has changed is said in words: ``kind``, ``size``, ``mode``,
``uid``, ``gid``; ``shares`` where only the name changed under which the bytes of several hard links are counted.
The same inode of the same layer is the same. Beyond that files are not opened, so one of the same size, mode and
owner counts as the same, also where another layer stores it.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from layerlab.compare.image_settings import differing
from layerlab.image import Image
from layerlab.image.layer import DIRECTORY, FILE, KINDS
from layerlab.image.packages import PARTS
from layerlab.image.stack import LayerStack
from layerlab.ui.text import shown

if TYPE_CHECKING:
    import pandas as pd

WASTE: Final = "waste"  # what no container can see; in place of an owner, and of a part
ADDED, REMOVED, CHANGED, SAME = "added", "removed", "changed", "same"
PLACES: Final = 12
_SHARES: Final = (64, 48, 32, 24, 16)  # of all that is different, what is worth a line: the finest that fits
_LOOKS: Final = {"kinds": "kind", "sizes": "size", "modes": "mode", "uids": "uid", "gids": "gid"}
_BYTES: Final = {"bytes_before": "int64", "bytes_after": "int64", "difference": "int64"}


@dataclass(frozen=True, eq=False)
class Difference:
    """How a second image differs from a first one, in tables that each add up.

    Always: ``owners.difference.sum() == layers.difference.sum() == after.total_bytes - before.total_bytes``;
    ``places.difference.sum() == paths.difference.sum() == after.live_bytes - before.live_bytes``.
    """

    before: Image
    after: Image

    @cached_property
    def changes(self) -> list[dict[str, Any]]:
        """The rows of `paths`."""
        return sorted(_changes(self.before.stack, self.after.stack), key=lambda row: row["path"])

    @cached_property
    def counts(self) -> dict[str, int]:
        """How many regular files were added, removed and changed, by these words."""
        found = dict.fromkeys((ADDED, REMOVED, CHANGED), 0)
        for row in self.changes:
            found[row["change"]] += row["kind"] == KINDS[FILE]
        return found

    @property
    def layers(self) -> pd.DataFrame:
        """A row per layer, from the bottom; those of the first image come first where the two part.

        `change` str (same, changed, removed, added), `instruction` str, `index_before` Int64, `index_after` Int64
        (missing where it is not there), `bytes_before` int64, `bytes_after` int64, `difference` int64. Same is what
        both have under one digest; changed is what the same instruction made, between those.
        """
        kinds = {"change": "str", "instruction": "str", "index_before": "Int64", "index_after": "Int64", **_BYTES}
        return _frame(_layers(self.before.stack, self.after.stack), kinds)

    @property
    def owners(self) -> pd.DataFrame:
        """A row per owner, the largest difference first.

        `change` str, `owner` str (a package, or ``(app)`` or another part for what no package owns, or ``waste``),
        `version_before` str, `version_after` str (empty where there is none), `bytes_before`, `bytes_after`,
        `difference` int64.
        """
        texts = dict.fromkeys(["change", "owner", "version_before", "version_after"], "str")
        return _frame(self._owners, {**texts, **_BYTES})

    @property
    def places(self) -> pd.DataFrame:
        """The few folders and files that matter, the largest first.

        `path` str (empty for all others), `is_rest` bool (places below it have rows of their own), `bytes_before`,
        `bytes_after`, `difference` int64 (of the changed paths alone), `added`, `removed`, `changed` int64 (files).
        """
        counts = dict.fromkeys([ADDED, REMOVED, CHANGED], "int64")
        return _frame(self._places, {"path": "str", "is_rest": "bool", **_BYTES, **counts})

    @property
    def paths(self) -> pd.DataFrame:
        """A row per path that differs.

        `path` str, `change` str (added, removed, changed), `what` str (kind, size, mode, uid, gid; see the module),
        `kind` str (in the second image, else in the first), `owner` str, `bytes_before`, `bytes_after`, `difference`
        int64.
        """
        texts = dict.fromkeys(["path", "change", "what", "kind", "owner"], "str")
        return _frame(self.changes, {**texts, **_BYTES})

    @property
    def settings(self) -> pd.DataFrame:
        """See `layerlab.compare.settings`."""
        from layerlab import compare  # noqa: PLC0415  # it imports this module

        return compare.settings([self.before, self.after])

    def document(self, *, paths: bool = False) -> dict[str, Any]:
        """The same as plain data, for JSON; without the paths if they are not asked for."""
        settings = differing([self.before, self.after]).items()
        described: dict[str, Any] = {
            "from": self.before.name,
            "to": self.after.name,
            "bytes": self.after.total_bytes - self.before.total_bytes,
            "live_bytes": self.after.live_bytes - self.before.live_bytes,
            "files": self.counts,
            "layers": list(_layers(self.before.stack, self.after.stack)),
            "owners": [row for row in self._owners if row["change"] != SAME],
            "places": self._places,
            "settings": [{"setting": name, "before": old, "after": new} for name, (old, new) in settings],
        }
        if paths:
            described["paths"] = self.changes
        return described

    @cached_property
    def _owners(self) -> list[dict[str, Any]]:
        old, new = _owned(self.before), _owned(self.after)
        rows = []
        for owner in sorted(old.keys() | new.keys()):
            was, now = old.get(owner), new.get(owner)
            change = ADDED if was is None else REMOVED if now is None else SAME if was == now else CHANGED
            (version_before, bytes_before), (version_after, bytes_after) = was or ("", 0), now or ("", 0)
            versions = {"version_before": shown(version_before), "version_after": shown(version_after)}
            rows.append({"change": change, "owner": shown(owner), **versions, **_bytes(bytes_before, bytes_after)})
        return sorted(rows, key=lambda row: -abs(row["difference"]))

    @cached_property
    def _places(self) -> list[dict[str, Any]]:
        return _main_places(self.changes)


def _changes(before: LayerStack, after: LayerStack) -> Iterator[dict[str, Any]]:
    stacks = before, after
    paths, later_paths = ([stack.merged.paths[index] for index in stack.visible.tolist()] for stack in stacks)
    sizes, later_sizes = (stack.live_sizes[stack.visible] for stack in stacks)
    columns = [[getattr(stack.merged, name)[stack.visible] for stack in stacks] for name in _LOOKS]

    def row(change: str, what: str, old: int, new: int) -> dict[str, Any]:
        stack, index = (after, new) if new >= 0 else (before, old)
        entry = int(stack.visible[index])
        return {
            "path": shown(stack.merged.paths[entry]),
            "change": change,
            "what": what,
            "kind": KINDS[stack.merged.kinds[entry]],
            "owner": stack.owner_names.get(entry, ""),
            **_bytes(int(sizes[old]) if old >= 0 else 0, int(later_sizes[new]) if new >= 0 else 0),
        }

    places = {path: index for index, path in enumerate(later_paths)}
    partner = np.fromiter((places.get(path, -1) for path in paths), np.int64, len(paths))
    for index in np.flatnonzero(partner < 0).tolist():
        yield row(REMOVED, "", index, -1)
    is_new = np.ones(len(later_paths), dtype=bool)
    is_new[partner[partner >= 0]] = False
    for index in np.flatnonzero(is_new).tolist():
        yield row(ADDED, "", -1, index)
    old = np.flatnonzero(partner >= 0)
    new = partner[old]
    differs = [one[old] != other[new] for one, other in columns]
    moved = sizes[old] != later_sizes[new]
    for place in np.flatnonzero(np.any([*differs, moved], axis=0)).tolist():
        words = [word for word, column in zip(_LOOKS.values(), differs, strict=True) if column[place]]
        yield row(CHANGED, ", ".join(words) or "shares", int(old[place]), int(new[place]))


def _layers(before: LayerStack, after: LayerStack) -> Iterator[dict[str, Any]]:
    def row(change: str, old: int | None, new: int | None) -> dict[str, Any]:
        instruction = after.instructions[new] if new is not None else before.instructions[old or 0]
        return {
            "change": change,
            "instruction": shown(instruction),
            "index_before": old,
            "index_after": new,
            **_bytes(0 if old is None else before.layer_bytes[old], 0 if new is None else after.layer_bytes[new]),
        }

    for is_same, old, new in _matched(before.diff_ids, after.diff_ids):
        if is_same:
            yield from map(row, [SAME] * len(old), old, new)
            continue
        words = [before.instructions[a] for a in old], [after.instructions[b] for b in new]
        for is_same_step, left, right in _matched(*words):
            if is_same_step:
                yield from (row(CHANGED, old[a], new[b]) for a, b in zip(left, right, strict=True))
            else:
                yield from (row(REMOVED, old[a], None) for a in left)
                yield from (row(ADDED, None, new[b]) for b in right)


def _matched(one: list[str], other: list[str]) -> Iterator[tuple[bool, range, range]]:
    """Stretches of two lists that are the same, and what stands between them."""
    for change, *span in SequenceMatcher(None, one, other, autojunk=False).get_opcodes():
        yield change == "equal", range(*span[:2]), range(*span[2:])


def _owned(image: Image) -> dict[str, tuple[str, int]]:
    """The version and the bytes of each owner."""
    stack = image.stack
    packages, owners, sizes = stack.ownership.packages, stack.ownership.owners, stack.live_sizes[stack.visible]
    versions: dict[str, set[str]] = defaultdict(set)
    for package in packages:
        versions[package.owner].add(package.version)
    sums = dict.fromkeys(versions, 0)
    for owner, part, count in zip(owners.tolist(), stack.parts.tolist(), sizes.tolist(), strict=True):
        name = packages[owner].owner if owner >= 0 else f"({PARTS[part]})"
        sums[name] = sums.get(name, 0) + count
    sums[WASTE] = image.wasted_bytes
    return {
        name: (", ".join(sorted(versions.get(name, ()))), count)
        for name, count in sums.items()
        if count or name in versions
    }


def _main_places(changes: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """The folders and files in which most of the difference is, the largest first, and last what is elsewhere.

    Their differences add up to that of the bytes that containers see. A folder is named where what is different in
    it is worth a line once the places below it that have lines of their own are left out: these are the hierarchical
    heavy hitters of Cormode, Korn, Muthukrishnan and Srivastava (2003).
    """
    places: dict[str, Counter[str]] = {"": Counter()}  # bytes, and how many files (but no directories), by path
    for row in changes:
        path, is_counted = row["path"], int(row["kind"] != KINDS[DIRECTORY])
        found = {"before": row["bytes_before"], "after": row["bytes_after"], row["change"]: is_counted}
        places.setdefault(path, Counter()).update(found)
        while (path := path.rpartition("/")[0]) not in places:
            places[path] = Counter()
    *inner, _ = sorted(places, key=lambda path: path.count("/"), reverse=True)  # the deepest first, without the root
    # Bytes that came and bytes that went do not cancel out.
    moved = {path: place["before"] + place["after"] for path, place in places.items()}
    named: set[str] = set()
    for share in (*_SHARES, PLACES):
        left, named, least = dict(moved), set(), max(sum(moved.values()) / share, 1)
        for path in inner:
            if left[path] >= least:
                named.add(path)
            else:
                left[path.rpartition("/")[0]] += left[path]
        if len(named) <= PLACES:
            break
    rests = set()  # below which others have lines of their own
    for path in inner:
        parent = path.rpartition("/")[0]
        if path not in named:
            places[parent].update(places[path])
        if path in named or path in rests:
            rests.add(parent)
    largest = sorted(named, key=lambda path: (-places[path]["before"] - places[path]["after"], path))
    return [
        {
            "path": path,
            "is_rest": path in rests,
            **_bytes(places[path]["before"], places[path]["after"]),
            **{change: places[path][change] for change in (ADDED, REMOVED, CHANGED)},
        }
        for path in (*largest, *([""] if any(places[""].values()) else []))
    ]


def _bytes(before: int, after: int) -> dict[str, int]:
    return {"bytes_before": before, "bytes_after": after, "difference": after - before}


def _frame(rows: Iterable[dict[str, Any]], kinds: dict[str, str]) -> pd.DataFrame:
    import pandas as pd  # noqa: PLC0415  # takes longer than looking at an image

    return pd.DataFrame([list(row.values()) for row in rows], columns=list(kinds)).astype(kinds)
