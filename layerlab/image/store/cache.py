"""What was learnt about layers, kept between runs.

An entry belongs to what was really read: its key says what that was (a directory of this engine with its inode and
times, or the digest of the bytes that went by), and the entry repeats its whole key. A file that is damaged, was
written by something else, or belongs to another key is as good as none, and is written anew. The files hold arrays
and JSON, nothing that runs when it is loaded.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import zipfile
from collections.abc import Callable, Iterable, Mapping
from itertools import islice, pairwise
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from layerlab.image.layer import KINDS, Claim, Layer
from layerlab.paths import cache_directory, write_whole

FORMAT: Final = 3
"""Part of every key: raise it when what a scan finds changes."""
LARGEST_CACHE: Final = 200_000_000
"""Bytes of all entries; beyond it those that were not used for longest are removed."""

_SOME: Final = 10_000
"""Paths that are encoded or decoded at once: all of them would take twice their memory."""
_ARRAYS: Final = {
    "kinds": np.uint8, "sizes": np.int64, "modes": np.int64, "uids": np.int64, "gids": np.int64,
    "inodes": np.int32, "folders": np.int32,
}  # fmt: skip
_Stored = TypeVar("_Stored")
_UNREADABLE: Final = (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile)


def key(*parts: object) -> str:
    """The key of what these parts tell apart from everything else."""
    return json.dumps([FORMAT, *parts])


def directory_key(what: str, path: str, diff_id: str) -> str:
    """The key of what is known about the directory of an engine's layer.

    An engine never changes a layer's directory. Path, inode and times together name it: another engine at the same
    place gives its directories other random names, and whatever is put there later has another time of change,
    which cannot be set.

    Raises:
        OSError: it is not there.
    """
    status = os.stat(path)  # noqa: PTH116
    return key(what, path, diff_id, status.st_dev, status.st_ino, status.st_mtime_ns, status.st_ctime_ns)


def load_layer(key: str) -> Layer | None:
    """The layer that was stored under this key; None if there is none that can be used."""
    return _load(key, _unpack)


def store_layer(key: str, layer: Layer) -> None:
    """Keep a layer under this key. Where nothing can be written, nothing is kept."""
    _write(key, lambda file: np.savez(file, allow_pickle=False, **_pack(layer, key)))


def load_document(key: str) -> dict[str, Any] | None:
    """The JSON object that was stored under this key; None if there is none that can be used."""
    document = _load(key, lambda described, _: described["document"])
    return document if isinstance(document, dict) else None


def store_document(key: str, document: Mapping[str, Any]) -> None:
    """Keep a JSON object under this key."""
    text = json.dumps({"key": key, "document": document}).encode()
    _write(key, lambda file: np.savez(file, allow_pickle=False, described=np.frombuffer(text, dtype=np.uint8)))


def prune(largest: int = LARGEST_CACHE) -> None:
    """Remove the entries that were not used for longest, until the rest have at most so many bytes."""
    with contextlib.suppress(OSError), os.scandir(_folder()) as entries:
        found = [(status.st_mtime, status.st_size, entry.path) for entry in entries if (status := entry.stat())]
        total = 0
        for _, size, path in sorted(found, reverse=True):
            total += size
            if total > largest:
                os.unlink(path)  # noqa: PTH108


def _folder() -> Path:
    folder = cache_directory() / "layers"
    folder.mkdir(exist_ok=True, mode=0o700)
    return folder


def _path(key: str) -> Path:
    return _folder() / f"{hashlib.sha256(key.encode()).hexdigest()[:40]}.npz"


def _load(key: str, unpack: Callable[[dict[str, Any], Mapping[str, NDArray[Any]]], _Stored]) -> _Stored | None:
    try:
        path = _path(key)
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        described = json.loads(arrays["described"].tobytes())
        if described["key"] != key:
            return None
        found = unpack(described, arrays)
    except _UNREADABLE:
        return None
    with contextlib.suppress(OSError):
        os.utime(path)
    return found


def _write(key: str, write: Any) -> None:
    with contextlib.suppress(OSError):
        write_whole(_path(key), write)


def _pack(layer: Layer, key: str) -> dict[str, NDArray[Any]]:
    described = {
        "key": key,
        "implied": layer.implied,
        "borrowed": layer.borrowed,
        "whiteouts": layer.whiteouts,
        "opaques": layer.opaques,
        "links": layer.links,
        "claims": [[*claim[:4], len(claim.paths)] for claim in layer.claims],
    }
    claimed = [path for claim in layer.claims for path in claim.paths]
    return {
        "described": np.frombuffer(json.dumps(described).encode(), dtype=np.uint8),
        "paths": _join(layer.paths),
        "claimed": _join(claimed),
        **{name: getattr(layer, name) for name in _ARRAYS},
    }


def _unpack(described: dict[str, Any], stored: Mapping[str, NDArray[Any]]) -> Layer:
    """A layer from what was stored.

    Raises:
        ValueError, KeyError, TypeError: it is not what `_pack` makes of a layer.
    """
    paths, claimed = _split(stored["paths"]), _split(stored["claimed"])
    columns = {name: stored[name] for name in _ARRAYS}
    count = len(paths)
    for name, column in columns.items():
        if column.shape != (count,) or column.dtype != _ARRAYS[name]:
            raise ValueError("not the columns of a layer")
    if count and not (
        columns["kinds"].max() < len(KINDS)
        and columns["sizes"].min() >= 0
        and columns["inodes"].min() >= 0
        and (columns["inodes"] <= np.arange(count)).all()
        and columns["folders"].min() >= -1
        and (columns["folders"] < np.arange(count)).all()
    ):
        raise ValueError("not the columns of a layer")
    indexes = [*described["implied"], *(index for index, _ in described["borrowed"])]
    if indexes and not 0 <= min(indexes) <= max(indexes) < count:
        raise ValueError("not the entries of a layer")
    claims, start = [], 0
    for source, manager, name, version, length in described["claims"]:
        claims.append(Claim(source, manager, name, version, claimed[start : start + length]))
        start += length
    return Layer(
        paths=paths,
        implied=tuple(described["implied"]),
        borrowed=tuple((index, target) for index, target in described["borrowed"]),
        whiteouts=tuple(described["whiteouts"]),
        opaques=tuple(described["opaques"]),
        links=described["links"],
        claims=tuple(claims),
        **columns,
    )


def _join(texts: Iterable[str]) -> NDArray[np.uint8]:
    # No path has a null byte; each is followed by one, so that no paths differ from one empty path.
    joined = bytearray()
    rest = iter(texts)
    while some := list(islice(rest, _SOME)):
        joined += "\0".join([*some, ""]).encode("utf-8", "surrogateescape")
    return np.frombuffer(joined, dtype=np.uint8)


def _split(joined: NDArray[np.uint8]) -> list[str]:
    texts: list[str] = []
    ends = np.flatnonzero(joined == 0)[_SOME - 1 :: _SOME].tolist()
    for start, end in pairwise([0, *(end + 1 for end in ends), len(joined)]):
        texts += joined[start:end].tobytes().decode("utf-8", "surrogateescape").split("\0")[:-1]
    return texts
