"""Task 4: a smaller runtime stage, without what only building needs, and at most half of the single-stage image."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Final

from layerlab.exercise import verdict
from layerlab.exercise.evidence.facts import Evidence, Snapshot
from layerlab.exercise.tasks import toolchain
from layerlab.exercise.tasks.judging import (
    BYTES,
    MULTI_STAGE,
    SINGLE_STAGE,
    base_stage,
    final_chain,
    finding,
    gone_but_stored,
    unavailable,
)
from layerlab.exercise.tasks.toolchain import Tool
from layerlab.exercise.verdict import Finding, Result
from layerlab.ui.text import shorten
from layerlab.ui.units import counted, first_few, how_large

TASK: Final = 4
_TOOL_HINTS: Final = (
    "Which line of the final stage brings this, and what does the running service do with it?",
    "Compile and install where the tools are, in a stage that does not ship; the final stage takes only the result.",
    f"Compilers: “The build stage” in {MULTI_STAGE}.",
)
_BASE_HINTS: Final = (
    "What is in the base image of your final stage that the service never uses?",
    "The final stage needs Python itself and nothing to build with; the build stage may have any base it likes.",
    f"Slim: “The base image: habit (1)” in {SINGLE_STAGE}.",
)
_SIZE_HINTS: Final = (
    "Which layers of your image are the largest, and which line made each of them?",
    "Look for what is stored and not needed: the base, tools, caches, second copies of the same files.",
    f"The bytes beside the lines: “The Dockerfile with its bytes in the margin” in {BYTES}.",
)


def judge(evidence: Evidence) -> Result:
    """Judge task 4."""
    if evidence.image is None:
        return unavailable(TASK, evidence)
    found = toolchain.tools(evidence.image)
    findings = [*_base(evidence, found), *brought(evidence, evidence.image, found)]
    if evidence.single_bytes is not None:
        findings += _size(evidence, evidence.image, evidence.single_bytes)
    elif not any(each.level == "error" for each in findings):
        message = "The single-stage image, whose half is the limit for yours, could not be built or measured here."
        message += f" {evidence.failure.message}" if evidence.failure else ""
        missing = unavailable(TASK, evidence, message)
        return verdict.judge(TASK, [*findings, *missing.findings], unknown=True)
    return verdict.judge(TASK, findings)


def _base(evidence: Evidence, found: tuple[Tool, ...]) -> Iterator[Finding]:
    """The base image, judged by what it holds."""
    tools = sorted((tool for tool in found if tool.layer is None), key=lambda tool: -tool.bytes)
    if tools:
        stage = base_stage(evidence)
        name = stage.base if stage else "the base"
        figures = first_few([_called(tool) for tool in tools], 4)
        yield finding(
            evidence,
            "error",
            f"The final image is based on {name}, which is made to build things: it holds {figures}. A service that "
            "runs needs none of that, and whoever breaks into it may use all of it.",
            _BASE_HINTS,
            stage.line if stage else None,
        )


def brought(evidence: Evidence, snapshot: Snapshot, found: Iterable[Tool]) -> Iterator[Finding]:
    """What the layers above the base bring, a finding for each line; task 5 asks for those of compilers, too."""
    by_layer: dict[int, list[Tool]] = defaultdict(list)
    for tool in found:
        if tool.layer is not None:
            by_layer[tool.layer].append(tool)
    for number, tools in by_layer.items():
        line = snapshot.layers[number].line
        tools.sort(key=lambda tool: -tool.bytes)
        files = {file.path: file for tool in tools for file in tool.files}
        size = how_large(sum(file.bytes for file in files.values()))
        message = f"{first_few([_called(tool) for tool in tools], 5)} came with line {line}"
        message += f" ({size} in all)." if len(tools) > 1 else "."
        message += gone_but_stored(snapshot, files.values())
        message += " Only building needs this: in a running service it is weight, and of use to whoever breaks in."
        yield finding(evidence, "error", message, _TOOL_HINTS, line)


def _called(tool: Tool) -> str:
    """Such as ``gcc-14, 143 MB``."""
    if tool.kind == "headers":
        first = min(file.path for file in tool.files)
        such = f", such as {shorten(first, 80)}" if len(tool.files) > 1 else f", {shorten(first, 80)}"
        return f"{counted(len(tool.files), 'C or C++ header')} in {tool.name} ({how_large(tool.bytes)}{such})"
    size = f" ({how_large(tool.bytes)})" if tool.bytes >= 1000 else ""
    return f"{tool.name}{size}"


def _size(evidence: Evidence, snapshot: Snapshot, single: int) -> Iterator[Finding]:
    if 2 * snapshot.total_bytes <= single:
        return
    base = sum(layer.bytes for layer in snapshot.layers if layer.is_base)
    above = [layer for layer in snapshot.layers if not layer.is_base]
    above.sort(key=lambda layer: -layer.bytes)
    largest = above[0] if above else None
    chain = final_chain(evidence)
    line = largest.line if largest and largest.bytes > base else chain[-1].line if chain else None
    parts = [f"its base {how_large(base)}"] if base else []
    parts += [f"line {layer.line} {how_large(layer.bytes)}" for layer in above[:3] if layer.line and layer.bytes]
    yield finding(
        evidence,
        "error",
        f"The image stores {how_large(snapshot.total_bytes)}, more than half of the single-stage image's "
        f"{how_large(single)} ({'; '.join(parts)}). Whatever is stored is pulled, kept and scanned wherever it runs.",
        _SIZE_HINTS,
        line,
    )
