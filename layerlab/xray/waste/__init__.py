"""What an image could do without, by cause: facts about what no container sees, judgements about what one sees.

`layerlab.xray.waste.bytes_by_cause` says what the causes are. Whatever is asked, no byte is in two of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from layerlab.image import Image
from layerlab.image.owners import owners
from layerlab.image.store.file_reader import FileReader
from layerlab.ui.progress import Report, silent
from layerlab.xray.waste.bytes_by_cause import CAUSES, FACTS, JUDGEMENTS, Needless, rows, totals
from layerlab.xray.waste.summary import Cause, Remark, grouped, remarks

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "CAUSES",
    "FACTS",
    "JUDGEMENTS",
    "Cause",
    "Needless",
    "Remark",
    "causes",
    "document",
    "files",
    "grouped",
    "remarks",
    "rows",
    "totals",
]


def document(image: Image, found: list[Needless] | None = None, *, read_contents: bool = False) -> dict[str, Any]:
    """What ``xray --json`` says of causes and owners, and what can be remarked without a Dockerfile.

    Args:
        image: The image.
        found: What `rows` gave; None for what can be told without reading contents.
        read_contents: Whether contents were read for it.
    """
    found = rows(image.stack) if found is None else found
    by_place = grouped(image.stack, found)
    return {
        "contents_read": read_contents,
        "causes": [cause.document() for cause in by_place],
        "owners": owners(image),
        "findings": [remark.document() for remark in remarks(image.stack, by_place)],
    }


def causes(image: Image, reader: FileReader | None = None, report: Report = silent) -> pd.DataFrame:
    """What an image could do without, by cause and place.

    Args:
        image: What `layerlab.image.read` gave.
        reader: Its files' bytes (`layerlab.image.store.file_reader.of`), which are read where that takes to compare
            them. None for what can be told without: nothing is compared, and neither files with the same content nor
            debug symbols are looked for.
        report: Is told what is being read.

    Returns:
        A row per cause, layer that stores it, and layer that took it away; facts first, then the most bytes:
        `cause` category (`CAUSES`), `is_fact` bool, `bytes` int64, `files` int64, `layer` int64, `line` Int64 (of the
        Dockerfile, where it is known), `by_layer` Int64 and `by_line` Int64 (what took it away; missing for
        judgements), `details` tuple of str (such as ``apt lists``, or packages; the most bytes first), `examples`
        tuple of str (the largest files' paths).
        Always: the bytes of the facts are the image's `wasted_bytes`, and those of the judgements at most its
        `live_bytes`.

    Raises:
        EngineGone: the engine stopped answering.
    """
    from layerlab.xray.waste import tables  # noqa: PLC0415  # imports pandas

    return tables.causes(grouped(image.stack, rows(image.stack, reader, report)))


def files(image: Image, reader: FileReader | None = None, report: Report = silent) -> pd.DataFrame:
    """The files that an image could do without; arguments and errors as for `causes`.

    Returns:
        A row per file: `path` str, `cause` category, `is_fact` bool, `detail` str, `bytes` int64 (what is not needed
        of it), `layer` int64, `line` Int64, `by_layer` Int64, `by_line` Int64, `like` str (for the same stack, the
        path that stays). Summed up by cause and place it is what `causes` returns.
    """
    from layerlab.xray.waste import tables  # noqa: PLC0415  # imports pandas

    return tables.files(image.stack, rows(image.stack, reader, report))
