"""What a notebook imports, as ``from layerlab import notebook as lab``: all of it is on this page.

Whatever takes long shows a widget while it works and ends in one printed line that is the same on every machine, so
that the saved outputs can be compared. Tables are DataFrames, sizes in bytes. What goes wrong is a `LabError`, which
a notebook shows without a traceback.

>>> lab.setup("optimized")
Ready: a Docker engine, multi-stage-demo:optimized
>>> lab.look("optimized").layers[["line", "bytes"]].columns.tolist()
['line', 'bytes']
"""

from __future__ import annotations

import functools
import json
import shutil
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pandas as pd

from layerlab import bases, builder, demo, exercise, image, maintenance, plots, service, xray
from layerlab import compare as comparison
from layerlab.builder import Build
from layerlab.builder import context as contexts
from layerlab.engine import Engine, daemon
from layerlab.engine.ownership import discard, image_labels, mark_image, marker_tag
from layerlab.errors import UsageError
from layerlab.exercise import all_passed, earlier_checks, new_workspace, wording
from layerlab.exercise.panel import LivePanel
from layerlab.exercise.verdict import Verdict
from layerlab.image import Image
from layerlab.image.store import file_reader
from layerlab.image.store.sources import packed_bytes
from layerlab.notebook import newer_engines
from layerlab.notebook.cells import about, show, table
from layerlab.paths import ROOT
from layerlab.report.explorer.widget import Explorer
from layerlab.service import Service
from layerlab.ui import displays
from layerlab.ui.progress import Report, Step
from layerlab.ui.units import counted
from layerlab.xray import BuildSource, Examined, proof

__all__ = [
    "about", "advice", "build", "causes", "check", "compare", "difference", "doctor", "engine", "expect",
    "experiment", "explore", "findings", "lines", "look", "new", "newer", "owned", "packed", "panel", "plots",
    "prove", "rebuilds", "remove", "results", "run", "setup", "show", "surfaces", "table", "wait_for_health",
]  # fmt: skip

HEALTH_PAUSE: Final = 0.2  # seconds between two looks at a service's health
_COPIED: Final = (
    *("app", "slim", "requirements.txt", ".dockerignore"),
    *("Dockerfile", "Dockerfile.single", "Dockerfile.single.dockerignore", "Dockerfile.minimal"),
)


@functools.cache
def engine() -> Engine:
    """The Docker engine that this notebook talks to; found (or started) once for each kernel.

    Raises:
        EngineError: none answers; see ``lab.doctor()``.

    >>> lab.engine().client.ping()
    True
    """
    with displays.notebook("Docker engine") as report:
        return daemon.ensure(report=report)


def setup(*names: str) -> None:
    """Get everything ready that a notebook needs: the engine, the base images, and these of the lab's images.

    Images are built from what their Dockerfiles say now. Where ``./lab`` has run, all steps come from the build
    cache, which takes a second or two.

    Args:
        names: Which of the lab's images: ``single``, ``optimized``, ``minimal``.

    >>> lab.setup("optimized")
    Ready: a Docker engine, multi-stage-demo:optimized
    """
    engine()
    for name in names:
        _built(name)
    print("Ready:", ", ".join(["a Docker engine", *(demo.recipe(name).tag for name in names)]))


def build(name: str, *, no_cache: bool = False) -> Build:
    """Build one of the lab's images, and show the steps while it goes on.

    Args:
        name: ``single`` or ``optimized``.
        no_cache: Run every step again.

    Returns:
        What was built; ``.steps`` is a DataFrame with a row for each instruction that ran.

    >>> built = lab.build("optimized")
    multi-stage-demo:optimized is built from Dockerfile: ... steps
    >>> built.stages[["stage", "final"]].to_dict("records")
    [{'stage': 'build', 'final': False}, {'stage': '1', 'final': True}]
    """
    recipe = demo.recipe(name)
    built = _built(name, no_cache=no_cache)
    print(f"{recipe.tag} is built from {recipe.dockerfile}: {len(built.steps)} steps")
    return built


def _built(name: str, *, no_cache: bool = False) -> Build:
    recipe = demo.recipe(name)
    with displays.notebook(f"{recipe.tag} from {recipe.dockerfile}") as report:
        return demo.build_image(engine(), name, no_cache=no_cache, report=report)


def run(name: str, /, **options: Any) -> AbstractContextManager[Service]:
    """Run an image of the service, hardened, in a ``with`` block; its container is removed at the end of the block.

    Args:
        name: ``single``, ``optimized``, or any image.
        options: See `layerlab.service.run`.

    >>> with lab.run("optimized") as service:
    ...     service.get("/status").json()["status"]
    'ok'
    """
    return service.run(engine(), demo.resolve(engine(), name), **options)


def wait_for_health(service: Service, wanted: str, timeout: float = 60.0) -> str | None:
    """Wait until a service's HEALTHCHECK says this, showing how long that takes.

    Args:
        service: What runs.
        wanted: ``healthy`` or ``unhealthy``.
        timeout: Seconds after which not to wait any longer.

    Returns:
        What it says in the end.

    >>> with lab.run("optimized") as service:
    ...     lab.wait_for_health(service, "healthy")
    'healthy'
    """
    title = f"until the health check says {wanted}"
    began = time.monotonic()
    with displays.notebook("waiting") as report:
        report(Step(wanted, title, "running"))
        while (health := service.health()) != wanted and time.monotonic() - began < timeout:
            time.sleep(HEALTH_PAUSE)
        report(Step(wanted, title, "done" if health == wanted else "failed", time.monotonic() - began))
    return health


def look(name: str) -> Image:
    """Look into an image: ``.layers``, ``.files``, ``.packages`` and ``.waste`` are DataFrames.

    Args:
        name: ``single``, ``optimized``, or a name, an id, or a file written by ``docker save``.

    >>> optimized = lab.look("optimized")
    >>> optimized.live_bytes + optimized.wasted_bytes == optimized.total_bytes
    True
    """
    return demo.read(engine(), name)


def compare(*names: str) -> pd.DataFrame:
    """Compare images side by side; see `layerlab.compare.compare` for the columns.

    >>> sizes = lab.compare("single", "optimized").set_index("name")["bytes"]
    >>> sizes.idxmin()
    'multi-stage-demo:optimized'
    """
    return comparison.compare([look(name) for name in names])


def surfaces(*images: Image) -> pd.DataFrame:
    """What an attacker finds in each image, a row for each; see `layerlab.compare.surfaces` for the columns.

    >>> int(lab.surfaces(lab.look("optimized"))["writable paths"].iloc[0])
    0
    """
    return comparison.surfaces(engine(), images)


def packed(image: Image) -> int:
    """About how many bytes a registry would send of an image, to whoever has none of its layers.

    >>> lab.packed(lab.look("optimized")) < lab.look("optimized").total_bytes / 2
    True
    """
    with displays.notebook(f"packing samples of {image.name}"):
        return packed_bytes(engine(), image)


def causes(image: Image) -> pd.DataFrame:
    """What an image could do without, by cause, layer and line: facts first, then judgements.

    Files are read where that takes to compare them; see `layerlab.xray.waste.causes` for the columns.

    >>> causes = lab.causes(lab.look("optimized"))
    >>> int(causes.loc[causes["is_fact"], "bytes"].sum()) == lab.look("optimized").wasted_bytes
    True
    """
    with displays.notebook(f"reading {image.name}") as report:
        return xray.waste.causes(image, file_reader.for_image(engine(), image), report)


def lines(image: Image, dockerfile: str | Path | None = None) -> pd.DataFrame:
    """What each line of the Dockerfile, in whatever stage, has brought to an image.

    Args:
        image: What `look` gave.
        dockerfile: What it was built from, with its folder as context; the lab's own images need none.

    Returns:
        See `layerlab.xray.provenance.origin_tables.lines` for the columns.

    >>> lines = lab.lines(lab.look("optimized"))
    >>> lines.set_index("instruction")["origin"]["COPY app app"]
    'context'
    """
    found = _examined(image, dockerfile, read_contents=False).lines
    if found is None:
        raise UsageError(f"nobody knows the Dockerfile of {image.name}", remedy="say which it is: dockerfile=PATH")
    return found


def advice(image: Image, dockerfile: str | Path | None = None) -> pd.DataFrame:
    """What to change in an image's Dockerfile, and what that would save, the most bytes first.

    `image` and `dockerfile` are as for `lines`.

    Returns:
        `title` str, `why` str, `line` Int64, `bytes` int64 (a prediction), `mechanical` bool (whether `prove` can
        make the edit). Several may save the same bytes.

    >>> lab.advice(lab.look("optimized")).empty  # the worked example needs none
    True
    """
    found = _examined(image, dockerfile).advice
    rows = [(each.title, each.why, each.line, each.bytes, each.is_mechanical) for each in found]
    return _frame(rows, title="str", why="str", line="Int64", bytes="int64", mechanical="bool")


def prove(image: Image, dockerfile: str | Path | None = None) -> pd.DataFrame:
    """Make the edits of `advice` that a program can make, build each, and all together, and measure.

    `image` and `dockerfile` are as for `lines`.

    Returns:
        `title` str, `line` Int64, `predicted` int64, `measured` Int64 (bytes), `error` float64 (a share of what was
        measured), `trouble` str (why it could not be built).

    >>> lab.prove(lab.look("optimized")).columns.tolist()
    ['title', 'line', 'predicted', 'measured', 'error', 'trouble']
    """
    return proof.table(_examined(image, dockerfile, proves=True).proofs or [])


def _examined(image: Image, dockerfile: str | Path | None, **options: bool) -> Examined:
    path = Path(dockerfile) if dockerfile is not None else None
    with displays.notebook(f"looking into {image.name}") as report:
        known = BuildSource(path, path.parent, platform=engine().platform) if path else None
        source = known or xray.own_source(engine(), image.id)
        return xray.examine(engine(), image, source, report=report, **options)


def difference(before: str | Image, after: str | Image) -> comparison.Difference:
    """How a second image differs from a first one: ``.layers``, ``.owners``, ``.places``, ``.paths``, ``.settings``.

    Args:
        before: The first image, or its name as for `look`.
        after: The second one.

    >>> difference = lab.difference("single", "optimized")
    >>> "user" in difference.settings["setting"].tolist()
    True
    """
    one, other = (look(image) if isinstance(image, str) else image for image in (before, after))
    return comparison.Difference(one, other)


def explore(image: str | Image, dockerfile: str | Path | None = None) -> Explorer:
    """An image's files as a treemap to walk through, layer by layer, with the Dockerfile beside it.

    Args:
        image: A name as for `look`, or an image. One that was looked at without its Dockerfile has its history beside
            it instead.
        dockerfile: What it was built from, relative to the repository's root; the lab's own images bring theirs.

    Returns:
        What a notebook shows by itself as the last value of a cell.

    >>> lab.explore("optimized")
    <Explorer: what is in multi-stage-demo:optimized?>
    """
    recipe = demo.recipe_of(engine(), image if isinstance(image, str) else image.id)
    path = ROOT / dockerfile if dockerfile is not None else recipe.path if recipe else None
    built_from = demo.read_dockerfile(path, engine().platform) if path else None
    looked = demo.read(engine(), image, built_from=built_from) if isinstance(image, str) else image
    return Explorer(looked, built_from, path.name if path else "")


def rebuilds(builds: Mapping[str, Build]) -> pd.DataFrame:
    """The steps of several builds in one table, as `layerlab.plots.rebuilds` draws them.

    FROM is left out: it only names an image that is there, so it is neither cached nor run again.

    Args:
        builds: What was changed before each build, and the build.

    Returns:
        A row per change and step: ``change`` str, then the columns of ``Build.steps``.

    >>> built = lab.build("optimized")
    multi-stage-demo:optimized is built from Dockerfile: ... steps
    >>> lab.rebuilds({"nothing": built})["change"].unique().tolist()
    ['nothing']
    """
    steps = pd.concat({change: built.steps for change, built in builds.items()}, names=["change", None])
    steps = steps[~steps["instruction"].str.match(r"FROM\b", case=False)]
    return steps.reset_index("change").reset_index(drop=True)


def new(folder: str | Path, *, level: int = 1) -> Path:
    """Make a workspace for the exercise, or go on with the one that is there.

    Args:
        folder: Where; relative to the repository's root, as for ``./lab new``.
        level: 2: a package has to be compiled.

    Returns:
        The folder.

    Raises:
        UsageError: it holds something else, or cannot be made.

    >>> workspace = lab.new(folder)
    folder is ready: Dockerfile, ...
    >>> workspace = lab.new(folder)
    folder is there already: go on with its Dockerfile
    """
    path = ROOT / folder
    if (path / "Dockerfile").is_file():
        print(f"{path.name} is there already: go on with its Dockerfile")
    else:
        new_workspace.make(path, level=level)
        print(f"{path.name} is ready: {', '.join(new_workspace.CONTENTS)}")
    return path


def check(folder: str | Path) -> Verdict:
    r"""Check a solution of the exercise, and show the steps while it goes on.

    Args:
        folder: A workspace; relative to the repository's root, as for ``./lab check``.

    Returns:
        What the checker says; see `results` and `findings`.

    >>> written = (lab.new(folder) / "Dockerfile").write_text("FROM python:3.13-trixie\nNO SUCH INSTRUCTION\n")
    folder is ready: ...
    >>> verdict = lab.check(folder)
    folder: 0 of 7 ...
    >>> verdict.image is None
    True
    """
    path = ROOT / folder
    with displays.notebook(f"checking {path.name}") as report:
        verdict = exercise.check(engine(), path, report=report)
    earlier_checks.remember(path, verdict)
    print(f"{path.name}: {wording.score(verdict)}")
    return verdict


def results(verdict: Verdict) -> pd.DataFrame:
    """A row per task.

    Returns:
        `task` int64, `name` str, `what` str (its name in words), `status` str, `errors` int64, `advice` int64.

    >>> from layerlab.exercise.verdict import Result, Verdict
    >>> results(Verdict(None, (Result(1, "pass", ()),)))[["task", "name", "status"]].to_dict("records")
    [{'task': 1, 'name': 'build-stage', 'status': 'pass'}]
    """
    rows: list[object] = []
    for task in verdict.tasks:
        levels = Counter(finding.level for finding in task.findings)
        counts = levels["error"], levels["advice"]
        rows.append((task.id, task.name, wording.TITLES[task.id], task.status, *counts))
    return _frame(rows, task="int64", name="str", what="str", status="str", errors="int64", advice="int64")


def findings(verdict: Verdict) -> pd.DataFrame:
    """A row per finding.

    Returns:
        `task` int64, `level` str, `file` str (empty where it has no place), `line` Int64, `message` str, and
        `hint_1`, `hint_2`, `hint_3` str.

    >>> from layerlab.exercise.verdict import Finding, Result, Verdict
    >>> hints = ("Which?", "Look there.", "Do this.")
    >>> found = Finding("error", "It runs as root.", hints, "Dockerfile", 9)
    >>> findings(Verdict(None, (Result(6, "fail", (found,)),)))[["task", "line", "message"]].to_dict("records")
    [{'task': 6, 'line': 9, 'message': 'It runs as root.'}]
    """
    rows = [
        (task.id, finding.level, finding.file or "", finding.line, finding.message, *finding.hints)
        for task in verdict.tasks
        for finding in task.findings
    ]
    texts = dict.fromkeys(["message", "hint_1", "hint_2", "hint_3"], "str")
    return _frame(rows, task="int64", level="str", file="str", line="Int64", **texts)


def panel(folder: str | Path) -> LivePanel:
    """A live panel of a workspace: it checks now, and again whenever a file is saved.

    The cell ends at once; the panel goes on until its ``close()``, its button, or the end of the kernel.

    >>> panel = lab.panel(lab.new(folder))
    folder is ready: ...
    The panel watches folder.
    >>> panel.close()
    """
    path = ROOT / folder

    def checked(workspace: Path, report: Report) -> tuple[Verdict, plots.Picture | None, list[str]]:
        seen: list[Image] = []
        verdict = exercise.check(engine(), workspace, report=report, on_image=seen.append)
        passed = seen and all(task.status == "pass" for task in verdict.tasks)
        end = all_passed.sentences(engine(), workspace, seen[-1]) if passed else []
        return verdict, _beside(seen[-1], all_passed.beside(engine(), workspace)) if seen else None, end

    made = LivePanel(path, checked)
    displays.publish_widget(made.widget)
    made.start()
    print(f"The panel watches {path.name}.")
    return made


def _beside(mine: Image, others: Mapping[str, Image]) -> plots.Picture:
    """A learner's image beside others."""
    layers = {"your image": mine.layers, **{name: other.layers for name, other in others.items()}}
    return plots.beside(pd.concat(layers, names=["image", None]).reset_index("image"))


def doctor() -> pd.DataFrame:
    """What is here, what is missing and what to do: ``what``, ``state``, ``seen``, ``remedy``, all strings.

    >>> states = lab.doctor().set_index("what")["state"]
    >>> states["Docker engine"]
    'ok'
    """
    return pd.DataFrame([vars(finding) for finding in maintenance.examine()])


def owned() -> pd.DataFrame:
    """What the lab has made and ``./lab clean`` would remove: ``kind`` and ``name``, both strings.

    >>> "image" in set(lab.owned()["kind"])
    True
    """
    rows = [(thing.kind, thing.name) for thing in maintenance.inventory(engine())]
    return _frame(rows, kind="str", name="str")


def remove(names: Collection[str]) -> pd.DataFrame:
    """Remove those of the things that `owned` lists which have these names, and nothing else.

    Returns:
        A row per thing: ``kind``, ``name`` and ``why_not`` (why it is still there; empty when it is gone), all str.

    >>> lab.remove(["nothing of the lab's has this name"]).empty
    True
    """
    chosen = [thing for thing in maintenance.inventory(engine()) if thing.name in names]
    rows = [(thing.kind, thing.name, maintenance.remove(engine(), thing)) for thing in chosen]
    return _frame(rows, kind="str", name="str", why_not="str")


def expect(statements: Mapping[str, object]) -> None:
    """Print a tick for each statement that holds, a cross for each that does not, and raise if there is one.

    Raises:
        AssertionError: names the statements that do not hold.

    >>> expect({"two and two are four": 2 + 2 == 4})
    ✓ two and two are four
    """
    wrong = [text for text, holds in statements.items() if not holds]
    for text, holds in statements.items():
        print("✓" if holds else "✗", text)
    if wrong:
        raise AssertionError(f"does not hold: {'; '.join(wrong)}")


@dataclass
class Experiment:
    """A copy of a build context that may be changed and built at will."""

    folder: Path  # the copy
    image_ids: set[str] = field(default_factory=set)  # what was built from it

    def edit(self, name: str, old: str, new: str) -> None:
        """Replace the one place in a file of the copy that reads ``old``.

        Raises:
            ValueError: it is not there exactly once.
        """
        path = self.folder / name
        text = path.read_text(encoding="utf-8")
        if text.count(old) != 1:
            raise ValueError(f"{name} holds this text {text.count(old)} times, not once: {old!r}")
        path.write_text(text.replace(old, new), encoding="utf-8")

    def write(self, name: str, text: str) -> None:
        """Write a file of the copy."""
        (self.folder / name).write_text(text, encoding="utf-8")

    def change(self, name: str) -> None:
        """Append a comment to a file of the copy, another one each time: a change that no build has seen before."""
        with (self.folder / name).open("a", encoding="utf-8") as file:
            file.write(f"# changed for an experiment: {uuid.uuid4().hex}\n")

    def context(self, dockerfile: str = "Dockerfile") -> pd.DataFrame:
        """What a build from this Dockerfile sends to the engine: ``path`` str and ``bytes`` int64, a row per file."""
        entries = contexts.collect(self.folder, dockerfile).entries
        return _frame([(each.name, each.bytes) for each in entries if each.path.is_file()], path="str", bytes="int64")

    def look(self, built: Build, dockerfile: str = "Dockerfile") -> Image:
        """Look into an image that was built from this copy, its layers tied to the Dockerfile's lines."""
        parsed = demo.read_dockerfile(self.folder / dockerfile, engine().platform)
        return image.read(engine(), built.image_id, dockerfile=parsed)

    def docker(self, *words: str) -> str:
        """What the docker client prints when it is run in the copy: for what needs `docker buildx`.

        Raises:
            UsageError: it ended with another status than 0.
        """
        return newer_engines.docker(engine(), self.folder, *words)

    def build(self, dockerfile: str = "Dockerfile", *, what: str = "", **options: Any) -> Build:
        """Build the copy; see `layerlab.builder.build` for the options. The image is removed with the experiment."""
        with displays.notebook(what or f"an experiment with {dockerfile}") as report:
            parsed = demo.read_dockerfile(self.folder / dockerfile, engine().platform)
            bases.ensure_for(engine(), parsed, options.get("target"), report=report)
            labels = image_labels("experiment")
            built = builder.build(
                engine(), self.folder, dockerfile=dockerfile, labels=labels, report=report, **options
            )
        mark_image(engine().client.images.get(built.image_id))
        self.image_ids.add(built.image_id)
        print(f"{what or dockerfile}: built in {counted(len(built.steps), 'step')}")
        return built


@contextmanager
def experiment(folder: str | Path = ROOT) -> Iterator[Experiment]:
    """A copy of a build context to try things out on; it and the images made from it go when the block ends.

    Args:
        folder: A workspace; else the lab's own context is copied.

    >>> with lab.experiment() as trial:
    ...     trial.change("app/data.py")
    ...     built = trial.build(what="after a change of the app")
    after a change of the app: built in ... steps
    >>> bool(built.steps.set_index("instruction")["cached"]["COPY app app"])
    False
    """
    source = ROOT / folder
    with tempfile.TemporaryDirectory(prefix="layerlab-") as name:
        trial = Experiment(Path(name))
        for path in [ROOT / each for each in _COPIED] if source == ROOT else source.iterdir():
            if path.is_dir():
                shutil.copytree(path, trial.folder / path.name, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy2(path, trial.folder)
        try:
            yield trial
        finally:
            for image_id in trial.image_ids:
                discard(engine(), marker_tag(image_id))


def newer(work: Callable[[Experiment], Any], *, needs: str, containerd: bool = False, why_not: str = "") -> Any:
    """Do what only newer engines can; where yours cannot, show what one that can has done. A line says which it is.

    Args:
        work: What to do in an experiment, with its ``docker``; gives what JSON can hold, and is known by its name.
        needs: The oldest Docker Engine that can, such as ``23`` or ``28.5``.
        containerd: Whether it has to keep its images in containerd.
        why_not: Why nobody's own engine is to do it, if that is so.

    >>> def excluded(trial):
    ...     return trial.docker("buildx", "build", "--check", ".")
    >>> len(lab.newer(excluded, needs="28.5", why_not="this is an example"))
    <IPython.core.display.HTML object>
    2
    """
    if reason := why_not or newer_engines.lacking(engine(), needs, containerd=containerd):
        return newer_engines.saved(work.__name__, reason)
    with experiment() as trial:
        done = json.loads(json.dumps(work(trial)))
    newer_engines.say(f"Run by your Docker Engine {engine().version}.")
    return done


def _frame(rows: Sequence[object], **columns: str) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=list(columns)).astype(columns)
