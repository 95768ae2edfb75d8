"""From BuildKit's vertices to a Dockerfile's steps: what ran, how long it took, what it printed."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from layerlab.builder.trace import Status, Vertex
from layerlab.dockerfile import Dockerfile, Instruction, Stage
from layerlab.ui.progress import Report, State, Step
from layerlab.ui.text import one_line, plain
from layerlab.ui.units import so_far

if TYPE_CHECKING:
    import pandas as pd

_STEP_NAME: Final = re.compile(
    r"\[(?:\S+/\S+ )?(?:(?P<stage>\S+) )? *(?P<step>\d+)/\d+\] (?P<onbuild>ONBUILD )?(?P<instruction>.*)", re.DOTALL
)
_FLAGS: Final = re.compile(r"(?:--\S+ )*")
_UNNAMED: Final = re.compile(r"stage-(\d+)")
_CONTEXT: Final = "[internal] load remote build context"
_INTERNAL_TITLES: Final = {
    _CONTEXT: "receive the build context",
    "copy /context /": "unpack the build context",
    "exporting to image": "write the image",
}
_QUICKEST_RUN: Final = 0.001  # seconds; starting a container alone takes ten times as long
_PATIENCE: Final = 0.5  # seconds after which BuildKit's own work is worth showing
STEPS_DTYPES: Final = {
    "stage": "str",
    "step": "Int64",
    "line": "Int64",
    "instruction": "str",
    "began": "float64",
    "seconds": "float64",
    "cached": "bool",
    "log": "str",
}


@dataclass
class Row:
    """One step, or one piece of BuildKit's own work, with the vertices that do it."""

    key: str
    title: str
    stage: str = ""  # its name or index; empty for BuildKit's own work
    stage_index: int = -1
    step: int | None = None  # BuildKit's number of it within the stage; None for BuildKit's own work
    instruction: Instruction | None = None  # None as well for what an image from outside asks for (ONBUILD)
    text: str = ""  # the instruction on one line
    vertices: dict[str, Vertex] = field(default_factory=dict)  # by their digest, as they stand now
    # When they ran, in the engine's seconds since 1970: the end by digest and beginning.
    spans: dict[tuple[str, float], float | None] = field(default_factory=dict)
    printed: bytearray = field(default_factory=bytearray)  # at most 2 MiB, BuildKit's STEP_LOG_MAX_SIZE
    seen_at: float | None = None  # when it was first seen running, on this machine's clock
    shown: bool = False
    transfers: dict[str, tuple[int, int]] = field(default_factory=dict)  # current and total bytes, by name
    left_to_another: bool = False  # it was announced and never begun, though there is an image
    begun_before: bool = False  # it began before the build did: another build has it in hand, or had

    @property
    def log(self) -> str:
        """Its output as plain lines."""
        return plain(bytes(self.printed))

    @property
    def last_line(self) -> str:
        """The newest line of its output that is not empty."""
        recent = plain(bytes(self.printed[-2000:]))
        return next((line.strip() for line in reversed(recent.split("\n")) if line.strip()), "")

    @property
    def is_step(self) -> bool:
        """Whether the Dockerfile asks for it."""
        return self.step is not None

    @property
    def is_from(self) -> bool:
        """Whether it is a FROM."""
        return self.is_step and self.text.upper().startswith("FROM ")

    @property
    def inputs(self) -> set[str]:
        """The digests of the vertices that its own vertices need."""
        return {digest for vertex in self.vertices.values() for digest in vertex.inputs}

    @property
    def error(self) -> str:
        """Why it failed; empty if it did not."""
        return next((plain(vertex.error) for vertex in self.vertices.values() if vertex.error), "")

    @property
    def state(self) -> State | None:
        """How it stands; None before it starts."""
        vertices = self.vertices.values()
        if any(vertex.error for vertex in vertices):
            return "failed"
        if not self.spans:
            return "cached" if self.left_to_another else None
        if any(end is None for end in self.spans.values()):
            return "running"
        if self.is_from:
            # Old engines call no FROM cached; what matters is whether anything was pulled.
            return "done" if any(size for _, size in self.transfers.values()) else "cached"
        # Where another build has the result at hand, Engine 26 tells a step as done, not as cached.
        was_taken_over = self.text.upper().startswith("RUN") and self.seconds < _QUICKEST_RUN
        is_cached = self.begun_before or was_taken_over or all(vertex.cached for vertex in vertices)
        return "cached" if is_cached else "done"

    @property
    def seconds(self) -> float:
        """How long its vertices ran; what ran at the same time counts once."""
        total, reached = 0.0, 0.0
        for (_, start), end in sorted(self.spans.items(), key=lambda span: span[0][1]):
            if end is not None:
                total += max(0.0, end - max(start, reached))
                reached = max(reached, end)
        return total

    def update(self, vertex: Vertex) -> None:
        """Take in how one of its vertices stands now."""
        known = self.vertices.get(vertex.digest)
        self.vertices[vertex.digest] = vertex if known is None or vertex.started or vertex.error else known
        if vertex.started is not None:
            self.spans[vertex.digest, vertex.started] = vertex.completed
            if self.seen_at is None:
                self.seen_at = time.monotonic()

    def as_step(self) -> Step:
        """It as it is reported."""
        state = self.state or "running"
        seconds: float | None = self.seconds
        if state == "running":
            seconds = time.monotonic() - self.seen_at if self.seen_at is not None else None
        done, total = (sum(bytes_) for bytes_ in zip((0, 0), *self.transfers.values(), strict=True))
        return Step(
            self.key,
            self.title,
            state,
            seconds,
            self.last_line or (so_far(done, total) if total else ""),
            stage=self.stage,
            line=self.instruction.written_on if self.instruction else None,
            from_cache=self.begun_before or all(vertex.cached for vertex in self.vertices.values()),
        )


class Progress:
    """Follows a build."""

    def __init__(self, dockerfile: Dockerfile, report: Report) -> None:
        self._dockerfile = dockerfile
        self._report = report
        self._rows: dict[str, Row] = {}
        self._by_digest: dict[str, Row] = {}
        self._held: dict[str, Row] = {}
        self._begun = 0.0  # when the engine began, on its clock

    @property
    def rows(self) -> list[Row]:
        """Steps and BuildKit's own work, in the order in which they were announced."""
        return list(self._rows.values())

    def update(self, status: Status) -> None:
        """Take in a message, and report what has changed."""
        changed: dict[str, Row] = {}
        for vertex in status.vertices:
            row = self._row(vertex)
            row.update(vertex)
            if vertex.name == _CONTEXT:  # what each build does first, and does alone
                self._begun = self._begun or vertex.started or 0.0
            row.begun_before = bool(row.spans) and all(start < self._begun for _, start in row.spans)
            changed[row.key] = row
        for output in status.outputs:
            if found := self._by_digest.get(output.vertex):
                found.printed += output.data
                changed[found.key] = found
        for transfer in status.transfers:
            if found := self._by_digest.get(transfer.vertex):
                found.transfers[transfer.name] = (transfer.current, transfer.total)
                changed[found.key] = found
        for row in changed.values():
            if row.state is not None and (row.shown or row.is_step):
                self._release(row)
                if row.is_from and row.state != "running":
                    self._held[row.key] = row
                else:
                    self._show(row)

    def finish(self, *, built: bool = False) -> None:
        """Report what was held back; nothing will change any more.

        Where there is an image, nothing goes on, though BuildKit does not always tell the end. Of two builds that do
        the same at the same time, it tells one of the steps; of the other they were announced, and count as cached.
        """
        for row in self._held.values():
            self._show(row)
        self._held.clear()
        if not built:
            return
        for row in self._rows.values():
            if row.is_step and row.state is None:
                row.left_to_another = True
                self._show(row)
            elif row.shown and row.state == "running":
                self._report(replace(row.as_step(), state="done"))

    def _release(self, row: Row) -> None:
        """Report the FROMs that this row needs.

        BuildKit calls a FROM completed as soon as it knows the image, and lets it run again to pull it. So its end
        is told only when something that needs it begins.
        """
        for key, held in list(self._held.items()):
            if row.inputs & held.vertices.keys():
                self._show(self._held.pop(key))

    def tick(self) -> None:
        """Report what BuildKit is busy with for a while already, though no instruction asks for it."""
        now = time.monotonic()
        for row in self._rows.values():
            if row.state == "running" and not row.shown and now - (row.seen_at or now) > _PATIENCE:
                self._show(row)

    def _show(self, row: Row) -> None:
        row.shown = True
        self._report(row.as_step())

    def _row(self, vertex: Vertex) -> Row:
        if vertex.digest in self._by_digest:
            return self._by_digest[vertex.digest]
        row = self._new_row(vertex)
        self._by_digest[vertex.digest] = self._rows.setdefault(row.key, row)
        return self._by_digest[vertex.digest]

    def _new_row(self, vertex: Vertex) -> Row:
        found = _STEP_NAME.fullmatch(vertex.name)
        if found:
            name, step, text = found["stage"] or "", int(found["step"]), one_line(found["instruction"])
            stage = self._stage(found["stage"]) or self._stage_from(text)
            instruction = self._instruction(stage, step, text, is_asked=bool(found["onbuild"])) if stage else None
        elif asked := self._asked_alone(one_line(vertex.name)):
            stage, instruction = asked
            name, step, text = stage.label, instruction.step or 0, ""
        else:
            title = _INTERNAL_TITLES.get(vertex.name, vertex.name.removeprefix("[internal] "))
            return Row(key=vertex.digest, title=one_line(title))
        # Old engines name a FROM after the last stage that stands on it, whose own steps are numbered from 1 as well.
        is_from = text.upper().startswith("FROM ")
        return Row(
            key=f"{'FROM ' if is_from else ''}{name} {step}",
            title=one_line(vertex.name),
            stage=stage.label if stage else name,
            stage_index=stage.index if stage else len(self._dockerfile.stages),
            step=step,
            instruction=instruction,
            text=plain(instruction.summary) if instruction else text,
        )

    def _asked_alone(self, name: str) -> tuple[Stage, Instruction] | None:
        """What ONBUILD asks of a stage that has no steps of its own: old engines give such a step no number."""
        silent = (stage for stage in self._dockerfile.stages if all(i.step is None for i in stage.instructions))
        asked = ((stage, each) for stage in silent for each in stage.triggered if each.step is not None)
        return next((pair for pair in asked if _begins_alike(pair[1], name)), None)

    def _stage(self, name: str | None) -> Stage | None:
        """The stage that BuildKit calls so; it gives the only stage no name."""
        stages = self._dockerfile.stages
        if name is None:
            return stages[0]
        if named := next((stage for stage in reversed(stages) if stage.name == name), None):
            return named
        number = _UNNAMED.fullmatch(name)
        return stages[int(number[1])] if number and int(number[1]) < len(stages) else None

    def _stage_from(self, text: str) -> Stage | None:
        """The stage of a FROM that newer engines tell under the name which another build has given it."""
        image = text.rpartition(" ")[2].partition("@")[0].removeprefix("docker.io/").removeprefix("library/")
        bases = (stage for stage in self._dockerfile.stages if text.upper().startswith("FROM "))
        return next((stage for stage in bases if stage.base.partition("@")[0] == image), None)

    def _instruction(self, stage: Stage, step: int, text: str, *, is_asked: bool) -> Instruction | None:
        """The instruction that is this step; None if an image from outside asks for it.

        Where such an image changes the numbers (ONBUILD, a WORKDIR that is the root directory), the text decides.
        """
        steps = stage.triggered if is_asked else stage.executed
        same = [i for i in steps if i.step is not None and _begins_alike(i, text)]
        numbered = [i for i in same if i.step == step]
        written = [i for i in same if one_line(i.value) == " ".join(_words(text))]
        return next(iter([*(i for i in numbered if i in written), *written, *numbered]), None)


def _begins_alike(instruction: Instruction, text: str) -> bool:
    """Whether BuildKit may call an instruction so: the keyword is the same and, for a RUN, what is run."""
    if text.partition(" ")[0].upper() != instruction.keyword:
        return False
    first = instruction.value.split()[:1]
    return instruction.keyword != "RUN" or "$" in instruction.value.partition(" ")[0] or first == _words(text)[:1]


def _words(text: str) -> list[str]:
    """The words of a step's name, keyword and flags left out."""
    return _FLAGS.sub("", text.partition(" ")[2], count=1).split()


def steps_frame(rows: Iterable[Row]) -> pd.DataFrame:
    """The DataFrame of steps (see `layerlab.builder.Build`): those that ran, in the order of the Dockerfile."""
    import pandas as pd  # noqa: PLC0415  # takes as long as starting a command, which may need none

    ran = sorted(
        (row for row in rows if row.is_step and row.state is not None),
        key=lambda row: (row.stage_index, row.step or 0),
    )
    begins = {row.key: min(start for _, start in row.spans) for row in ran if row.spans and row.state != "cached"}
    first = min(begins.values(), default=0.0)
    records = [
        {
            "stage": row.stage,
            "step": row.step,
            "line": row.instruction.written_on if row.instruction else None,
            "instruction": row.text,
            "began": begins[row.key] - first if row.key in begins else None,
            "seconds": row.seconds,
            "cached": row.state == "cached",
            "log": row.log,
        }
        for row in ran
    ]
    return pd.DataFrame(records, columns=list(STEPS_DTYPES)).astype(STEPS_DTYPES)


def stages_frame(dockerfile: Dockerfile, target: Stage) -> pd.DataFrame:
    """The DataFrame of stages (see `layerlab.builder.Build`)."""
    import pandas as pd  # noqa: PLC0415

    needed = dockerfile.needed(target)
    return pd.DataFrame(
        {
            "stage": pd.Series([stage.label for stage in dockerfile.stages], dtype="str"),
            "line": pd.Series([stage.line for stage in dockerfile.stages], dtype="int64"),
            "base": pd.Series([stage.base for stage in dockerfile.stages], dtype="str"),
            "uses": [tuple(used.label for used in dockerfile.dependencies(stage)) for stage in dockerfile.stages],
            "ran": [stage in needed for stage in dockerfile.stages],
            "final": [stage == target for stage in dockerfile.stages],
        }
    )
