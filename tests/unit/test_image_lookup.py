"""Entries by path, against a dict."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from layerlab.image import lookup
from layerlab.image.lookup import Lookup

PATHS = st.sampled_from([f"/{name}" for name in ("a", "b", "ab", "ba", "é", "\udce9", "a/b", "b/a", "abc")])
LAYERS = st.lists(st.lists(st.tuples(PATHS, st.booleans()), unique_by=lambda entry: entry[0], max_size=8), max_size=5)


@pytest.fixture(params=["true hashes", "hashes that are often the same", "one hash for all"])
def hashes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The hashes that tell paths apart, or do not."""
    ways = {"hashes that are often the same": len, "one hash for all": lambda path: 7}
    if request.param in ways:
        monkeypatch.setattr(lookup, "hash", ways[request.param], raising=False)


@pytest.mark.usefixtures("hashes")
class TestLookup:
    @given(layers=LAYERS)
    @settings(max_examples=100, deadline=None)
    def test_as_a_dict(self, layers: list[list[tuple[str, bool]]]) -> None:
        """What is put last at a path is found there, unless it was left out; whatever the hashes are."""
        paths = [path for layer in layers for path, _ in layer]
        found, expected = Lookup(paths), dict[str, int]()
        start = 0
        for layer in layers:
            left_out = np.array([at for at, (_, is_put) in enumerate(layer) if not is_put], dtype=np.int64)
            found.put(start, [path for path, _ in layer], left_out)
            expected |= {path: start + at for at, (path, is_put) in enumerate(layer) if is_put}
            start += len(layer)

        asked = [*paths, "/nowhere", "", "/"]
        assert found.find(asked).tolist() == [expected.get(path, -1) for path in asked]
        assert [found.get(path) for path in asked] == [expected.get(path) for path in asked]
        assert [path in found for path in asked] == [path in expected for path in asked]
        assert {path: found[path] for path in expected} == expected
        assert len(found) == len(expected)

    def test_what_is_not_there(self) -> None:
        """A path where nothing is has the default, or is an error, as in a dict."""
        found = Lookup(["/a"])
        assert not found
        found.put(0, ["/a"], np.array([], dtype=np.int64))

        assert found.get("/b", 5) == 5
        assert 7 not in found
        with pytest.raises(KeyError, match="/b"):
            found["/b"]
