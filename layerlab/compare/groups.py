"""Where the difference between two images is: by layer, by owner, by folder. Each of these adds up to the whole."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Final, NamedTuple

from layerlab.compare.changes import ADDED, CHANGED, CHANGES, REMOVED, SAME, PathChange, Side
from layerlab.image import Image
from layerlab.image.layer import FILE
from layerlab.image.packages import PARTS

WASTE: Final = "waste"
"""What no container can see; in place of an owner, and of a part."""
PLACES: Final = 12
_SHARES: Final = (64, 48, 32, 24, 16)  # of all that is different, what is worth a line: the finest that fits


class LayerPair(NamedTuple):
    """A layer of two images, or of one of them.

    Attributes:
        change: ``same`` (one layer that both have), ``changed`` (the same instruction made another layer),
            ``removed`` or ``added``.
        instruction: What made it, as its history has it.
        before: Its index in the first image; None if that has not got it.
        after: Its index in the second image.
        bytes_before: What it stores there; 0 if it is not there.
        bytes_after: What it stores there; 0 if it is not there.
    """

    change: str
    instruction: str
    before: int | None
    after: int | None
    bytes_before: int
    bytes_after: int


class OwnerPair(NamedTuple):
    """An owner's files in two images.

    Attributes:
        change: ``same`` (not a byte more, no other version), ``changed``, ``removed`` or ``added``.
        owner: A package such as ``dpkg:gcc-14``; ``(app)`` or another part in brackets for what no package owns;
            `WASTE` for what no container can see.
        version_before: Its version in the first image; of several, all; empty where it has none.
        version_after: The same in the second image.
        bytes_before: The bytes of its files in the first image.
        bytes_after: The same in the second image.
    """

    change: str
    owner: str
    version_before: str
    version_after: str
    bytes_before: int
    bytes_after: int


@dataclass
class Place:
    """A folder or a file, and what is different at it and below.

    Attributes:
        path: Absolute; empty for all that is in none of the other places.
        is_rest: Whether places below it have lines of their own, and are not counted here.
        bytes_before: What the changed paths have in the first image.
        bytes_after: What they have in the second image.
        added, removed, changed: How many files (and links and their like, but no directories).
    """

    path: str
    is_rest: bool = False
    bytes_before: int = 0
    bytes_after: int = 0
    added: int = 0
    removed: int = 0
    changed: int = 0

    @property
    def difference(self) -> int:
        """How many bytes the second image has more."""
        return self.bytes_after - self.bytes_before

    @property
    def moved(self) -> int:
        """How much there is to see: bytes that came and bytes that went do not cancel out."""
        return self.bytes_before + self.bytes_after

    def take(self, other: Place) -> None:
        """Add what another place has."""
        self.bytes_before += other.bytes_before
        self.bytes_after += other.bytes_after
        self.added += other.added
        self.removed += other.removed
        self.changed += other.changed


def layers(before: Image, after: Image) -> list[LayerPair]:
    """The layers of both, from the bottom; those of the first come first where they part.

    Layers are the same if their content has the same digest. Between those, one that was made by the same
    instruction as one of the other image has changed.
    """
    one, other = before.stack, after.stack
    found: list[LayerPair] = []
    for change, *span in SequenceMatcher(None, one.diff_ids, other.diff_ids, autojunk=False).get_opcodes():
        old, new = range(*span[:2]), range(*span[2:])
        if change == "equal":
            found += [_layer(before, after, a, b, SAME) for a, b in zip(old, new, strict=True)]
            continue
        words = [one.instructions[a] for a in old], [other.instructions[b] for b in new]
        for step, *inner in SequenceMatcher(None, *words, autojunk=False).get_opcodes():
            left, right = old[slice(*inner[:2])], new[slice(*inner[2:])]
            if step == "equal":
                found += [_layer(before, after, a, b, CHANGED) for a, b in zip(left, right, strict=True)]
            else:
                found += [_layer(before, after, a, None, REMOVED) for a in left]
                found += [_layer(before, after, None, b, ADDED) for b in right]
    return found


def _layer(before: Image, after: Image, old: int | None, new: int | None, change: str) -> LayerPair:
    one, other = before.stack, after.stack
    instruction = other.instructions[new] if new is not None else one.instructions[old or 0]
    stored = 0 if old is None else one.layer_bytes[old], 0 if new is None else other.layer_bytes[new]
    return LayerPair(change, instruction, old, new, *stored)


def owners(before: Image, after: Image, sides: tuple[Side, Side]) -> list[OwnerPair]:
    """All owners of both, those with the largest difference first; the differences add up to the images'."""
    old, new = _owned(before, sides[0]), _owned(after, sides[1])
    found = []
    for owner in sorted(old.keys() | new.keys()):
        was, now = old.get(owner), new.get(owner)
        (version_before, bytes_before), (version_after, bytes_after) = was or ("", 0), now or ("", 0)
        if was is None or now is None:
            change = REMOVED if now is None else ADDED
        else:
            change = SAME if was == now else CHANGED
        found.append(OwnerPair(change, owner, version_before, version_after, bytes_before, bytes_after))
    return sorted(found, key=lambda pair: -abs(pair.bytes_after - pair.bytes_before))


def owned_bytes(image: Image) -> dict[str, int]:
    """The bytes of each owner in an image, waste among them; their sum is the image's total."""
    return {owner: count for owner, (_, count) in _owned(image, Side(image)).items()}


def _owned(image: Image, side: Side) -> dict[str, tuple[str, int]]:
    """The version and the bytes of each owner."""
    packages = image.stack.ownership.packages
    versions: dict[str, set[str]] = defaultdict(set)
    for package in packages:
        versions[package.owner].add(package.version)
    sums = dict.fromkeys(versions, 0)
    for owner, part, count in zip(side.owners.tolist(), side.parts.tolist(), side.bytes.tolist(), strict=True):
        name = packages[owner].owner if owner >= 0 else f"({PARTS[part]})"
        sums[name] = sums.get(name, 0) + count
    sums[WASTE] = image.wasted_bytes
    return {
        name: (", ".join(sorted(versions.get(name, ()))), count)
        for name, count in sums.items()
        if count or name in versions
    }


def places(changes: Iterable[PathChange], sides: tuple[Side, Side], limit: int = PLACES) -> list[Place]:
    """The folders and files in which most of the difference is, the largest first, and last what is elsewhere.

    Their differences add up to that of the bytes that containers see. A folder is named where what is different in
    it is worth a line once the places below it that have lines of their own are left out.

    Args:
        changes: What has changed.
        sides: The two images.
        limit: How many places to name at most.
    """
    own = _by_path(changes, sides)
    if not own:
        return []
    places = list(own.values())
    number = {path: index for index, path in enumerate(own)}
    parents = [number[path.rpartition("/")[0]] for path in own]
    moved = [place.moved for place in places]
    heavy: list[int] = []
    for share in (*_SHARES, limit):
        heavy = _heavy(moved, parents, max(sum(moved) / share, 1))
        if len(heavy) <= limit:
            break
    named = set(heavy)
    for index, (place, parent) in enumerate(zip(places[:-1], parents, strict=False)):
        if index not in named:
            places[parent].take(place)
        places[parent].is_rest |= place.is_rest or index in named
    rest = places[-1]
    shown = sorted((places[index] for index in heavy), key=lambda place: (-place.moved, place.path))
    return [*shown, *([rest] if rest.moved or rest.added or rest.removed or rest.changed else [])]


def _heavy(moved: Sequence[int], parents: Sequence[int], threshold: float) -> list[int]:
    """The places that have so many bytes without the places below them that are named, too.

    These are the hierarchical heavy hitters of Cormode, Korn, Muthukrishnan and Srivastava (2003). Places come before
    the folders that they lie in, and the root is the last one; it is never named.
    """
    left = list(moved)
    named = []
    for index in range(len(left) - 1):
        if left[index] >= threshold:
            named.append(index)
        else:
            left[parents[index]] += left[index]
    return named


def _by_path(changes: Iterable[PathChange], sides: tuple[Side, Side]) -> dict[str, Place]:
    """A place for each path that has changed and for each folder above it, the deepest first and the root last."""
    found: dict[str, Place] = {}
    for change in changes:
        side, index = (sides[0], change.before) if change.after < 0 else (sides[1], change.after)
        place = found.setdefault(change.path, Place(change.path))
        place.bytes_before, place.bytes_after = change.bytes_before, change.bytes_after
        setattr(place, change.change, int(side.kind(index) != "directory"))
        parent = change.path.rpartition("/")[0]
        while parent not in found:
            found[parent] = Place(parent)
            parent = parent.rpartition("/")[0]
    return {path: found[path] for path in sorted(found, key=lambda path: path.count("/"), reverse=True)}


def counts(changes: Sequence[PathChange], sides: tuple[Side, Side]) -> dict[str, int]:
    """How many regular files were added, removed and changed."""
    found = dict.fromkeys(CHANGES, 0)
    for change in changes:
        kinds = [
            side.kinds[index] for side, index in zip(sides, (change.before, change.after), strict=True) if index >= 0
        ]
        found[change.change] += FILE in kinds
    return found
