"""Why a build failed, told so that one sees whose fault it is: the Dockerfile's, the network's, the engine's."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from layerlab.build.logs import plain, tail
from layerlab.build.steps import Row
from layerlab.dockerfile import Dockerfile
from layerlab.errors import BaseImageError, BuildError, DockerfileError, LabError, RegistryRefused, StepFailed

_PARSE_ERROR: Final = re.compile(r"(?:dockerfile )?parse error (?:on )?line (\d+): (.*)", re.IGNORECASE | re.DOTALL)
_EXIT_CODE: Final = re.compile(r"exit code: (\d+)")
_METADATA: Final = re.compile(r"load metadata for (\S+)")
_REFUSED: Final = re.compile(
    r"pull access denied|unauthorized|forbidden|not found|manifest unknown|toomanyrequests|too many requests"
    r"|unexpected status|authorization failed|does not exist",
    re.IGNORECASE,
)
_CANCELLED: Final = re.compile(r"context canceled|cancell?ed", re.IGNORECASE)
_REMEDIES: Final = {
    126: "the command is no program that this image can run: see its permissions and its first line",
    127: "the command is not there: install it in this stage, or check how it is spelled",
    137: "it was killed, most likely for lack of memory: give the engine more",
}


def explain(message: str, rows: Iterable[Row], dockerfile: Dockerfile) -> LabError:
    """The error to raise for a build that failed.

    Args:
        message: What the engine says.
        rows: What was done.
        dockerfile: What was built.
    """
    failed = [row for row in rows if row.state == "failed"]
    culprit = next((row for row in failed if not _CANCELLED.search(_reason(row))), None)
    if culprit is None:
        return _without_step(message)
    reason = _reason(culprit)
    if found := _METADATA.search(culprit.title):
        return base_image_error(found[1], reason)
    if culprit.text.upper().startswith("FROM ") and culprit.instruction:
        return base_image_error(dockerfile.stages[culprit.instruction.stage or 0].base, reason)
    return _step_failed(culprit, reason) if culprit.is_step else _without_step(message)


def base_image_error(name: str, reason: str) -> BaseImageError:
    """The error for a base image that cannot be had: refused by a registry, or no registry was reached."""
    name = name.removeprefix("docker.io/library/")
    cause = _last_cause(reason)
    if _REFUSED.search(reason) and "no such host" not in reason:
        return RegistryRefused(
            f"the registry refuses the base image {name} ({cause})",
            remedy="check its name and tag, and whether `docker pull` gets it",
        )
    return BaseImageError(
        f"the base image {name} is not here, and the network does not reach its registry ({cause})",
        remedy="see whether this machine is online, or get the image first: `docker pull` or `docker load`",
    )


def _reason(row: Row) -> str:
    return next((plain(vertex.error) for vertex in row.vertices.values() if vertex.error), "")


def _step_failed(row: Row, reason: str) -> StepFailed:
    log = row.log.text()
    code = _EXIT_CODE.search(reason)
    line = row.instruction.line if row.instruction else None
    where = f"line {line} of the Dockerfile" if line else f"a step of the stage {row.stage}"
    if code:
        last = row.log.last_line()
        what = f"{where} failed with exit code {code[1]}: {_short(row.text)}" + (
            f" (it last said: {_short(last)})" if last else ""
        )
        remedy = _REMEDIES.get(int(code[1]), "read the end of its log, correct the Dockerfile and build again")
    else:
        what = f"{where} failed: {_short(row.text)} ({_short(_last_cause(reason))})"
        remedy = "correct the Dockerfile and build again"
        if row.text.startswith(("COPY", "ADD")) and "not found" in reason:
            remedy = (
                "check that it is spelled as in the folder or stage that it comes from, and .dockerignore keeps it"
            )
    return StepFailed(what, remedy=remedy, line=line, instruction=row.text, log=tail(log))


def _without_step(message: str) -> BuildError:
    message = plain(message)
    if found := _PARSE_ERROR.search(message):
        return DockerfileError(
            f"line {found[1]} of the Dockerfile: {_short(found[2])}",
            remedy="correct that line and save the file",
            line=int(found[1]),
        )
    return BuildError(
        f"the image cannot be built: {_short(_without_prefixes(message), 300)}", remedy="correct the Dockerfile"
    )


def _without_prefixes(message: str) -> str:
    for prefix in (
        "failed to solve with frontend dockerfile.v0: ",
        "failed to solve: ",
        "failed to create LLB definition: ",
    ):
        message = message.removeprefix(prefix)
    return message


def _last_cause(reason: str) -> str:
    """Of a chain of causes, which Go writes as ``a: b: c``, the part that says most in short."""
    return _short(_without_prefixes(reason).removeprefix("failed to compute cache key: "), 160)


def _short(text: str, limit: int = 100) -> str:
    text = " ".join(text.split())
    return text if len(text) <= limit else text[: limit - 1] + "…"
