"""What an image could do without, by cause: facts about what no container sees, judgements about what one sees.

`layerlab.xray.waste.bytes_by_cause` says what the causes are. Whatever is asked, no byte is in two of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from layerlab.image import Image
from layerlab.image.layer import FILE
from layerlab.image.store.file_reader import FileReader
from layerlab.ui.progress import Report, silent
from layerlab.xray.waste.bytes_by_cause import (
    CAUSES,
    FACTS,
    JUDGEMENTS,
    Cause,
    Needless,
    grouped,
    rows,
    totals,
)

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "CAUSES",
    "FACTS",
    "JUDGEMENTS",
    "Cause",
    "Needless",
    "causes",
    "grouped",
    "owners",
    "rows",
    "totals",
]


def causes(image: Image, reader: FileReader | None = None, report: Report = silent) -> pd.DataFrame:
    """What an image could do without, by cause and place.

    Args:
        image: What `layerlab.image.read` gave.
        reader: Its files' bytes (`layerlab.image.store.file_reader.for_image`), which are read where that takes to
            compare them. None for what can be told without: nothing is compared, and neither files with the same
            content nor debug symbols are looked for.
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
    import pandas as pd  # noqa: PLC0415  # takes longer than looking at an image, and `document` needs none

    kinds: dict[str, Any] = {
        "cause": pd.CategoricalDtype(list(CAUSES)),
        "is_fact": "bool",
        **dict.fromkeys(["bytes", "files", "layer"], "int64"),
        **dict.fromkeys(["line", "by_layer", "by_line"], "Int64"),
        **dict.fromkeys(["details", "examples"], "object"),
    }
    found = grouped(image.stack, rows(image.stack, reader, report))
    return pd.DataFrame(map(vars, found), columns=list(kinds)).astype(kinds)


def owners(image: Image) -> list[dict[str, Any]]:
    """Whose the live bytes are, the most first: `owner` (empty for nobody's), `version`, `files`, `bytes`."""
    stack = image.stack
    packages, numbers = stack.ownership.packages, stack.ownership.owners
    bytes_of = np.zeros(len(packages) + 1, dtype=np.int64)
    files_of = np.zeros(len(packages) + 1, dtype=np.int64)
    np.add.at(bytes_of, numbers, stack.live_sizes[stack.visible])  # nobody is -1, the last
    np.add.at(files_of, numbers, (stack.merged.kinds[stack.visible] == FILE).astype(np.int64))
    names = [*((package.owner, package.version) for package in packages), ("", "")]
    found = [
        {"owner": owner, "version": version, "files": int(files_of[number]), "bytes": int(bytes_of[number])}
        for number, (owner, version) in enumerate(names)
        if files_of[number]
    ]
    return sorted(found, key=lambda each: -each["bytes"])
