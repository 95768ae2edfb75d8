"""Whose files are, against what dpkg and Python say within containers."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from layerlab import bases, builder, image
from layerlab.engine import Engine
from layerlab.image import Image
from layerlab.xray import BuildSource, examine

BASE = "python:3.13-slim-trixie"
_DPKG = "find / -xdev -type f | xargs -d '\\n' dpkg -S 2>/dev/null; true"
_PYTHON = """
import importlib.metadata as metadata, json, sys
found = {}
for place in sys.argv[1:]:
    for each in metadata.distributions(path=[place]):
        for file in each.files or []:
            found[str(file.locate().resolve())] = each.metadata["Name"]
print(json.dumps(found))
"""
DOCKERFILE = f"""\
FROM {BASE} AS build
RUN mkdir -p /fake/pkg-1.dist-info /fake/pkg && cd /fake && echo x > pkg/__init__.py && \\
    printf 'pkg/__init__.py,,\\npkg-1.dist-info/RECORD,,\\n' > pkg-1.dist-info/RECORD && \\
    printf 'Metadata-Version: 2.1\\nName: pkg\\nVersion: 1\\n' > pkg-1.dist-info/METADATA
RUN python -m venv /opt/venv && cp -r /fake/. /opt/target && mkdir -p /root/.local/lib/python3.13/site-packages && \\
    cp -r /fake/. /root/.local/lib/python3.13/site-packages

FROM {BASE}
COPY --from=build /opt /opt
COPY --from=build /root/.local /root/.local
"""
BARE = f"""\
FROM {BASE} AS build
FROM scratch
COPY --from=build /usr/lib/x86_64-linux-gnu/libz.so.1 /lib/
COPY --from=build /usr/local/lib/python3.13/site-packages /packages
"""


@pytest.fixture(scope="module", autouse=True)
def bases_are_there(engine: Engine) -> None:
    """The slim base image."""
    bases.ensure(engine, [BASE])


@pytest.fixture
def look(
    engine: Engine, new_tag: Callable[[], str], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Image]:
    """Builds a Dockerfile and looks at its image, named by its folder."""

    def look(text: str) -> Image:
        folder = tmp_path_factory.mktemp("owners")
        (folder / "Dockerfile").write_text(text)
        tag = new_tag()
        builder.build(engine, folder, tag=tag)
        source = BuildSource(folder / "Dockerfile", folder)
        return examine(engine, image.read(engine, tag), source, read_contents=False).image

    return look


def run(engine: Engine, name: str, *command: str) -> str:
    """What a command prints in a container."""
    printed: bytes = engine.client.containers.run(name, list(command), remove=True, network_mode="none", user="0")
    return printed.decode()


def owners(looked: Image, manager: str) -> dict[str, str]:
    """The paths of regular files that packages of this manager own."""
    mine = looked.files[(looked.files["kind"] == "file") & looked.files["owner"].str.startswith(f"{manager}:")]
    return {path: owner.partition(":")[2] for path, owner in zip(mine["path"], mine["owner"], strict=True)}


def test_dpkg_says_the_same(engine: Engine) -> None:
    """Each regular file belongs to the package that ``dpkg -S`` names, and to none where it names none."""
    looked = image.read(engine, BASE)
    truth: dict[str, set[str]] = {}
    for line in run(engine, BASE, "sh", "-c", _DPKG).splitlines():
        packages, _, path = line.rpartition(": ")
        if not packages.startswith("diversion by"):
            truth[path] = {name.partition(":")[0] for name in packages.split(", ")}
    mine = owners(looked, "dpkg")
    regular = set(looked.files.loc[looked.files["kind"] == "file", "path"])
    aliased = {path for path in mine if path not in truth}
    assert len(truth.keys() & regular) > 2_000
    assert {path for path in truth.keys() & regular if mine.get(path) not in truth[path]} == set()
    # dpkg's lists still have /bin/x where /bin is a link, and dpkg -S knows a path only as they have it.
    assert {path for path in aliased if not path.startswith(("/usr/bin/", "/usr/sbin/", "/usr/lib"))} == set()


@pytest.mark.long
def test_python_says_the_same(engine: Engine, look: Callable[[str], Image]) -> None:
    """In a virtual environment, a --target folder, a user's folder and the interpreter's own, RECORD decides."""
    looked = look(DOCKERFILE)
    places = [
        "/opt/venv/lib/python3.13/site-packages", "/opt/target", "/root/.local/lib/python3.13/site-packages",
        "/usr/local/lib/python3.13/site-packages",
    ]  # fmt: skip
    truth = json.loads(run(engine, looked.id, "python", "-c", _PYTHON, *places))
    mine = owners(looked, "python")
    regular = set(looked.files.loc[looked.files["kind"] == "file", "path"])
    assert len(truth.keys() & regular) > 500
    wrong = {path: name for path, name in truth.items() if path in regular and mine.get(path) != name.lower()}
    assert wrong == {}
    assert {path for path in mine.keys() - truth.keys() if not path.endswith(".pyc")} == set()


def test_a_package_is_known_without_its_database(
    engine: Engine, new_tag: Callable[[], str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A library that was copied into an image from scratch belongs to the package of the stage that it comes from."""
    folder = tmp_path_factory.mktemp("bare")
    (folder / "Dockerfile").write_text(BARE)
    tag = new_tag()
    builder.build(engine, folder, tag=tag)
    found = examine(engine, image.read(engine, tag), BuildSource(folder / "Dockerfile", folder), read_contents=False)
    assert found.origins is not None
    table = found.origins.set_index("path")
    assert table.loc["/lib/libz.so.1", "owner"] == "dpkg:zlib1g"
    assert table.loc["/packages/pip/__init__.py", "owner"] == "python:pip"
