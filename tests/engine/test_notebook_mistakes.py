"""nbval catches what it should: something is made wrong in a copy of the lab, and the cell that teaches it fails.

That all cells pass where nothing is wrong, the run of the notebooks itself shows.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from layerlab.engine import Engine
from layerlab.engine.ownership import is_own_image
from tests.engine import copies, lab_copy
from tests.engine.lab_copy import LabCopy


@dataclass(frozen=True)
class Mistake:
    """Something that is made wrong.

    Attributes:
        what: In a few words.
        file, old, new: The one place that is changed. It keeps the number of lines and of steps: a cell that shows
            these would fail for that alone.
        notebook: The notebook that teaches the point.
        cells: The ids of the cells that have to run: what the last one needs, and the last one, which has to fail.
        seen: What nbval's message says of the mistake, as a pattern: the cell fails for its sake, not for another
            reason.
        every_run: Whether every test run makes it, and not only `--all`.
    """

    what: str
    file: str
    old: str
    new: str
    notebook: str
    cells: tuple[str, ...]
    seen: str
    every_run: bool = True


DEVELOPMENT = '"flask", "--app", "app.wsgi", "run", "--host", "0.0.0.0"'
MISTAKES = (
    Mistake(
        "the image runs as root",
        *("Dockerfile", "USER 10001:10001", "USER 0:0"),
        "07-production.ipynb",
        ("cell-02", "cell-04", "cell-05", "cell-07"),
        seen=r"change the service's code \| yes \| yes \| no \| no",
        every_run=False,
    ),
    Mistake(
        "/status answers 500",
        *(
            "app/routes.py",
            "requests_counted_in=REQUESTS.covers,\n    )",
            "requests_counted_in=REQUESTS.covers,\n    ), 500",
        ),
        "01-the-service.ipynb",
        ("cell-01",),
        seen="500 INTERNAL SERVER ERROR",
    ),
    Mistake(
        "the development server instead of gunicorn",
        *("Dockerfile", '"gunicorn", "--config", "app/gunicorn.conf.py", "app.wsgi:app"', DEVELOPMENT),
        "04-run-and-query-it.ipynb",
        ("cell-02", "cell-06", "cell-09"),
        seen=r"optimized \| \S*python \S*flask",
        every_run=False,
    ),
    Mistake(
        "the app is copied before the requirements",
        *("Dockerfile", "COPY requirements.txt .", "COPY . ."),
        "03-a-multi-stage-image.ipynb",
        ("cell-01", "cell-24", "cell-25"),
        seen=r"22 \| COPY \. \.",
        every_run=False,
    ),
    Mistake(
        "the package index stays in the image",
        *("Dockerfile", "RUN python -m compileall", "RUN apt-get update -q && python -m compileall"),
        "02-a-single-stage-image.ipynb",
        ("cell-01", "apt-lists"),
        seen="package index that the multi-stage image stores: [1-9]",
        every_run=False,
    ),
    Mistake(
        "a picture is drawn from wrong figures",
        *("layerlab/compare/__init__.py", "WASTE: image.wasted_bytes}", "WASTE: 0}"),
        "05-where-the-bytes-are.ipynb",
        ("cell-02", "cell-04", "cell-06", "cell-07"),
        seen="add up to all that it stores: False",
        every_run=False,
    ),
    Mistake(
        "a plot's data ignore the seed",
        *("app/plots.py", "np.random.default_rng(seed)", "np.random.default_rng()"),
        "01-the-service.ipynb",
        ("cell-01", "cell-09", "cell-13"),
        seen=r"\b16\b",
        every_run=False,
    ),
    Mistake(
        "the whole build stage is copied, not what was gathered",
        *("Dockerfile.minimal", "COPY --from=build /slim /", "COPY --from=build / /"),
        "09-how-small-can-it-go.ipynb",
        ("cell-01", "cell-17"),
        seen="sh: 0",
        every_run=False,
    ),
    Mistake(
        "a build makes the last stage, whatever its target",
        *("layerlab/builder/building.py", "final.name if final != parsed.stages[-1] else None", "None"),
        "10-newer-tools.ipynb",
        ("cell-01", "cell-03", "cell-05"),
        seen="--target test, app broken: built",
        every_run=False,
    ),
    Mistake(
        "what a newer engine gave is not what the text says",
        *("notebooks/10-newer-tools.json", '": "fails"', '": "builds"'),
        "10-newer-tools.ipynb",
        ("cell-01", "cell-11", "cell-12"),
        seen=r"set -e; .*\| builds",
        every_run=False,
    ),
)


@pytest.fixture(scope="module")
def caches(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the copies learn about layers: once for all of them."""
    return tmp_path_factory.mktemp("caches")


@pytest.fixture
def copy(engine: Engine, caches: Path) -> Iterator[LabCopy]:
    """A copy of the lab in which nothing is changed yet."""
    with copies.folder() as root:
        made = lab_copy.make(root, caches)
        yield made
        made.remove(engine)


@pytest.mark.parametrize(
    "mistake",
    [pytest.param(each, id=each.what, marks=[] if each.every_run else [pytest.mark.long]) for each in MISTAKES],
)
def test_the_cell_that_teaches_it_fails(mistake: Mistake, copy: LabCopy) -> None:
    """The cell that teaches the point fails for its sake, and what comes before it passes."""
    copy.edit(mistake.file, mistake.old, mistake.new)
    failed = copy.compare(mistake.notebook, mistake.cells)

    assert [cell for cell, complaint in failed.items() if complaint] == [mistake.cells[-1]], failed
    assert re.search(mistake.seen, failed[mistake.cells[-1]])


@pytest.mark.long
def test_a_copy_has_names_of_its_own(engine: Engine, copy: LabCopy) -> None:
    """What it builds has its own tags, and the lab does not take it for its own; removing leaves none of it."""
    assert copy.compare("03-a-multi-stage-image.ipynb", ["cell-01"]) == {"cell-01": ""}
    made = copy.images(engine)
    tags = {tag for image in made for tag in image.tags}

    assert {f"{copy.name}-demo:single", f"{copy.name}-demo:optimized"} < tags
    assert all(tag.startswith(copy.name) for tag in tags)
    assert not any(is_own_image(image) for image in made)
    copy.remove(engine)
    assert copy.images(engine) == []
