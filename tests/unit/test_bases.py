"""What `layerlab.bases` promises without an engine."""

from layerlab import bases


class TestNames:
    def test_the_bases_have_stand_ins(self) -> None:
        """For each image that the lab builds on there is a stand-in."""
        assert set(bases.BASES) <= set(bases.TAGS)

    def test_every_name_has_a_tag(self) -> None:
        """Names are written in full, so that the engine lists them as they are."""
        assert all(name.rpartition("/")[2].count(":") == 1 for name in bases.TAGS)
