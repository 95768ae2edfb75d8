"""Random plots."""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.axes import Axes
from matplotlib.axis import Axis, Tick
from matplotlib.figure import Figure
from PIL import Image

from app import plots, queries

LIMITS = next(parameter for parameter in queries.PLOT if parameter.name == "size").schema()
SVG = "{http://www.w3.org/2000/svg}"


def drawn_plainly(kind: str, seed: int, width: int, file_format: str) -> bytes:
    """The same plot as Matplotlib's users draw it: a figure of its own, and everything placed by Matplotlib."""
    height = width * 5 // 8
    figure = Figure(figsize=(width / 96, height / 96), dpi=96)
    axes = figure.add_axes((60 / width, 48 / height, 1 - 76 / width, 1 - 80 / height), title=f"{kind}, seed {seed}")
    axes.spines[["top", "right"]].set_visible(False)
    plots.KINDS[kind](axes, np.random.default_rng(seed))
    file = io.BytesIO()
    figure.savefig(file, format=file_format, metadata={"Date": None} if file_format == "svg" else {})
    return file.getvalue()


def content(picture: bytes, file_format: str) -> bytes:
    """The pixels of a PNG; all of an SVG."""
    return Image.open(io.BytesIO(picture)).tobytes() if file_format == "png" else picture


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
@pytest.mark.parametrize("kind", plots.KINDS)
@given(
    wanted=st.lists(
        st.tuples(
            st.integers(0, queries.MAX_SEED),
            st.sampled_from([LIMITS["minimum"], 640, 640, 641, LIMITS["maximum"]]),
            st.sampled_from(["png", "png", "svg"]),
        ),
        min_size=2,
        max_size=6,
    )
)
@settings(deadline=None, max_examples=3)
def test_what_is_kept_changes_nothing(kind: str, wanted: list[tuple[int, int, str]]) -> None:
    """Whatever was drawn before, each picture is to the pixel the one that a figure of its own would show."""
    for seed, width, file_format in wanted:
        picture = plots.draw(kind, seed, width, file_format)

        assert content(picture, file_format) == content(drawn_plainly(kind, seed, width, file_format), file_format)


@pytest.mark.long
def test_many_seeds_in_a_row_are_drawn_right() -> None:
    """The same kind and size again and again, with numbers of different lengths at the ticks."""
    for seed in range(12):
        assert content(plots.draw("walk", seed, 320, "png"), "png") == content(
            drawn_plainly("walk", seed, 320, "png"), "png"
        )


def test_a_plot_that_fails_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a failure in the middle of drawing, the next picture is right, and drawing is not locked."""

    def fail(axes: Axes, random: np.random.Generator) -> None:
        axes.plot([0, 1000])
        raise MemoryError

    plots.draw("walk", 1, 320, "png")
    with monkeypatch.context() as patch:
        patch.setitem(plots.KINDS, "walk", fail)  # type: ignore[arg-type]  # a Mapping to others
        with pytest.raises(MemoryError):
            plots.draw("walk", 1, 320, "png")

    assert content(plots.draw("walk", 1, 320, "png"), "png") == content(drawn_plainly("walk", 1, 320, "png"), "png")


@pytest.mark.slow
def test_one_at_a_time_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight threads that want a plot draw one after the other."""
    inside, most = 0, 0

    def look(axes: Axes, random: np.random.Generator) -> None:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        time.sleep(0.01)  # the other threads may run
        inside -= 1

    monkeypatch.setitem(plots.KINDS, "walk", look)  # type: ignore[arg-type]  # a Mapping to others

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda seed: plots.draw("walk", seed, 240, "svg"), range(16)))

    assert most == 1


def test_what_never_moves_is_placed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """From the second plot on no tick is made, and where the title goes is not worked out."""
    plots.draw("walk", 1, 320, "png")
    made = []
    monkeypatch.setattr(Tick, "__init__", lambda *_, **__: made.append("tick"))
    monkeypatch.setattr(Axis, "get_tightbbox", lambda *_, **__: made.append("box"))

    plots.draw("walk", 1, 320, "png")

    assert made == []


@pytest.mark.long
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


@pytest.mark.long
def test_the_same_seed_gives_the_same_bytes_in_another_process() -> None:
    """A new process draws the same bytes, and never loads pyplot, whose registry threads would share."""
    root = Path(plots.__file__).parent.parent

    done = subprocess.run([sys.executable, "-c", PROGRAM], cwd=root, capture_output=True, check=True, timeout=120)

    assert json.loads(done.stdout) == [digests(3), False]


@pytest.mark.slow
def test_another_seed_gives_another_picture() -> None:
    """The seed matters, for every kind."""
    one, other = digests(1), digests(2)

    assert all(one[name] != other[name] for name in one)
