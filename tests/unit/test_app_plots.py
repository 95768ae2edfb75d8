"""Random plots."""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from app import plots, queries

LIMITS = next(parameter for parameter in queries.PLOT if parameter.name == "size").schema()
SVG = "{http://www.w3.org/2000/svg}"


def digest(kind: str, file_format: str, seed: int) -> str:
    return hashlib.sha256(plots.draw(kind, seed, 200, file_format)).hexdigest()


def digests(seed: int) -> dict[str, str]:
    """A digest of each kind and format of plot with this seed."""
    return {
        f"{kind}.{file_format}": digest(kind, file_format, seed)
        for kind, file_format in product(plots.KINDS, plots.FORMATS)
    }


@pytest.mark.slow
@pytest.mark.parametrize("kind", plots.KINDS)
@given(width=st.integers(LIMITS["minimum"], LIMITS["maximum"]), seed=st.integers(0, queries.MAX_SEED))
@settings(deadline=None, max_examples=5)
def test_a_png_has_the_size_that_was_asked_for(kind: str, width: int, seed: int) -> None:
    """It decodes without an error, to exactly as many pixels, and is not blank."""
    picture = Image.open(io.BytesIO(plots.draw(kind, seed, width, "png")))
    picture.load()

    assert picture.format == "PNG"
    assert picture.size == (width, width * 5 // 8)
    darkest, lightest = picture.convert("L").getextrema()  # type: ignore[misc]  # a pair, for one band
    assert darkest < lightest


def test_every_size_that_is_allowed_is_exact() -> None:
    """No width or height is lost to rounding between pixels and inches."""
    widths = range(LIMITS["minimum"], LIMITS["maximum"] + 1)

    assert all(int(width / plots.DPI * plots.DPI) == width for width in widths)
    assert all(int(plots.height_of(width) / plots.DPI * plots.DPI) == plots.height_of(width) for width in widths)


@pytest.mark.parametrize("kind", plots.KINDS)
def test_an_svg_has_the_size_that_was_asked_for(kind: str) -> None:
    """It parses as SVG, and its size in points is three quarters of that in CSS pixels."""
    root = ElementTree.fromstring(plots.draw(kind, 1, 640, "svg"))  # noqa: S314  # our own file

    assert root.tag == f"{SVG}svg"
    assert (root.get("width"), root.get("height")) == ("480pt", "300pt")


def test_an_svg_tells_no_time() -> None:
    """Nothing in it says when it was drawn."""
    assert b"<dc:date>" not in plots.draw("walk", 1, 320, "svg")


@pytest.mark.slow
def test_the_same_seed_gives_the_same_bytes_in_threads() -> None:
    """Drawn by eight threads at once, every picture is byte for byte the one drawn alone."""
    wanted = list(product(plots.KINDS, plots.FORMATS)) * 3

    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda one: digest(*one, seed=1), wanted))

    assert together == list(digests(1).values()) * 3


PROGRAM = """
import hashlib, json, sys
from app import plots
drawn = {
    f"{kind}.{file_format}": hashlib.sha256(plots.draw(kind, 3, 200, file_format)).hexdigest()
    for kind in plots.KINDS for file_format in plots.FORMATS
}
print(json.dumps([drawn, "matplotlib.pyplot" in sys.modules]))
"""


@pytest.mark.slow
def test_the_same_seed_gives_the_same_bytes_in_another_process() -> None:
    """A new process draws the same bytes, and never loads pyplot, whose registry threads would share."""
    root = Path(plots.__file__).parent.parent

    done = subprocess.run([sys.executable, "-c", PROGRAM], cwd=root, capture_output=True, check=True, timeout=120)

    assert json.loads(done.stdout) == [digests(3), False]


def test_another_seed_gives_another_picture() -> None:
    """The seed matters, for every kind."""
    one, other = digests(1), digests(2)

    assert all(one[name] != other[name] for name in one)
