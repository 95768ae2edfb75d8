"""What builds leave in the build cache, and what holds it within bounds: on an engine that nobody else builds on."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from layerlab.builder import build, build_cache
from layerlab.engine import Engine
from layerlab.engine.daemon import BOUNDED_CACHE
from layerlab.maintenance import prerequisites
from tests.engine.conftest import import_busybox
from tests.engine.small_lab import give_bases, small_lab
from tests.engine.spare_engine import SpareEngine, spare_engine

BASE = "layerlab-test:busybox"
STAGES = f"""\
FROM {BASE} AS build
WORKDIR /build
COPY requirements.txt .
RUN seq 1 20000 > installed
COPY app app
RUN cat installed app/*.py > /build/made

FROM {BASE}
ENV NUMBER=1
RUN mkdir /kept && echo $NUMBER > /kept/number
COPY --from=build /build /build
WORKDIR /srv
COPY app app
RUN --mount=type=cache,target=/cached echo $NUMBER > /cached/number && seq 1 30000 > /large
"""


@pytest.fixture(scope="module")
def spare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SpareEngine]:
    """An engine that is configured as one that the lab starts."""
    with spare_engine(settings=BOUNDED_CACHE) as made:
        first = made.connect()
        import_busybox(first, BASE, tmp_path_factory.mktemp("busybox"))
        first.client.close()
        yield made


@pytest.fixture
def engine(spare: SpareEngine) -> Iterator[Engine]:
    """A connection to it; what a test has built shares nothing with the next one's cache."""
    found = spare.connect()
    yield found
    for image in found.client.images.list(filters={"dangling": True}):
        found.client.images.remove(str(image.id), force=True)
    found.client.close()


@pytest.fixture
def context(tmp_path: Path) -> Path:
    """A build context like the service's."""
    folder = tmp_path / "context"
    (folder / "app").mkdir(parents=True)
    (folder / "app" / "main.py").write_text("print(1)\n")
    (folder / "requirements.txt").write_text("flask\n")
    (folder / "Dockerfile").write_text(STAGES)
    return folder


def records(engine: Engine) -> set[str]:
    """The ids of all records."""
    return {record["ID"] for record in engine.client.api.df()["BuildCache"] or []}


def change(context: Path) -> None:
    (context / "app" / "main.py").write_text(secrets.token_hex(16))


@pytest.mark.long
def test_trimming_keeps_what_was_used_last(engine: Engine, context: Path) -> None:
    """What was not used for longest goes, until the cache has grown by no more than it may."""

    def cached(run: str) -> list[bool]:
        (context / "Dockerfile").write_text(f"FROM {BASE}\nRUN dd if=/dev/urandom of=/{run} bs=1M count=2\n")
        built = build(engine, context)
        engine.client.images.remove(built.image_id)
        return list(built.steps.cached)

    engine.client.api.prune_builds(all=True)  # type: ignore[call-arg]  # what other tests left was not used for longer
    before = build_cache.size(engine) or 0
    with build_cache.trimming(engine, 5e6):
        for run in ("first", "second", "third"):
            cached(run)

    assert (build_cache.size(engine) or 0) - before <= 5e6
    assert cached("third") == [True, True]
    assert cached("first") == [True, False]


class TestSize:
    def test_it_is_what_a_prune_frees(self, engine: Engine, context: Path) -> None:
        """Without an image that shares it, the engine says of all that it removes how much it was."""
        engine.client.images.remove(build(engine, context).image_id)

        size = build_cache.size(engine)

        assert size
        freed = engine.client.api.prune_builds(all=True)["SpaceReclaimed"]  # type: ignore[call-arg]
        assert freed == pytest.approx(size, rel=0.001)
        assert build_cache.size(engine) == 0

    def test_doctor_tells(self, spare: SpareEngine, monkeypatch: pytest.MonkeyPatch) -> None:
        """What it holds, and, where that is much, how to empty it."""
        monkeypatch.setenv("DOCKER_HOST", spare.endpoint)
        for much, state, remedy in ((20e9, "ok", ""), (-1, "note", build_cache.EMPTY_IT)):
            monkeypatch.setattr(build_cache, "MUCH", much)
            (told,) = (finding for finding in prerequisites.examine() if finding.what == "build cache")
            assert (told.state, told.remedy) == (state, remedy)
            assert told.seen.endswith("GB")

    @pytest.mark.long
    def test_the_end_of_lab_tells(self, spare: SpareEngine, engine: Engine, tmp_path: Path) -> None:
        """Only where it holds much."""
        give_bases(engine, tmp_path)
        with small_lab(spare.endpoint, spare.corner.seen_from) as lab:
            assert "docker builder prune" not in lab.run("--no-serve").stderr
            source = lab.root / "layerlab/builder/build_cache.py"
            source.write_text(source.read_text().replace("MUCH: Final = 20e9", "MUCH: Final = -1"))
            assert "The build cache holds 0 GB: `docker builder prune` empties it" in lab.run("--no-serve").stderr


@pytest.mark.long  # BuildKit looks once a minute
def test_a_bound_holds(tmp_path: Path) -> None:
    """With the lab's configuration, but for the size, the engine removes what is over the bound by itself."""
    settings = json.loads(json.dumps(BOUNDED_CACHE).replace("15GB", "20MB"))
    with spare_engine(settings=settings) as spare:
        engine = spare.connect()
        import_busybox(engine, BASE, tmp_path)
        for number in range(5):
            (tmp_path / "Dockerfile").write_text(f"FROM {BASE}\nRUN dd if=/dev/zero of=/{number} bs=1M count=10\n")
            engine.client.images.remove(build(engine, tmp_path).image_id)
        assert (build_cache.size(engine) or 0) > 50_000_000

        deadline = time.monotonic() + 150
        while (build_cache.size(engine) or 0) > 21_000_000 and time.monotonic() < deadline:
            time.sleep(1)
        assert (build_cache.size(engine) or 0) <= 21_000_000
        engine.client.close()
