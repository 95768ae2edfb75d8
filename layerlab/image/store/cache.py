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
from collections.abc import Iterable, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from layerlab.image.layer import Claim, Layer
from layerlab.paths import cache_directory, write_whole

FORMAT: Final = 6  # part of every key: raise it when what a scan finds changes
LARGEST_CACHE: Final = 200_000_000  # bytes of all entries; beyond it those that were not used for longest are removed

_COLUMNS: Final = ("kinds", "sizes", "modes", "uids", "gids", "inodes", "folders")
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
    with contextlib.suppress(*_UNREADABLE):
        described, arrays = _load(key)
        claimed = iter(_split(arrays["claimed"]))
        return Layer(
            paths=_split(arrays["paths"]),
            borrowed=tuple((index, target) for index, target in described["borrowed"]),
            whiteouts=tuple(described["whiteouts"]),
            opaques=tuple(described["opaques"]),
            links=described["links"],
            claims=tuple(
                Claim(source, manager, name, version, list(islice(claimed, count)))
                for source, manager, name, version, count in described["claims"]
            ),
            **{name: arrays[name] for name in _COLUMNS},
        )
    return None


def store_layer(key: str, layer: Layer) -> None:
    """Keep a layer under this key. Where nothing can be written, nothing is kept."""
    described = {
        "borrowed": layer.borrowed,
        "whiteouts": layer.whiteouts,
        "opaques": layer.opaques,
        "links": layer.links,
        "claims": [[*claim[:4], len(claim.paths)] for claim in layer.claims],
    }
    claimed = [path for claim in layer.claims for path in claim.paths]
    columns = {name: getattr(layer, name) for name in _COLUMNS}
    _store(key, described, paths=_join(layer.paths), claimed=_join(claimed), **columns)


def load_document(key: str) -> dict[str, Any] | None:
    """The JSON object that was stored under this key; None if there is none that can be used."""
    with contextlib.suppress(*_UNREADABLE):
        document: dict[str, Any] = _load(key)[0]["document"]
        return document
    return None


def store_document(key: str, document: Mapping[str, Any]) -> None:
    """Keep a JSON object under this key."""
    _store(key, {"document": document})


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


def _load(key: str) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """What was stored under this key; any of `_UNREADABLE` is raised if there is nothing that can be used."""
    path = _path(key)
    with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
        arrays = {name: stored[name] for name in stored.files}
    described: dict[str, Any] = json.loads(arrays["described"].tobytes())
    if described["key"] != key:
        raise ValueError("of another key")
    with contextlib.suppress(OSError):
        os.utime(path)
    return described, arrays


def _store(key: str, described: Mapping[str, Any], **arrays: NDArray[Any]) -> None:
    text = np.frombuffer(json.dumps({"key": key, **described}).encode(), dtype=np.uint8)
    with contextlib.suppress(OSError):
        write_whole(_path(key), lambda file: np.savez(file, allow_pickle=False, described=text, **arrays))


def _join(texts: Iterable[str]) -> NDArray[np.uint8]:
    # No path has a null byte; each is followed by one, so that no paths differ from one empty path.
    return np.frombuffer("\0".join([*texts, ""]).encode("utf-8", "surrogateescape"), dtype=np.uint8)


def _split(joined: NDArray[np.uint8]) -> list[str]:
    return joined.tobytes().decode("utf-8", "surrogateescape").split("\0")[:-1]
