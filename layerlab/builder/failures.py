"""Why a build failed, told so that one sees whose fault it is: the Dockerfile's, the network's or the registry's."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from typing import Final

from layerlab.builder.steps import Row
from layerlab.dockerfile import Dockerfile, Instruction, copied_from, show_place
from layerlab.engine.symptoms import CLOCK_OFF, OFFLINE, disk_full, is_disk_full, not_pulled, why_not_pulled
from layerlab.errors import BaseImageError, BuildError, DockerfileError, LabError, StepFailed
from layerlab.ui.text import one_line, plain, shorten, unseen

_PARSE_ERROR: Final = re.compile(r"parse error (?:on )?line (\d+): (.*)", re.IGNORECASE | re.DOTALL)
_NEWER_OPERATOR: Final = re.compile(
    r'process ".*(\$\{\w+(?:%%?|##?|//?|[-+?])).*": (?:missing|unsupported) .* in subst'
)
_NO_STAGE: Final = re.compile(
    r"failed to parse stage name|cannot copy from stage|variable expansion|should not be blank"
)
OLD_BUILDER: Final = "this engine's builder"
"""What an error speaks of where a newer engine would take the Dockerfile."""
_EXIT_CODE: Final = re.compile(r"exit code: (\d+)")
_IMAGE: Final = re.compile(r"(?:load metadata for|resolve image config for|FROM) (?:docker-image://)?(\S+)$")
_LINES_OF_LOG, _MOST_ERRORS = 10, 5  # that an error carries along
_LONG_END: Final = 30_000  # characters; a program that installs tells what is wrong long before it ends
_SAYS_WHY: Final = re.compile(
    r"^\s*(?:\S+: ){0,3}(?:(?:fatal )?error|E|\w*Error|\w*Exception): (?!subprocess-exited|metadata-generation"
    r"|Failed to build|Failed building|Could not build|command '\S*' failed with exit)\S.*",
    re.IGNORECASE | re.MULTILINE,
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
_BASH: Final = re.compile(
    r"^\S*sh: (?:\d+: )?(?:"
    r"(?P<word>source|\[\[|declare|let|mapfile|popd|pushd|readarray|shopt|typeset): not found"
    r"|Syntax error: (?:\"\(\"|redirection) unexpected|Bad substitution|set: Illegal option -o pipefail)",
    re.MULTILINE,
)


def explain(message: str, rows: Sequence[Row], dockerfile: Dockerfile) -> LabError:
    """The error to raise where the engine says this of a build; a note shows the place in the Dockerfile."""
    error = _error(message, rows, dockerfile)
    if isinstance(error, StepFailed | DockerfileError):
        show_place(error, dockerfile.text, error.line)
    if isinstance(error, DockerfileError):
        error.line = error.line or _line_of_quoted(str(error), dockerfile)
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
        return _step_failed(culprit, message, dockerfile) if culprit else _without_step(message, rows, dockerfile)
    if found := _IMAGE.search(culprit.title):
        name = found[1].partition("@")[0].removeprefix("docker.io/library/").removeprefix("docker.io/")
        error = not_pulled(name, _NOISE.sub("", culprit.error))
        return _no_stage_of_that_name(found[1], error, dockerfile) or error
    needing = (row for row in rows if row.is_step and row.inputs & culprit.vertices.keys())
    asking = culprit if culprit.is_step else next(needing, None)
    return _step_failed(asking, culprit.error, dockerfile) if asking else _without_step(message, rows, dockerfile)


def _told_to_another(message: str, rows: Sequence[Row]) -> Row | None:
    """The RUN that failed in another build, which did the same at the same time: only that one was told its end."""
    if not _EXIT_CODE.search(message):
        return None
    said = one_line(message)
    waiting = [row for row in rows if row.state is None and row.text.upper().startswith("RUN ")]
    return next((row for row in waiting if row.text[len("RUN ") :].strip() in said), None)


def _no_stage_of_that_name(image: str, error: BaseImageError, dockerfile: Dockerfile) -> LabError | None:
    """For an image that is called as a stage might be, where there are stages with names: which was meant."""
    name = image.partition("@")[0].removeprefix("docker.io/").removeprefix("library/").removesuffix(":latest")
    stages = {stage.name: stage.line for stage in dockerfile.stages if stage.name}
    asking = {
        reference: each.written_on
        for stage in dockerfile.stages
        for each in stage.executed
        for reference in (*copied_from(each), *([stage.base] if each.keyword == "FROM" else []))
    }
    if not stages or name not in asking or set(name) & set("/:@."):
        return None
    missing = f"line {asking[name]} of the Dockerfile: no stage is called {shorten(name, 60)}"
    if meant := difflib.get_close_matches(name, stages, 1):
        where = f"line {stages[meant[0]]} begins one called {shorten(meant[0], 60)}"
        return DockerfileError(f"{missing}; {where}", remedy=f"write {meant[0]} there", line=asking[name])
    there = ", ".join(shorten(stage, 40) for stage in list(stages)[:5])
    return type(error)(f"{missing} (there are: {there}), and {error}", remedy=f"name a stage, or {error.remedy}")


def _step_failed(row: Row, reason: str, dockerfile: Dockerfile) -> StepFailed | DockerfileError:
    if row.instruction and (name := _variable(row.instruction)) and not _EXIT_CODE.search(reason):
        return _takes_no_variables(row.instruction, name)  # behind ONBUILD, old builders copy from an empty stage
    line, text = _place(row, dockerfile)
    where = f"line {line} of the Dockerfile" if line else f"a step of the stage {row.stage}"
    if code := _EXIT_CODE.search(reason):
        said = [each.strip() for each in _SAYS_WHY.findall(row.log[-_LONG_END:])]
        last = shorten((said or [row.last_line])[0], 100)
        what = f"{where} failed with exit code {code[1]}: {text}"
        what += f" (it {'said' if said else 'last said'}: {last})" if last else ""
        remedy = (
            _from_outside(row.log)
            or (_unseen(row.instruction) if code[1] == "127" else "")
            or (of_bash(row.log) if code[1] in {"2", "127"} else "")
            or _REMEDIES.get(int(code[1]), "read the end of its log, correct the Dockerfile and build again")
        )
    else:
        what = f"{where} failed: {text} ({_cause(reason)})"
        remedy = _remedy(row.text, reason)
    return StepFailed(
        what,
        remedy=remedy,
        line=line,
        instruction=plain(row.instruction.text) if row.instruction else row.text,
        log=telling(row.log),
    )


def telling(log: str) -> str:
    """What tells why a step failed: the lines that speak of an error first, then the last ten."""
    last = [line.rstrip() for line in log.split("\n") if line.strip()][-_LINES_OF_LOG:]
    errors = dict.fromkeys(each.strip() for each in _SAYS_WHY.findall(log[-_LONG_END:]))
    earlier = [each for each in errors if not any(each in line for line in last)][:_MOST_ERRORS]
    return "\n".join([*earlier, "…", *last] if earlier else last)


def _place(row: Row, dockerfile: Dockerfile) -> tuple[int | None, str]:
    """The line to look at for a step, and what it does. For what a base image asks for, that is the line of FROM."""
    text = shorten(row.text, 100)
    if row.instruction:
        return row.instruction.written_on, f"ONBUILD {text}" if row.instruction.onbuild else text
    if row.stage_index < len(dockerfile.stages):
        stage = dockerfile.stages[row.stage_index]
        return stage.line, f"ONBUILD {text}, which {shorten(stage.base, 60)} asks for"
    return None, text


def _unseen(instruction: Instruction | None) -> str:
    """What to do where a shell takes what looks like a space for a part of a command's name; empty if nothing is."""
    lines = enumerate(instruction.text.split("\n"), instruction.written_on) if instruction else ()
    odd = next((f"line {number}, {found}" for number, line in lines if (found := unseen(line))), "")
    return odd and f"{odd}, no space to a shell: delete that character, and type a space if one is to be there"


def _from_outside(log: str) -> str:
    """What to do where the end of a step's log says that the Dockerfile is not at fault; empty where it does not."""
    end = log[-_END_OF_LOG:]
    if is_disk_full(end):
        return (
            "the disk is full: make room (`docker system df` shows what takes it, `docker builder prune` empties the "
            "build cache) and build again"
        )
    if CLOCK_OFF.search(end):
        return "the clock of the engine's machine is off (see `date`), or that server's word is out of date"
    if OFFLINE.search(end):
        return (
            "the network is at fault, most likely: see whether the engine is online, and build again; the steps "
            "before it are kept"
        )
    return ""


def of_bash(log: str) -> str:
    """What to do where the end of a log says that sh was given what only bash knows; empty where it does not."""
    found = _BASH.search(log[-_END_OF_LOG:])
    if found is None:
        return ""
    if found["word"] == "source":
        return "write `. FILE` instead: `source` is bash's word for it, which sh does not know; no package is missing"
    what = f"`{found['word']}`" if found["word"] else "bash's own syntax (arrays, <(…), <<<)"
    return f'sh does not know {what}: write it as sh has it, or put SHELL ["/bin/bash", "-c"] before it'


def _remedy(instruction: str, reason: str) -> str:
    if is_of_secret(reason):
        return "give it to the build, or let the step also work without it (no `required`)"
    if why_not_pulled(reason) in {"unreachable", "tls"}:
        return "the network is at fault, or the address is wrong: see whether the engine is online"
    if instruction.startswith(("COPY", "ADD")) and re.search("not found|no such file", reason):
        return "check how it is spelled, that it is where it is copied from, and that .dockerignore keeps it"
    return "correct the Dockerfile and build again"


def is_of_secret(reason: str) -> bool:
    """Whether a step requires a build secret or an SSH agent that nobody has given."""
    return bool(re.search(r"secret \S+ not found|secret \S+: not found|no SSH key|no active sessions", reason))


def _without_step(message: str, rows: Sequence[Row], dockerfile: Dockerfile) -> BuildError:
    message = plain(message)
    if error := _no_such_stage(message, dockerfile):
        return error
    if newer := _NEWER_OPERATOR.search(message):
        line = _line_of_quoted(message, dockerfile)
        where = f"line {line} of the Dockerfile" if line else "the Dockerfile"
        return DockerfileError(
            f"{where}: {OLD_BUILDER} does not know {newer[1]}…}}, which came with newer ones",
            remedy="update the engine, or begin the Dockerfile with # syntax=docker/dockerfile:1 (which is pulled "
            "then), or write out what is to come of it",
            line=line,
        )
    if found := _PARSE_ERROR.search(message):
        return _parse_error(int(found[1]), found[2], dockerfile)
    if _CANCELLED.search(message):
        return BuildError("the build was cancelled on the engine, not from here", remedy="build again")
    if not any(row.is_step for row in rows):  # BuildKit got the Dockerfile, and could make no steps of it
        return DockerfileError(f"the Dockerfile cannot be built: {_cause(message)}", remedy="correct the Dockerfile")
    return BuildError(
        f"the image cannot be built: {_cause(message)}", remedy="see the engine's own log if this says too little"
    )


def _no_such_stage(message: str, dockerfile: Dockerfile) -> DockerfileError | None:
    """For a name with a variable that is not replaced, or is by nothing."""
    executed = (each for stage in dockerfile.stages for each in stage.executed)
    for instruction in executed if _NO_STAGE.search(message) else ():
        variable = _variable(instruction)
        if variable and (variable in message or "variable expansion" in message):
            return _takes_no_variables(instruction, variable)
    return None


def _variable(instruction: Instruction) -> str:
    """What holds a variable where an instruction names a stage or an image; empty if nothing does."""
    return next((name for name in copied_from(instruction) if "$" in name), "")


def _takes_no_variables(instruction: Instruction, name: str) -> DockerfileError:
    line, flag = instruction.written_on, "--mount=from" if instruction.keyword == "RUN" else "--from"
    name = shorten(name, 60)
    return DockerfileError(
        f"line {line} of the Dockerfile: {flag} takes no variables, and {name} holds one",
        remedy="name the stage or image itself; or, since FROM takes variables (ARGs before the first FROM), write "
        f"FROM {name} AS some-name before this stage, and name that one here",
        line=line,
    )


def _line_of_quoted(message: str, dockerfile: Dockerfile) -> int | None:
    """The instruction that holds what a message quotes, or the stage that it names."""
    if found := re.search(r"on stage: (\S+)", message):
        stage = dockerfile.find_stage(found[1]) or dockerfile.find_stage(found[1].removeprefix("stage-"))
        return stage.line if stage else None
    quoted = re.findall(r'"([^"]+)"', message)
    return next((each.line for text in quoted for each in dockerfile.instructions if text in each.text), None)


def _parse_error(line: int, why: str, dockerfile: Dockerfile) -> DockerfileError:
    if any(each.heredocs and each.line <= line <= each.end_line for each in dockerfile.instructions):
        why, remedy = f"{OLD_BUILDER} knows no heredocs", "join the commands with && or update the engine"
    elif "unknown flag" in why.lower():
        remedy = "check how it is spelled; the builder of an old engine does not know every flag"
    else:
        remedy = "correct that line and save the file"
    return DockerfileError(f"line {line} of the Dockerfile: {shorten(why, 100)}", remedy=remedy, line=line)


def _cause(reason: str) -> str:
    """A chain of causes, which Go writes as ``a: b: c``, without what says nothing to the reader."""
    return shorten(_ENGINE_PATHS.sub("", _NOISE.sub("", reason)), 200)
