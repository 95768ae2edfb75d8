"""How a second image differs from a first one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from layerlab.compare import groups
from layerlab.compare.changes import PathChange, Side, changes
from layerlab.compare.groups import LayerPair, OwnerPair, Place
from layerlab.compare.image_settings import Setting, settings
from layerlab.image import Image
from layerlab.ui.text import shown

if TYPE_CHECKING:
    import pandas as pd

_BYTES = {"bytes_before": "int64", "bytes_after": "int64", "difference": "int64"}


@dataclass(frozen=True, eq=False)
class Difference:
    """How a second image differs from a first one, in tables that each add up.

    Always: ``owners.difference.sum() == layers.difference.sum() == after.total_bytes - before.total_bytes``;
    ``places.difference.sum() == paths.difference.sum() == after.live_bytes - before.live_bytes``.

    Attributes:
        before: The first image.
        after: The second one.
        layers: A row per layer, from the bottom: `change` str (same, changed, removed, added), `instruction` str,
            `index_before` Int64, `index_after` Int64 (missing where it is not there), `bytes_before` int64,
            `bytes_after` int64, `difference` int64. Same is what both have under one digest; changed is what the
            same instruction made, between those.
        owners: A row per owner, the largest difference first: `change` str, `owner` str (a package, or ``(app)`` or
            another part for what no package owns, or ``waste``), `version_before` str, `version_after` str (empty
            where there is none), `bytes_before`, `bytes_after`, `difference` int64.
        places: The few folders and files that matter, the largest first: `path` str (empty for all others),
            `is_rest` bool (places below it have rows of their own), `bytes_before`, `bytes_after`, `difference`
            int64 (of the changed paths alone), `added`, `removed`, `changed` int64 (files).
        paths: A row per path that differs: `path` str, `change` str (added, removed, changed), `what` str (kind,
            size, mode, uid, gid; see `layerlab.compare.changes`), `kind` str (in the second image, else in the
            first), `owner` str, `bytes_before`, `bytes_after`, `difference` int64.
        settings: See `layerlab.compare.image_settings`.
    """

    before: Image
    after: Image

    @cached_property
    def sides(self) -> tuple[Side, Side]:
        """What both have at which path."""
        return Side(self.before), Side(self.after)

    @cached_property
    def changes(self) -> list[PathChange]:
        """The paths that differ."""
        return changes(*self.sides)

    @cached_property
    def layer_pairs(self) -> list[LayerPair]:
        """The layers of both."""
        return groups.layers(self.before, self.after)

    @cached_property
    def owner_pairs(self) -> list[OwnerPair]:
        """The owners of both."""
        return groups.owners(self.before, self.after, self.sides)

    @cached_property
    def main_places(self) -> list[Place]:
        """Where most of the difference is."""
        return groups.places(self.changes, self.sides)

    @cached_property
    def counts(self) -> dict[str, int]:
        """How many regular files were added, removed and changed, by these words."""
        return groups.counts(self.changes, self.sides)

    @cached_property
    def changed_settings(self) -> list[Setting]:
        """The settings in which they do not agree."""
        return [setting for setting in settings([self.before, self.after]) if setting.differs]

    @property
    def layers(self) -> pd.DataFrame:
        """A row per layer."""
        rows = [_layer(pair) for pair in self.layer_pairs]
        kinds = {"change": "str", "instruction": "str", "index_before": "Int64", "index_after": "Int64", **_BYTES}
        return _frame(rows, kinds)

    @property
    def owners(self) -> pd.DataFrame:
        """A row per owner."""
        kinds = {"change": "str", "owner": "str", "version_before": "str", "version_after": "str", **_BYTES}
        return _frame([_owner(pair) for pair in self.owner_pairs], kinds)

    @property
    def places(self) -> pd.DataFrame:
        """A row per place in which much is different."""
        counts = dict.fromkeys(["added", "removed", "changed"], "int64")
        kinds = {"path": "str", "is_rest": "bool", **_BYTES, **counts}
        return _frame([_place(place) for place in self.main_places], kinds)

    @property
    def paths(self) -> pd.DataFrame:
        """A row per path that differs."""
        texts = dict.fromkeys(["path", "change", "what", "kind", "owner"], "str")
        return _frame([self._path(change) for change in self.changes], {**texts, **_BYTES})

    @property
    def settings(self) -> pd.DataFrame:
        """A row per setting in which they do not agree."""
        from layerlab import compare  # noqa: PLC0415  # it imports this module

        return compare.settings([self.before, self.after])

    def document(self, *, paths: bool = False) -> dict[str, Any]:
        """The same as plain data, for JSON; without the paths if they are not asked for."""
        described: dict[str, Any] = {
            "from": self.before.name,
            "to": self.after.name,
            "bytes": self.after.total_bytes - self.before.total_bytes,
            "live_bytes": self.after.live_bytes - self.before.live_bytes,
            "files": self.counts,
            "layers": [_layer(pair) for pair in self.layer_pairs],
            "owners": [_owner(pair) for pair in self.owner_pairs if pair.change != "same"],
            "places": [_place(place) for place in self.main_places],
            "settings": [
                {"setting": one.name, "before": one.values[0], "after": one.values[1]}
                for one in self.changed_settings
            ],
        }
        if paths:
            described["paths"] = [self._path(change) for change in self.changes]
        return described

    def _path(self, change: PathChange) -> dict[str, Any]:
        image, side, index = self.before, self.sides[0], change.before
        if change.after >= 0:
            image, side, index = self.after, self.sides[1], change.after
        owner = int(side.owners[index])
        return {
            "path": shown(change.path),
            "change": change.change,
            "what": change.what,
            "kind": side.kind(index),
            "owner": image.stack.ownership.packages[owner].owner if owner >= 0 else "",
            **_bytes(change.bytes_before, change.bytes_after),
        }


def _layer(pair: LayerPair) -> dict[str, Any]:
    return {
        "change": pair.change,
        "instruction": shown(pair.instruction),
        "index_before": pair.before,
        "index_after": pair.after,
        **_bytes(pair.bytes_before, pair.bytes_after),
    }


def _owner(pair: OwnerPair) -> dict[str, Any]:
    return {
        "change": pair.change,
        "owner": shown(pair.owner),
        "version_before": shown(pair.version_before),
        "version_after": shown(pair.version_after),
        **_bytes(pair.bytes_before, pair.bytes_after),
    }


def _place(place: Place) -> dict[str, Any]:
    return {
        "path": shown(place.path),
        "is_rest": place.is_rest,
        **_bytes(place.bytes_before, place.bytes_after),
        "added": place.added,
        "removed": place.removed,
        "changed": place.changed,
    }


def _bytes(before: int, after: int) -> dict[str, int]:
    return {"bytes_before": before, "bytes_after": after, "difference": after - before}


def _frame(rows: Sequence[dict[str, Any]], kinds: dict[str, str]) -> pd.DataFrame:
    import pandas as pd  # noqa: PLC0415  # takes longer than looking at an image

    return pd.DataFrame([list(row.values()) for row in rows], columns=list(kinds)).astype(kinds)
