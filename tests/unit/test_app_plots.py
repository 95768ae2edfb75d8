"""Random plots."""

from __future__ import annotations

import hashlib
import io
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from app import plots, queries

LIMITS = next(parameter for parameter in queries.PLOT if parameter.name == "size").schema()
SVG = "{http://www.w3.org/2000/svg}"


def digests(seed: int) -> dict[str, str]:
    """A digest of each kind and format of plot with this seed."""
    return {
        f"{kind}.{file_format}": hashlib.sha256(plots.draw(kind, seed, 320, file_format)).hexdigest()
        for kind, file_format in product(plots.KINDS, plots.FORMATS)
    }


@pytest.mark.parametrize("kind", plots.KINDS)
@given(width=st.integers(LIMITS["minimum"], LIMITS["maximum"]), seed=st.integers(0, queries.MAX_SEED))
@settings(deadline=None, max_examples=6)
def test_a_png_has_the_size_that_was_asked_for(kind: str, width: int, seed: int) -> None:
    """It decodes without an error, to exactly as many pixels, and is not blank."""
    picture = Image.open(io.BytesIO(plots.draw(kind, seed, width, "png")))
    picture.load()

    assert picture.format == "PNG"
    assert picture.size == (width, width * 5 // 8)
    assert len(np.unique(np.asarray(picture).reshape(-1, 4), axis=0)) > 10


def test_every_size_that_is_allowed_is_exact() -> None:
    """No width or height is lost to rounding between pixels and inches."""
    widths = range(LIMITS["minimum"], LIMITS["maximum"] + 1)

    assert all(int(width / plots.DPI * plots.DPI) == width for width in widths)
    assert all(
        int(plots.height_of(width) / plots.DPI * plots.DPI) == plots.height_of(width) for width in widths
    )


@pytest.mark.parametrize("kind", plots.KINDS)
def test_an_svg_has_the_size_that_was_asked_for(kind: str) -> None:
    """It parses as SVG, and its size in points is three quarters of that in CSS pixels."""
    root = ElementTree.fromstring(plots.draw(kind, 1, 640, "svg"))  # noqa: S314  # our own file

    assert root.tag == f"{SVG}svg"
    assert (root.get("width"), root.get("height")) == ("480pt", "300pt")


def test_an_svg_tells_no_time() -> None:
    """Nothing in it says when it was drawn."""
    assert b"<dc:date>" not in plots.draw("walk", 1, 320, "svg")


def test_the_same_seed_gives_the_same_bytes_in_threads() -> None:
    """Drawn by eight threads at once, every picture is byte for byte the one drawn alone."""
    seeds = range(6)
    alone = [digests(seed) for seed in seeds]

    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(digests, [*seeds, *seeds]))

    assert together == alone + alone


def test_the_same_seed_gives_the_same_bytes_in_another_process() -> None:
    """A new process, with hashes salted otherwise, draws the same bytes."""
    program = f"from {__name__} import digests; import json; print(json.dumps(digests(3)))"
    root = Path(plots.__file__).parent.parent

    done = subprocess.run(
        [sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=True, timeout=120
    )

    import json

    assert json.loads(done.stdout) == digests(3)


def test_another_seed_gives_another_picture() -> None:
    """The seed matters, for every kind."""
    one, other = digests(1), digests(2)

    assert all(one[name] != other[name] for name in one)


def test_pyplot_is_not_loaded() -> None:
    """The registry of figures that threads would share is never even imported."""
    program = "import app.wsgi, sys; app.wsgi.app.test_client().get('/plot'); print('matplotlib.pyplot' in sys.modules)"
    root = Path(plots.__file__).parent.parent

    done = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True, timeout=120)

    assert done.stdout == "False\n", done.stderr
