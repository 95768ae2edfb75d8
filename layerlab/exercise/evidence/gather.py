"""Gathers the evidence about a workspace from an engine: builds, snapshots and a running container, side by side."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Final

from layerlab import image
from layerlab.builder import trial_builds
from layerlab.dockerfile import Dockerfile, Stage
from layerlab.engine import Engine
from layerlab.errors import BaseImageError, LabError
from layerlab.exercise.evidence import experiments, snapshots, system_installs, workspace_builds
from layerlab.exercise.evidence.facts import (
    AppChange,
    Blame,
    Evidence,
    Failure,
    HandedOn,
    Snapshot,
    SystemInstall,
)
from layerlab.exercise.evidence.single_stage_size import single_bytes
from layerlab.exercise.evidence.workspace_builds import Outcome, Prepared
from layerlab.exercise.workspace import Workspace
from layerlab.service import observe
from layerlab.service.waiting import is_busy
from layerlab.ui.progress import Report, Step

OnImage = Callable[[image.Image], None]
_AT_ONCE: Final = 3  # the container, further builds, the one with a changed pin


def gather(
    engine: Engine,
    workspace: Workspace,
    report: Report,
    on_image: OnImage | None = None,
    *,
    hardened: bool = True,
    is_quick: bool = False,
) -> Evidence:
    """All that can be found out about a workspace; nothing of it is left on the engine.

    Args:
        engine: Where it is built and run.
        workspace: The learner's folder.
        report: Is told of each step.
        on_image: Is given the learner's image before it is removed.
        hardened: Whether to try a hardened run as well, which is for advice only.
        is_quick: Whether to leave the experiments out.

    Raises:
        EngineGone: the engine stopped answering.
    """
    evidence = Evidence(
        dockerfile_name=workspace.dockerfile_name,
        dockerfile=workspace.dockerfile,
        context=workspace.context,
        workspace=workspace.files,
        requirements=workspace.requirements,
        failure=workspace.failure,
        level=workspace.level,
        is_worked_example=workspace.is_worked_example,
        is_quick=is_quick,
    )
    if workspace.dockerfile is None or workspace.sent is None:
        return evidence
    relay = _Relay(report)
    with trial_builds(engine, relay) as trials:
        prepared = workspace_builds.prepare(trials, workspace)
        outcome = workspace_builds.build_final(engine, prepared, relay)
        evidence = replace(evidence, ran=outcome.ran, ran_stages=outcome.ran_stages, failure=outcome.failure)
        if outcome.image_id is None:
            return evidence
        evidence = replace(evidence, image_id=outcome.image_id)
        work = _Work(engine, workspace, prepared, outcome, relay, hardened, is_quick)
        return _look(work, evidence, workspace.dockerfile, on_image)


@dataclass(frozen=True)
class _Relay:
    """Passes reports on from several threads; once the check has ended, it ends whatever still reports."""

    listener: Report
    ended: threading.Event = field(default_factory=threading.Event)

    def __call__(self, step: Step) -> None:
        if self.ended.is_set():
            raise _Ended
        self.listener(step)


class _Ended(Exception):
    """The check has been given up: Ctrl-C, or another part of it failed."""


@dataclass(frozen=True)
class _Work:
    """What one check works on."""

    engine: Engine
    workspace: Workspace
    prepared: Prepared
    outcome: Outcome
    relay: _Relay
    hardened: bool
    is_quick: bool


@dataclass(frozen=True)
class _Built:
    """What the builds after the final one showed."""

    stages: dict[str, Snapshot]
    final: Snapshot
    system_installs: tuple[SystemInstall, ...]
    single_bytes: int | None
    failure: Failure | None
    app_change: AppChange | None
    handed_on: tuple[HandedOn, ...]


@contextmanager
def _side_by_side(relay: _Relay) -> Iterator[ThreadPoolExecutor]:
    """Threads that end soon after an exception has left the block: with the next thing that they report."""
    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="layerlab-check") as pool:
        try:
            yield pool
        except BaseException:
            relay.ended.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _look(work: _Work, evidence: Evidence, dockerfile: Dockerfile, on_image: OnImage | None) -> Evidence:
    image_id = str(work.outcome.image_id)
    pinned = work.workspace.requirements
    bench = experiments.Bench(work.engine, work.prepared, work.relay)
    with _side_by_side(work.relay) as pool:
        ran = pool.submit(observe, work.engine, image_id, hardened=work.hardened, report=work.relay)
        is_tried = pinned and not work.is_quick
        pin = pool.submit(experiments.change_pin, bench, pinned, image_id) if is_tried else None
        built = pool.submit(_build_more, work, bench, dockerfile).result()
        running = ran.result()
        pin_change = experiments.found_after(bench, *pin.result(), running.interpreter) if pin else None
    if running.hurried and is_busy():
        # What went on beside it may be why it was late.
        running = replace(
            observe(work.engine, image_id, report=work.relay),
            hardened=running.hardened,
            hardened_why=running.hardened_why,
        )
    if on_image is not None:
        on_image(image.read(work.engine, image_id, dockerfile=dockerfile))
    return replace(
        evidence,
        image=built.final,
        stages=built.stages,
        system_installs=built.system_installs,
        app_change=built.app_change,
        pin_change=pin_change,
        handed_on=built.handed_on,
        running=running,
        single_bytes=built.single_bytes,
        failure=built.failure,
    )


def _build_more(work: _Work, bench: experiments.Bench, dockerfile: Dockerfile) -> _Built:
    """Further builds, one after the other: at the same time, those of the same steps blur what was cached."""
    stages, final = _snapshots(work, dockerfile)
    size, failure = _single_bytes(work)
    app_change = None
    if work.workspace.requirements and not work.is_quick:
        installs = snapshots.installing_python(stages.values(), final, work.workspace.requirements)
        app_change = experiments.change_app(bench, installs)
    handed_on = experiments.break_packed(bench, final, stages, is_quick=work.is_quick)
    systems = snapshots.system_installs([*stages.values(), final])
    if not work.is_quick:
        systems = tuple(system_installs.without_index(bench, each) for each in systems)
    return _Built(stages, final, systems, size, failure, app_change, handed_on)


def _snapshots(work: _Work, dockerfile: Dockerfile) -> tuple[dict[str, Snapshot], Snapshot]:
    """The snapshots of the stages that ran, by label, and of the final one; each needs those that it copies from."""
    final = dockerfile.target()
    ran = set(work.outcome.ran_stages)
    taken: dict[str, Snapshot] = {}
    for stage in dockerfile.needed(final):
        if stage != final and stage.label in ran:
            built = workspace_builds.build_stage(work.engine, work.prepared, stage, work.relay)
            taken[stage.label] = _snapshot(work, built, dockerfile, stage, taken)
    image_id = str(work.outcome.image_id)
    return taken, _snapshot(work, image_id, dockerfile, final, taken, with_copies=True)


def _snapshot(
    work: _Work,
    image_id: str,
    dockerfile: Dockerfile,
    stage: Stage,
    others: dict[str, Snapshot],
    *,
    with_copies: bool = False,
) -> Snapshot:
    taken = snapshots.take(
        work.engine,
        image_id,
        dockerfile,
        stage,
        others,
        context=work.workspace.context,
        pinned=work.workspace.requirements,
        labels=work.prepared.trials.labels,
        with_copies=with_copies,
    )
    # What only the way to the engine has added is nothing of the learner's.
    return replace(
        taken, files=tuple(file for file in taken.files if not file.path.endswith(f"/{workspace_builds.SENT_NAME}"))
    )


def _single_bytes(work: _Work) -> tuple[int | None, Failure | None]:
    """The single-stage image's size, or whose fault it is that nothing can be compared with."""
    try:
        return single_bytes(work.engine, work.workspace.level, report=work.relay), None
    except LabError as error:
        blame: Blame = "network" if isinstance(error, BaseImageError) else "engine"
        return None, Failure(blame, f"The single-stage image could not be had to compare with: {error.one_line}")
