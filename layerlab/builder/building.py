"""Builds an image: sends what the engine needs, follows what it does, and names what went wrong."""

from __future__ import annotations

import contextlib
import json
import re
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final

import requests
from docker.utils.build import match_tag

from layerlab import dockerfile as dockerfiles
from layerlab.builder import context as contexts
from layerlab.builder import failures, request, steps, trace
from layerlab.builder.steps import Row
from layerlab.dockerfile import Dockerfile, Stage
from layerlab.engine import Engine, gone
from layerlab.errors import BuildError, EngineError, EngineTooOld, UsageError
from layerlab.ui.progress import Report, silent

if TYPE_CHECKING:
    import pandas as pd

_PING_TIMEOUT: Final = 10.0  # seconds


@dataclass(frozen=True)
class Build:
    """An image that was built, and how."""

    image_id: str  # its id, such as ``sha256:0123...``
    tag: str | None  # the tag that it got; None if it got none
    seconds: float  # how long the build took, from sending the context to the image's id
    # What its tables are made of.
    rows: tuple[Row, ...] = field(repr=False)
    dockerfile: Dockerfile = field(repr=False)
    target: Stage = field(repr=False)

    @cached_property
    def steps(self) -> pd.DataFrame:
        """A row for each instruction that BuildKit ran, in the order of the Dockerfile.

        * ``stage`` str: the stage's name, or its index where it has none
        * ``step`` Int64: BuildKit's number of the step within its stage
        * ``line`` Int64: the line on which the instruction begins, or the ONBUILD that asks for it; missing for
          what an image from outside asks for
        * ``instruction`` str: the instruction on one line
        * ``began`` float64: seconds after the first that was run; missing for what was cached
        * ``seconds`` float64: how long it ran
        * ``cached`` bool: whether its result was there already; of a FROM, whether nothing was pulled
        * ``log`` str: what it printed, without terminal escape codes, as far as BuildKit keeps it

        Two stages that begin alike (the same FROM, the same RUN after it) share these steps: BuildKit runs
        them once, under the name of one of the stages.
        """
        return steps.steps_frame(self.rows)

    @cached_property
    def stages(self) -> pd.DataFrame:
        """A row for each stage of the Dockerfile.

        * ``stage`` str, ``line`` int64, ``base`` str
        * ``uses``: a tuple of the stages that it takes something from
        * ``ran`` bool: whether the target needs it
        * ``final`` bool: whether it is the target
        """
        return steps.stages_frame(self.dockerfile, self.target)


def build(
    engine: Engine,
    context: Path | contexts.Context,
    *,
    dockerfile: str = "Dockerfile",
    tag: str | None = None,
    target: str | None = None,
    build_args: Mapping[str, str] | None = None,
    labels: Mapping[str, str] | None = None,
    no_cache: bool = False,
    apart: bool = False,
    timeout: float | None = None,
    report: Report = silent,
    watch: Callable[[], None] = lambda: None,
    secrets: Mapping[str, bytes] | None = None,
) -> Build:
    r"""Build an image from a folder.

    However this ends (an error, Ctrl-C, the time limit), nothing of it keeps running on the engine.

    Args:
        engine: Where to build; it may be on another machine.
        context: The folder that is the build context; ``.dockerignore`` is honoured. Or a context that has been
            collected already, which is sent as it is.
        dockerfile: The Dockerfile's path, relative to the folder.
        tag: The tag that the image gets.
        target: The stage to build, by its name or index, though it needs a name; the last if None.
        build_args: Values for the Dockerfile's ARGs.
        labels: Labels for the image.
        no_cache: Whether to run every step, even those whose results are there. BuildKit of Docker Engine 20.10 ends
            with "panic: failed to get edge", and the engine with it, where another build has one of these steps in
            hand at the same time (moby/buildkit#2303).
        apart: Whether each RUN, and what follows it, is run as a step that no other build has, before or after.
        timeout: The limit of the whole build in seconds.
        report: Is told of each step whenever it changes.
        watch: Is called again and again while the build goes on; what it raises, or `report` does, ends the build.
        secrets: What ``RUN --mount=type=secret,id=NAME`` gets, by name; see `layerlab.builder.session`. One that is
            not here is left out, as `docker build` does, or fails its step where it is required.

    Raises:
        UsageError: the tag or the target cannot be.
        DockerfileError: the Dockerfile is missing, empty or wrong, or has no such target.
        ContextError: the context cannot be read or is over a limit.
        StepFailed: a step failed.
        BaseImageError: a base image cannot be had.
        BuildTimeout: the time limit was reached.
        EngineGone: the engine stopped answering.
        EngineTooOld: the engine cannot build from a tar stream.
        EngineError: it is Podman.
        BuildError: the image cannot be built for another reason.

    >>> folder.mkdir()
    >>> written = (folder / "Dockerfile").write_text("FROM python:3.13-slim-trixie\nRUN echo hello\n")
    >>> built = build(engine, folder)
    >>> built.steps.set_index("line")["instruction"][2]
    'RUN echo hello'
    >>> engine.client.images.remove(built.image_id)
    """
    _check_builder(engine)
    if tag is not None and not match_tag(tag):
        raise UsageError(f"{tag!r} cannot be the tag of an image", remedy="use lower case, such as name:version")
    sent = contexts.collect(context, dockerfile) if isinstance(context, Path) else context
    parsed = dockerfiles.parse(sent.text, build_args, engine.platform)
    final = parsed.target(target)
    if not final.name and final != parsed.stages[-1]:
        raise UsageError(
            f"stage {final.index} of the Dockerfile has no name, and BuildKit finds a target by its name alone",
            remedy="give it one: FROM ... AS name",
        )
    progress = steps.Progress(parsed, report)
    # Those of the docker configuration, as `docker build` passes them on; BuildKit stores them nowhere.
    proxies = engine.client.api._proxy_configs.get_environment()  # type: ignore[attr-defined]
    parameters = {
        "dockerfile": sent.dockerfile,
        "t": tag,
        "target": final.name if final != parsed.stages[-1] else None,
        "buildargs": json.dumps({**proxies, **(build_args or {})}),
        "labels": json.dumps(dict(labels or {})),
        "nocache": int(no_cache),
        # A name of its own in /etc/hosts makes each RUN another step, and with it whatever follows.
        "extrahosts": f"{uuid.uuid4().hex}.invalid:127.0.0.1" if apart else None,
    }
    begin, image_id = time.monotonic(), None
    with (
        _session(engine, parsed, secrets or {}) as parameters["session"],
        contextlib.closing(request.run(engine, sent, parameters, timeout)) as lines,
    ):
        for line in lines:
            watch()
            progress.tick()
            if line is None:
                continue
            if line.get("id") == "moby.buildkit.trace":
                progress.update(trace.decode(line["aux"]))
            elif line.get("id") == "moby.image.id":
                image_id = str(line["aux"]["ID"])
            elif "error" in line:
                progress.finish()
                _check_it_goes_on(engine)
                raise failures.explain(str(line["error"]), progress.rows, parsed)
    progress.finish(built=image_id is not None)
    if image_id is None:
        raise BuildError("the engine ended the build without naming an image", remedy="build again")
    return Build(image_id, tag, time.monotonic() - begin, tuple(progress.rows), parsed, final)


@contextlib.contextmanager
def _session(engine: Engine, parsed: Dockerfile, secrets: Mapping[str, bytes]) -> Iterator[str | None]:
    """The id of a session, where a step may ask for a secret."""
    if secrets or any(mount.kind in {"secret", "ssh"} for each in parsed.instructions for mount in each.mounts):
        from layerlab.builder.session import session  # noqa: PLC0415  # few builds need HTTP/2

        with session(engine, secrets) as identity:
            yield identity
    else:
        yield None


def _check_it_goes_on(engine: Engine) -> None:
    """Raise `EngineGone` where it is the engine that ends, which looks like a step that fails."""
    try:
        engine.client.api.get(f"{engine.client.api.base_url}/_ping", timeout=_PING_TIMEOUT).close()
    except requests.ConnectionError as error:
        raise gone(engine, error) from error
    except requests.RequestException:
        pass  # busy: what it said before stands


def _check_builder(engine: Engine) -> None:
    """Refuse an engine without BuildKit, and one that loses a build's context: moby issue 47717, mended in 27.5."""
    if engine.is_podman:
        raise EngineError(
            f"Podman {engine.version} has no BuildKit, with which the lab builds",
            remedy="point DOCKER_HOST to a Docker engine for what builds (./lab, build, check, the notebooks); "
            "`./lab xray` and `compare` work with Podman",
        )
    version = tuple(int(number) for number in re.findall(r"\d+", engine.version)[:2])
    if engine.has_containerd_store and version < (27, 5):
        raise EngineTooOld(
            f"Docker Engine {engine.version} cannot build from a tar stream while containerd stores its images",
            remedy="update Docker to 27.5 or newer, or turn its containerd image store off",
        )
