"""Every picture can be read: no text overlaps, all of it is large enough and stands out, and has words for it."""

from __future__ import annotations

import itertools
import re
from typing import Any
from xml.etree import ElementTree

import matplotlib as mpl
import pytest
from matplotlib._pylab_helpers import Gcf
from matplotlib.colors import to_hex
from nbformat.v4 import new_code_cell, new_notebook, new_output

from layerlab import plots
from layerlab.plots import Picture, labels, style
from tests.unit.pictures import (
    EVERY,
    PICTURES,
    contrast,
    parts_table,
    sizes_table,
    texts,
)

SVG = "{http://www.w3.org/2000/svg}"

pytestmark = pytest.mark.slow  # drawing takes long: ./lab test --fast does without


@pytest.fixture(scope="module")
def drawn() -> dict[str, Picture]:
    """Every picture, drawn once."""
    return {name: draw() for name, draw in EVERY.items()}


@pytest.mark.parametrize("name", EVERY)
class TestEveryPicture:
    def test_no_text_overlaps(self, drawn: dict[str, Picture], name: str) -> None:
        """No two texts touch, and none leaves the card, whatever the labels and numbers are."""
        figure = drawn[name].figure
        boxes = [(text.get_text(), text.get_window_extent()) for text in texts(figure)]
        width, height = figure.bbox.size

        for (one, a), (other, b) in itertools.combinations(boxes, 2):
            across = min(a.x1, b.x1) - max(a.x0, b.x0)
            down = min(a.y1, b.y1) - max(a.y0, b.y0)
            assert across < 1 or down < 1, (one, other)
        for text, box in boxes:
            assert box.x0 > 0 and box.y0 > 0 and box.x1 < width and box.y1 < height, text  # noqa: PT018

    def test_text_is_large_enough(self, drawn: dict[str, Picture], name: str) -> None:
        """Letters are set in at least 11 pixels of a page on which the picture is 900 pixels wide."""
        figure = drawn[name].figure
        pixel = figure.bbox.width / 900

        assert all(text.get_fontsize() * figure.dpi / 72 / pixel >= 11 for text in texts(figure))

    def test_text_stands_out(self, drawn: dict[str, Picture], name: str) -> None:
        """The contrast of each text to what lies behind it is at least 4.5 in both themes, as WCAG 2.2 asks."""
        for colour in {to_hex(text.get_color()).upper() for text in texts(drawn[name].figure)}:
            assert contrast(colour, style.CARD) >= 4.5
            assert contrast(style.DARK[colour], style.DARK[style.CARD]) >= 4.5

    def test_nothing_is_taken_for_a_formula(self, drawn: dict[str, Picture], name: str) -> None:
        """Dollar signs are dollar signs, and each text is one line of characters that its font has."""
        for text in texts(drawn[name].figure):
            assert not text.get_parse_math()
            assert not text.get_usetex()
            assert text.get_text().isprintable() or labels.UNKNOWN in text.get_text()

    def test_bars_stay_within_their_axes(self, drawn: dict[str, Picture], name: str) -> None:
        """No bar is cut off."""
        for axes in drawn[name].figure.axes:
            for patch in axes.patches:
                box = patch.get_extents()
                assert axes.bbox.x0 - 1 <= box.x0
                assert box.x1 <= axes.bbox.x1 + 1

    def test_the_alternative_text_is_one_plain_paragraph(self, drawn: dict[str, Picture], name: str) -> None:
        """It can be read out: sentences without line breaks or control characters, and not endless."""
        alt = drawn[name].alt

        assert alt.endswith(".")
        assert all(character.isprintable() or character == labels.UNKNOWN for character in alt)
        assert len(alt) < 2500


class TestPicture:
    @pytest.mark.parametrize("name", [*PICTURES, "a hostile Dockerfile", "12 images"])
    def test_it_can_be_rendered(self, drawn: dict[str, Picture], name: str) -> None:
        """The file is XML of 900 pixels, described by its text, and nothing in it is run or fetched."""
        picture = drawn[name]
        image = ElementTree.fromstring(picture.svg())  # noqa: S314  # our own file
        described = image.find(f"{SVG}desc")

        assert image.attrib["width"] == "900"
        assert described is not None
        assert described.text == picture.alt
        assert {each.tag.removeprefix(SVG) for each in image.iter()} <= {
            *("svg", "style", "desc", "defs", "g", "path", "use", "clipPath", "rect", "pattern"),
        }
        assert all(address.startswith("#") for address in re.findall('href="([^"]*)', picture.svg()))

    def test_it_follows_the_theme(self, drawn: dict[str, Picture]) -> None:
        """Every colour that has a dark one is asked for by its name, with the light one where no style sheet is."""
        written = drawn["waste"].svg()

        for light, dark in style.DARK.items():
            assert f"--{light[1:].lower()}: {dark};" in written
            assert not re.search(f"(?<!, ){light.lower()}", written)
        assert f"var(--{style.INK[1:].lower()}, {style.INK.lower()})" in written

    def test_the_text_form_holds_no_number(self) -> None:
        """The text form, which nbval compares, is the same on two machines whose images differ in size."""
        here, there = (plots.sizes(sizes_table(single=size, optimized=262)) for size in (1851, 1744))

        assert repr(here) == repr(there) == "<Picture: How large is each image?>"

    def test_a_notebook_gets_a_picture_and_its_words(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Displayed, it gives an SVG with its alternative text as metadata, then the same text to read."""
        picture = plots.sizes(sizes_table(single=1851, optimized=262))
        shown: list[tuple[dict[str, Any], dict[str, Any]]] = []
        monkeypatch.setattr(
            "IPython.display.display", lambda data, metadata=None, *, raw: shown.append((data, metadata))
        )
        picture._ipython_display_()
        (image, metadata), (words, _) = shown

        assert image == {"image/svg+xml": picture.svg(), "text/plain": repr(picture)}
        assert metadata == {"image/svg+xml": {"alt": picture.alt}}
        assert set(words) == {"text/html"}
        assert "single 1851 MB, optimized 262 MB" in words["text/html"]

    def test_the_words_are_escaped_html_on_one_line(self) -> None:
        """A hostile name is text in HTML, and a sanitiser's pattern for a line takes in all of the words."""
        picture = plots.sizes(sizes_table(**{'<img src=x onerror="x">': 1, "b\n": 2}))
        words = picture.in_words()

        assert "<img" not in words
        assert "&lt;img src=x" in words
        assert "\n" not in words

    def test_nbconvert_shows_it(self) -> None:
        """A page made from a notebook has it in an ``<img>``, in which nothing is run."""
        exporter = pytest.importorskip("nbconvert").HTMLExporter(template_name="classic")
        picture = plots.sizes(sizes_table(single=1851, optimized=262))
        data, metadata = picture._repr_mimebundle_()
        output = new_output("display_data", data=data, metadata=metadata)
        page, _ = exporter.from_notebook_node(new_notebook(cells=[new_code_cell(outputs=[output])]))

        assert 'src="data:image/svg+xml;base64,' in page
        assert "<svg" not in page

    def test_a_learner_s_settings_change_nothing(self) -> None:
        """The picture is the same to the byte under other rcParams, at drawing and at rendering."""
        usual = plots.parts(parts_table()).svg()
        settings = {
            "figure.dpi": 30, "figure.autolayout": True, "figure.facecolor": "black", "axes.facecolor": "red",
            "axes.grid": True, "text.color": "white", "font.size": 30, "font.family": "monospace",
            "hatch.linewidth": 5, "hatch.color": "white", "patch.linewidth": 4, "lines.linewidth": 9,
            "lines.marker": "o", "axes.xmargin": 0.4, "text.parse_math": True,
            "savefig.bbox": "tight", "savefig.facecolor": "red", "svg.fonttype": "none", "axes.unicode_minus": False,
        }  # fmt: skip
        with mpl.rc_context(settings):
            other = plots.parts(parts_table()).svg()

        assert other == usual

    def test_pyplot_holds_no_figure(self, drawn: dict[str, Picture]) -> None:
        """The pictures leave no global state behind, so that threads can draw, and nothing is kept in memory."""
        assert len(drawn) == len(EVERY)
        assert Gcf.get_all_fig_managers() == []
