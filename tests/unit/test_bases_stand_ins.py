"""The Dockerfile that `layerlab.bases.stand_ins` builds."""

from layerlab import dockerfile
from layerlab.bases import stand_ins


class TestDockerfile:
    def test_has_a_stage_for_each_image(self) -> None:
        """Each image that is not a root has its stage, under the name that is built."""
        text = stand_ins._DOCKERFILE.read_text()
        parsed = dockerfile.parse(text, {"DEBIAN": "layerlab:0", "DEBIAN_SLIM": "layerlab:1"})

        stages = {stage.name for stage in parsed.stages}

        assert set(stand_ins.TAGS) - {"debian", "debian-slim"} <= stages

    def test_names_no_host(self) -> None:
        """Sources come from wherever apt and pip get them: no mirror, no registry and no address stands in it."""
        text = stand_ins._DOCKERFILE.read_text()

        assert "://" not in text
        assert "docker.io" not in text
