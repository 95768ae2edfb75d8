"""Why a build failed, told so that one sees whose fault it is: the Dockerfile's, the network's or the registry's."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from layerlab.build.logs import tail
from layerlab.build.steps import Row
from layerlab.dockerfile import Dockerfile, Instruction
from layerlab.engine import disk_full, is_disk_full
from layerlab.errors import BaseImageError, BuildError, DockerfileError, LabError, RegistryRefused, StepFailed
from layerlab.text import one_line, plain, shorten

_PARSE_ERROR: Final = re.compile(r"parse error (?:on )?line (\d+): (.*)", re.IGNORECASE | re.DOTALL)
_EXIT_CODE: Final = re.compile(r"exit code: (\d+)")
_IMAGE: Final = re.compile(r"(?:load metadata for|resolve image config for|FROM) (?:docker-image://)?(\S+)$")
_NETWORK: Final = re.compile(
    r"dial tcp|no such host|connection (?:refused|reset)|network is unreachable|timeout|x509|EOF$", re.IGNORECASE
)
_REFUSED: Final = re.compile(
    r"denied|unauthorized|forbidden|not found|manifest unknown|too ?many ?requests|unexpected status|does not exist",
    re.IGNORECASE,
)
OFFLINE: Final = re.compile(
    r"Temporary failure (?:resolving|in name resolution)|Could not (?:connect|resolve)|Unable to connect to"
    r"|Failed to establish a new connection|Name or service not known|No address associated with hostname"
    r"|Network is unreachable|No route to host|Connection (?:timed out|reset by peer|broken)"
    r"|(?:Read|Connect)Timeout(?:Error)?|TLS handshake timeout|dns error|tcp connect error"
    r"|temporary error \(try again later\)|ProxyError|CERTIFICATE_VERIFY_FAILED",
    re.IGNORECASE,
)
"""What commands print where it is the network that is at fault."""
_CLOCK: Final = re.compile(
    r"is not valid yet|is expired \(invalid since|certificate (?:is not yet valid|has expired)", re.IGNORECASE
)
_END_OF_LOG: Final = 4_000  # characters; what a step printed long before it failed is not why
_CANCELLED: Final = re.compile(r"context canceled|cancell?ed", re.IGNORECASE)
_NOISE: Final = re.compile(
    r"failed to (?:solve|compute cache key|load cache key|create LLB definition|do request)"
    r"(?: with frontend \S+)?: |failed to calculate checksum of ref \S+: |rpc error: code = \w+ desc = "
)
_ENGINE_PATHS: Final = re.compile(r"/\S*/(?:overlay2/\w+/merged|snapshots/\d+/fs|buildkit-mount\w+)(?=/)")
_REMEDIES: Final = {
    126: "the command is no program that this image can run: see its permissions and its first line",
    127: "the command is not there: install it in this stage, or check how it is spelled",
    137: "it was killed, most likely for lack of memory: give the engine more",
}


def explain(message: str, rows: Sequence[Row], dockerfile: Dockerfile) -> LabError:
    """The error to raise for a build that failed; a note shows the place in the Dockerfile.

    Args:
        message: What the engine says.
        rows: What was done.
        dockerfile: What was built.
    """
    error = _error(message, rows, dockerfile)
    if isinstance(error, StepFailed | DockerfileError) and error.line:
        error.add_note(dockerfile.excerpt(error.line))
    return error


def _error(message: str, rows: Sequence[Row], dockerfile: Dockerfile) -> LabError:
    # Whatever was being done, it is nobody's mistake. But of a command that ran and failed, older engines repeat the
    # text, which may hold such words, too: its log tells more.
    if is_disk_full(message) and not _EXIT_CODE.search(message):
        return disk_full(_cause(message))
    failed = [row for row in rows if row.state == "failed"]
    # What runs beside a step that fails is cancelled; that is no cause.
    culprit = next((row for row in failed if not _CANCELLED.search(row.error)), None)
    if culprit is None:
        culprit = _told_to_another(message, rows)
        return _step_failed(culprit, message) if culprit else _without_step(message, rows, dockerfile)
    if found := _IMAGE.search(culprit.title):
        return base_image_error(found[1], culprit.error)
    if culprit.is_step:
        return _step_failed(culprit, culprit.error)
    asking = next((row for row in rows if row.is_step and row.inputs & culprit.vertices.keys()), None)
    return _step_failed(asking, culprit.error) if asking else _without_step(message, rows, dockerfile)


def _told_to_another(message: str, rows: Sequence[Row]) -> Row | None:
    """The RUN that failed in another build, which did the same at the same time: only that one was told its end."""
    if not _EXIT_CODE.search(message):
        return None
    said = one_line(message)
    waiting = [row for row in rows if row.state is None and row.text.upper().startswith("RUN ")]
    return next((row for row in waiting if row.text[len("RUN ") :].strip() in said), None)


def base_image_error(name: str, reason: str) -> BaseImageError:
    """The error for an image that cannot be had: a registry refuses it, or no registry was reached."""
    name = name.partition("@")[0].removeprefix("docker.io/library/").removeprefix("docker.io/")
    if _REFUSED.search(reason) and not _NETWORK.search(reason):
        return RegistryRefused(
            f"the registry refuses the image {name} ({_cause(reason)})",
            remedy="check its name and tag, and whether `docker pull` gets it",
        )
    return BaseImageError(
        f"the image {name} is not here, and its registry cannot be reached over the network ({_cause(reason)})",
        remedy="see whether the engine is online, or get the image first (`docker pull`, `docker load`)",
    )


def _step_failed(row: Row, reason: str) -> StepFailed:
    instruction = row.instruction
    where = f"line {instruction.line} of the Dockerfile" if instruction else f"a step of the stage {row.stage}"
    if code := _EXIT_CODE.search(reason):
        last = row.log.last_line()
        what = f"{where} failed with exit code {code[1]}: {shorten(row.text, 100)}"
        what += f" (it last said: {shorten(last, 100)})" if last else ""
        remedy = _from_outside(row.log.text()) or _REMEDIES.get(
            int(code[1]), "read the end of its log, correct the Dockerfile and build again"
        )
    else:
        what = f"{where} failed: {shorten(row.text, 100)} ({_cause(reason)})"
        remedy = _remedy(row.text, reason)
    return StepFailed(
        what,
        remedy=remedy,
        line=instruction.line if instruction else None,
        instruction=plain(instruction.text) if instruction else row.text,
        log=tail(row.log.text()),
    )


def _from_outside(log: str) -> str:
    """What to do where the end of a step's log says that the Dockerfile is not at fault; empty where it does not."""
    end = log[-_END_OF_LOG:]
    if is_disk_full(end):
        return (
            "the disk is full: make room (`docker system df` shows what takes it, `docker builder prune` empties the "
            "build cache) and build again"
        )
    if _CLOCK.search(end):
        return "the clock of the engine's machine is off (see `date`), or that server's word is out of date"
    if OFFLINE.search(end):
        return (
            "the network is at fault, most likely: see whether the engine is online, and build again; the steps "
            "before it are kept"
        )
    return ""


def _remedy(instruction: str, reason: str) -> str:
    if _NETWORK.search(reason):
        return "the network is at fault, or the address is wrong: see whether the engine is online"
    if instruction.startswith(("COPY", "ADD")) and re.search("not found|no such file", reason):
        return "check how it is spelled, that it is where it is copied from, and that .dockerignore keeps it"
    return "correct the Dockerfile and build again"


def _without_step(message: str, rows: Sequence[Row], dockerfile: Dockerfile) -> BuildError:
    message = plain(message)
    if found := _PARSE_ERROR.search(message):
        return _parse_error(int(found[1]), found[2], dockerfile)
    if _CANCELLED.search(message):
        return BuildError("the build was cancelled on the engine, not from here", remedy="build again")
    if not any(row.is_step for row in rows):  # BuildKit got the Dockerfile, and could make no steps of it
        return DockerfileError(f"the Dockerfile cannot be built: {_cause(message)}", remedy="correct the Dockerfile")
    return BuildError(
        f"the image cannot be built: {_cause(message)}", remedy="see the engine's own log if this says too little"
    )


def _parse_error(line: int, why: str, dockerfile: Dockerfile) -> DockerfileError:
    if any(instruction.heredocs and _covers(instruction, line) for instruction in dockerfile.instructions):
        why, remedy = "this engine's builder knows no heredocs", "join the commands with && or update the engine"
    elif "unknown flag" in why.lower():
        remedy = "check how it is spelled; the builder of an old engine does not know every flag"
    else:
        remedy = "correct that line and save the file"
    return DockerfileError(f"line {line} of the Dockerfile: {shorten(why, 100)}", remedy=remedy, line=line)


def _covers(instruction: Instruction, line: int) -> bool:
    return instruction.line <= line <= instruction.end_line


def _cause(reason: str) -> str:
    """A chain of causes, which Go writes as ``a: b: c``, without what says nothing to the reader."""
    return shorten(_ENGINE_PATHS.sub("", _NOISE.sub("", reason)), 200)
