"""The largest folders of an image as a table: what is left of the explorer where nothing can run."""

from __future__ import annotations

import html
from typing import Final

import pandas as pd

from layerlab.image import Image
from layerlab.ui.text import printable
from layerlab.ui.units import tenths

DEPTH: Final = 3
COUNT: Final = 15


def largest(image: Image, count: int = COUNT, depth: int = DEPTH) -> pd.DataFrame:
    """The folders with the most bytes, the largest first, and all that lies elsewhere.

    Args:
        image: The image.
        count: How many folders.
        depth: How many parts their paths have; a file that lies higher counts for the folder that it lies in.

    Returns:
        `path` str (empty for what lies elsewhere), `bytes` int64, `files` int64. The sum of `bytes` is the image's
        `live_bytes`.
    """
    files = image.files[image.files["kind"] == "file"]
    parents = ["/".join(path.split("/")[:-1][: depth + 1]) or "/" for path in files["path"]]
    folder = pd.Series(parents, index=files.index, dtype="object")
    sums = files.groupby(folder)["bytes"].agg(["sum", "count"]).sort_values("sum", ascending=False, kind="stable")
    shown = [(str(path), int(row["sum"]), int(row["count"])) for path, row in sums.head(count).iterrows()]
    rest = sums.iloc[count:]
    if len(rest):
        shown.append(("", int(rest["sum"].sum()), int(rest["count"].sum())))
    return pd.DataFrame(shown, columns=["path", "bytes", "files"]).astype(
        {"path": "str", "bytes": "int64", "files": "int64"}
    )


def by_owner(image: Image) -> pd.DataFrame:
    """What owners have of an image, as `layerlab.plots.owners` draws it."""
    table = image.files.assign(image=image.name, name=image.files["owner"])
    return table.groupby(["image", "name", "part"], observed=True)["bytes"].sum().reset_index()


def in_words(image: Image) -> str:
    """The table as HTML on one line, folded; of a class that nbval's sanitiser leaves out."""
    rows = "".join(
        f'<tr><th scope="row" style="text-align:left;font-weight:normal">{_name(path)}</th>'
        f'<td style="text-align:right">{tenths(count)}</td><td style="text-align:right">{files:,}</td></tr>'
        for path, count, files in largest(image).itertuples(index=False)
    )
    head = "".join(f'<th scope="col">{text}</th>' for text in ("folder", "MB", "files"))
    return (
        '<details class="picture-in-words"><summary>The largest folders as a table</summary>'
        '<table><caption style="text-align:left;white-space:nowrap">What a container sees, by folder</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></details>"
    )


def _name(path: str) -> str:
    return f"<bdi>{html.escape(printable(path))}</bdi>" if path else "elsewhere"
