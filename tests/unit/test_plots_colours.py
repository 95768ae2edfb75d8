"""Colours that colour-blind people tell apart, and labels that are shortened without misleading."""

from __future__ import annotations

import itertools
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from layerlab.plots import labels, style
from layerlab.report.explorer.bundle import ASSETS
from tests.unit.pictures import contrast

pytestmark = pytest.mark.slow  # drawing takes long: ./lab test --fast does without


# Colour vision deficiency of severity 1 in linear RGB: Machado, Oliveira and Fernandes, "A Physiologically-based
# Model for Simulation of Color Vision Deficiency", IEEE TVCG 15(6), 2009, table 1.
DEFICIENCIES = {
    "none": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}
# sRGB to XYZ under D65 (IEC 61966-2-1), and the white point.
TO_XYZ = [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
WHITE = [0.95047, 1.0, 1.08883]


def lab(colour: str, deficiency: str) -> np.ndarray:
    """A colour's place in CIE 1976 L*a*b*, as seen with a deficiency."""
    srgb = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    seen = np.clip(np.asarray(DEFICIENCIES[deficiency]) @ linear, 0, 1)
    x, y, z = np.cbrt(np.asarray(TO_XYZ) @ seen / WHITE)  # the linear part near black matters to none of these
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


TOGETHER = {
    "parts": list(style.PARTS.values()),
    "staircase": [style.STORED, style.LIVE, style.PARTS["waste"], style.REMOVED],
    "waste": [style.LIVE, *style.CAUSES.values()],
    "rebuilds": [style.RAN, style.CACHED],
    "dockerfile": [style.STORED, style.RAN],
}


THEMES: dict[str, dict[str, str]] = {"light": {}, "dark": style.DARK}


class TestColours:
    @pytest.mark.parametrize("deficiency", DEFICIENCIES)
    @pytest.mark.parametrize("looks", TOGETHER.values(), ids=TOGETHER)
    @pytest.mark.parametrize("theme", THEMES.values(), ids=THEMES)
    def test_looks_keep_apart(self, looks: list[style.Look], theme: dict[str, str], deficiency: str) -> None:
        """Any two looks of one picture are at least 15 apart in L*a*b* (2.3 is just seen), or differ in hatching."""
        for one, other in itertools.combinations(looks, 2):
            fills = [theme.get(look.fill, look.fill) for look in (one, other)]
            distance = float(np.linalg.norm(lab(fills[0], deficiency) - lab(fills[1], deficiency)))
            assert distance >= 15 or (one.fill == other.fill and one.hatch != other.hatch), (one, other)

    @pytest.mark.parametrize("theme", THEMES.values(), ids=THEMES)
    def test_outlines_stand_out(self, theme: dict[str, str]) -> None:
        """What a fill near the card's colour does not show, its outline does: contrast at least 3 (WCAG 2.2)."""
        for look in itertools.chain(*TOGETHER.values()):
            assert contrast(theme.get(look.edge, look.edge), theme.get(style.CARD, style.CARD)) >= 3

    def test_dark_colours_are_the_explorer_s(self) -> None:
        """What stands beside the explorer on a dark page has its colours, as far as it has them."""
        _, _, dark = (ASSETS / "explorer.css").read_text().partition('[data-theme="dark"]')
        explored = re.findall(r"--(?:background|text|muted|rule|folder|live): (#\w+);", dark)

        assert [colour.upper() for colour in explored] == list(style.DARK.values())[:-1]


class TestLabels:
    @given(st.text(max_size=400), st.floats(0.3, 4))
    def test_shortened_text_fits(self, text: str, width: float) -> None:
        """Whatever the text, it is no wider than its place, and unchanged where it fits."""
        cleaned = labels.clean(text, "mono")
        short = labels.shorten(cleaned, width, 8.5, "mono")

        assert labels.text_width(short, 8.5, "mono") <= width
        assert short == cleaned or labels.text_width(cleaned, 8.5, "mono") > width

    @given(st.text())
    def test_clean_text_is_harmless(self, text: str) -> None:
        """What is drawn has no control, direction or surrogate character and no line break."""
        for character in labels.clean(text):
            assert character.isprintable()
            assert not 0xD800 <= ord(character) <= 0xDFFF

    def test_both_ends_are_kept(self) -> None:
        """A long instruction keeps its beginning and its end."""
        short = labels.shorten(
            "RUN apt-get update && apt-get install -y gcc && rm -rf /var/lib/apt/lists/*", 2.5, 8.5, "mono"
        )

        assert short.startswith("RUN apt-get update")
        assert short.endswith("/lists/*")
        assert labels.ELLIPSIS in short
