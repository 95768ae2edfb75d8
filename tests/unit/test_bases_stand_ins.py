"""How `layerlab.bases.stand_ins` tells what goes on, and the Dockerfile that it builds."""

import pytest

from layerlab import dockerfile
from layerlab.bases import stand_ins
from layerlab.ui.progress import Step


class TestDoing:
    @pytest.mark.parametrize(
        ("title", "detail", "shown"),
        [
            ("[buildpack-deps 4/4] RUN set -eux;", "Setting up gcc ...", "compilers and libraries: Setting up gcc"),
            ("[cpython 6/8] RUN set -eux;", "gcc -c -O2 ./Modules/_io/a.c", "compile CPython: Modules/_io/a.c"),
            ("[slim 2/4] RUN set -eux;", "", "slim image"),
            ("write the image", "", "write the image"),
        ],
    )  # fmt: skip
    def test_in_a_few_words(self, title: str, detail: str, shown: str) -> None:
        """A step of a build is told by what it is for, and a compiler's command by the file that it compiles."""
        assert stand_ins._doing(Step("key", title, "running", 1.0, detail)).startswith(shown)


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
