"""The bytes of files as an engine's export holds them, or a file that ``docker save`` wrote: in one pass over it."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, Final, TypeVar

import docker.errors
import requests

from layerlab.engine import Engine, gone
from layerlab.engine.runs import container_labels
from layerlab.errors import ArchiveError
from layerlab.image.formats.changeset import absolute, followed
from layerlab.image.formats.compression import expanded, recognised
from layerlab.image.formats.expansion_limits import Budget
from layerlab.image.formats.stream import Hashed, Stream
from layerlab.image.formats.tar import BLOCK, Member, is_tar, members

_PIECE: Final = 2**20
_Found = TypeVar("_Found")

Parts = Iterator[tuple[int, Stream]]
"""The parts of an archive: their sizes, each with a stream whose next bytes it is."""


@contextmanager
def of_engine(engine: Engine, image_id: str) -> Iterator[Parts]:
    """The parts of what ``docker save`` sends.

    Raises:
        EngineGone: the engine stopped answering, also within the block.
    """
    try:
        with closing(engine.client.api.get_image(image_id, chunk_size=_PIECE)) as sent:
            yield _parts(Stream(sent))
    except docker.errors.APIError as error:
        raise ArchiveError("the engine sends no archive", remedy="see whether the image is still there") from error
    except requests.RequestException as error:
        raise gone(engine, error) from error


@contextmanager
def of_file(path: Path) -> Iterator[Parts]:
    """The parts of a file, or of a directory that is an OCI layout."""
    if path.is_dir():
        yield _blobs(path / "blobs" / "sha256")
        return
    with path.open("rb") as file:
        stream = Stream(iter(lambda: file.read(_PIECE), b""))
        known, budget = recognised(stream.peek(BLOCK)), Budget()
        yield _parts(Stream(expanded(budget.holding(stream.rest()), known, budget)) if known else stream)


def _parts(stream: Stream) -> Parts:
    for member in members(stream):
        if is_plain(member) and member.size:
            yield member.size, stream


def _blobs(folder: Path) -> Parts:
    for path in sorted(folder.iterdir()):
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with open(handle, "rb") as file:  # noqa: PTH123
            status = os.fstat(handle)
            if stat.S_ISREG(status.st_mode):
                yield status.st_size, Stream(iter(lambda file=file: file.read(_PIECE), b""))  # type: ignore[misc]


def collect(
    parts: Parts, names: dict[str, dict[str, int]], use: Callable[[Member, Iterator[bytes]], _Found]
) -> dict[int, _Found]:
    """What `use` makes of files in one pass.

    Args:
        parts: Of the archive. Layers come in any order and are known by the digest of what was read.
        names: By layer digest, the paths that are wanted, each with the number under which it is returned.
        use: Is given a file's entry and the pieces of its content.

    Raises:
        ArchiveError: the archive is damaged.
    """
    paths = {path for wanted in names.values() for path in wanted}
    found: dict[int, _Found] = {}
    budget = Budget()
    for size, stream in parts:
        try:
            diff_id, read = _layer(stream, size, paths, use, budget)
        except ArchiveError:  # in a part that nobody may have asked for; what is wrong with the whole comes again
            continue
        for path, index in names.get(diff_id, {}).items():
            if path in read:
                found.setdefault(index, read[path])
    return found


def _layer(
    stream: Stream, size: int, paths: set[str], use: Callable[[Member, Iterator[bytes]], _Found], budget: Budget
) -> tuple[str, dict[str, _Found]]:
    """A part of an archive, if it is a layer: its digest, and what `use` makes of the files with these paths."""
    start = stream.peek(min(size, BLOCK))[:size]
    if is_tar(start):
        hashed = Hashed(stream.pieces(size))
    elif known := recognised(start):
        budget.hold(size)
        hashed = Hashed(expanded(stream.pieces(size), known, budget))
    else:
        return "", {}
    inner = Stream(hashed)
    if not is_tar(inner.peek(BLOCK)):
        return "", {}
    found = {}
    links: dict[str, str] = {}
    for member in members(inner):
        path = _placed(member.name, links)
        links.pop(path, None)
        if member.kind == "2":
            links[path] = member.link
        elif member.kind == "1" and (target := _placed(member.link, links)) in links:
            links[path] = links[target]
        elif is_plain(member) and path in paths:
            found[path] = use(member, inner.pieces(member.size))
    inner.drain()
    return hashed.digest, found


def _placed(name: str, links: dict[str, str]) -> str:
    """Where an entry of this name is, see `changeset`, given the symbolic links of the layer so far."""
    folder, _, base = absolute(name).rpartition("/")
    return f"{followed(folder, links.get)}/{base}"


def from_container(
    engine: Engine, image_id: str, path: str, use: Callable[[Member, Stream], _Found | None]
) -> _Found | None:
    """What `use` makes of a visible entry, as a container that is never started holds it.

    Raises:
        EngineGone: the engine stopped answering.
    """
    api = engine.client.api
    container = None
    try:
        path.encode()
        created: dict[str, Any] = api.create_container(image_id, ["none"], labels=container_labels(engine))
        container = str(created["Id"])
        pieces, _ = api.get_archive(container, path, chunk_size=_PIECE)
        with closing(pieces):
            stream = Stream(pieces)
            for member in members(stream):
                return use(member, stream)
    except (docker.errors.APIError, ArchiveError, UnicodeEncodeError):
        return None
    except requests.RequestException as error:
        raise gone(engine, error) from error
    finally:
        if container is not None:
            with suppress(docker.errors.APIError, requests.RequestException):
                api.remove_container(container, v=True, force=True)
    return None


def is_plain(member: Member) -> bool:
    """Whether the bytes that follow are those of a regular file; those of a sparse one are not all there."""
    return member.kind == "0" and member.size == member.apparent_size


def first(pieces: Iterable[bytes], limit: int) -> bytes:
    """The first bytes; the rest is left where it is."""
    found = b""
    for piece in pieces:
        found += piece[: limit - len(found)]
        if len(found) >= limit:
            break
    return found
