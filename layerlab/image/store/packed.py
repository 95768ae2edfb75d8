"""What a registry would send of an image: its layers as gzip packs them, estimated from samples of an export."""

from __future__ import annotations

import json
import zlib
from contextlib import suppress
from typing import Final

from layerlab.engine import Engine
from layerlab.image import Image
from layerlab.image.formats.stream import Stream
from layerlab.image.formats.tar import members
from layerlab.image.store import sources
from layerlab.paths import cache_directory, read_object, write_whole

_PIECE: Final = 2**18
_EVERY: Final = 16  # pieces of a layer of which one is packed
_SMALL: Final = 32 * 2**20  # bytes of a layer that is packed whole
_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"


def packed_bytes(engine: Engine, image: Image) -> int:
    """About how many bytes are pulled by whoever has none of an image's layers; known layers are not packed again.

    Raises:
        EngineGone: the engine stopped answering.

    >>> from layerlab import demo
    >>> image = demo.read(engine, "optimized")
    >>> 0.2 < packed_bytes(engine, image) / image.total_bytes < 0.6
    True
    """
    file = cache_directory() / "packed-bytes.json"
    known = read_object(file)
    if not known.keys() >= set(image.stack.diff_ids):
        known |= _exported(engine, image)
        with suppress(OSError):  # a cache that cannot be written
            write_whole(file, lambda fresh: fresh.write(json.dumps(known).encode()))
    return sum(int(known[diff_id]) for diff_id in image.stack.diff_ids)


def _exported(engine: Engine, image: Image) -> dict[str, int]:
    """The packed bytes of each layer, by its diff id."""
    sizes: dict[str, int] = {}
    names: list[str] = []
    with sources.exported(engine, image.id) as pieces:
        stream = Stream(pieces)
        for member in members(stream):
            if member.name == "manifest.json":
                names = json.loads(stream.read(member.size))[0]["Layers"]
            elif member.kind == "0":
                sizes[member.name] = _packed(stream, member.size)
    # A layer that is the same as an earlier one may be a link to it.
    pairs = zip(image.stack.diff_ids, names, strict=True)
    return {diff_id: sizes[name] for diff_id, name in pairs if name in sizes}


def _packed(stream: Stream, size: int) -> int:
    if stream.peek(4).startswith((_GZIP, _ZSTD)):
        return size  # as it was pulled
    seen = packed = 0
    for number, start in enumerate(range(0, size, _PIECE)):
        piece = stream.read(min(_PIECE, size - start))
        if size <= _SMALL or number % _EVERY == 0:
            seen += len(piece)
            packed += len(zlib.compress(piece, 6))
    return round(packed * size / seen) if seen else 0
