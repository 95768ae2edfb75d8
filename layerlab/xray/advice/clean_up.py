"""Advice about what a RUN leaves in its layer, or has installed without need: clean up where it was made."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable
from typing import Final

from layerlab.dockerfile import Instruction
from layerlab.dockerfile.commands import apt, commands
from layerlab.image.dpkg import Installed, installed, only_recommended
from layerlab.image.layer import FILE
from layerlab.ui.units import first_few, how_large
from layerlab.xray.advice.model import Advice, Edit, View
from layerlab.xray.edits import InstructionChange, can_append, neighbours
from layerlab.xray.effects import Effect
from layerlab.xray.waste.bytes_by_cause import SYMBOLS
from layerlab.xray.waste.rules import CACHES, TESTS

_LISTS: Final = "/var/lib/apt/lists/"
_SITE: Final = re.compile(r"(.*/(?:site|dist)-packages)/")
_TESTS: Final = re.compile(r".*/(?:site|dist)-packages/(?:.*/)?tests/")
_CACHE: Final = re.compile(
    r"(.*?/(?:\.cache(?:/[^/]+)?|\.npm|http-v2|selfcheck|\.?cargo/registry|\.m2/repository|\.gradle/caches"
    r"|\.pnpm-store|\.yarn/cache|conda/pkgs|(?:archive|simple|wheels|sdists|interpreter|built-wheels|flat-index)-v\d+))/"
)
"""The folder of a cache that an installer keeps, which may be removed as a whole; see `causes.rules`."""
_PIP: Final = r"\b(pip3?(?:\.\d+)*)((?:\s+--?\S+(?:\s+/\S+)?)*)\s+install\b(?![^&;|\n]*--no-cache-dir)"
_APT: Final = r"\b(apt-get|apt)((?:\s+-\S+)*)\s+install\b(?![^&;|]*--no-install-recommends)"
_OF_INDEX: Final = frozenset({"update", "install", "upgrade", "dist-upgrade", "full-upgrade", "satisfy", "build-dep"})
_STRIP: Final = ("/usr/bin/strip", "/usr/local/bin/strip")
_STATUS: Final = "/var/lib/dpkg/status"
_INFO: Final = "/var/lib/dpkg/info/"
_MERGED: Final = ("/bin/", "/sbin/", "/lib/", "/lib64/")
_LARGEST_STATUS: Final = 20_000_000


def apt_lists(view: View) -> list[Advice]:
    """The package index that a RUN has fetched and left: remove it in the same RUN."""
    found: list[Advice] = []
    for line, entries in _left_by_line(view, "apt lists").items():
        run = _run(view, line)
        if run is None or view.trace is None or run.stage is None:
            continue
        users = [each for each in _apt_users(view, run) if each.line >= line]
        group = next((g for g in neighbours(view.trace.dockerfile, run.stage) if run in g), [])
        effect = Effect(removed=view.model.inodes(entries))
        size = sum(int(view.stack.merged.sizes[entry]) for entry in entries)
        why = f"line {line} fetches the package index, {how_large(size)}, and nothing needs it when all is installed"
        last = users[-1] if users else run
        append = InstructionChange(last.line, "append", f"rm -rf {_LISTS}*")
        if last == run:
            edit = Edit(changes=(append,)) if can_append(view.trace.dockerfile, run) else None
            title = f"add `rm -rf {_LISTS}*` to line {line}"
        else:
            lines = frozenset(each.line for each in group if line <= each.line <= last.line)
            fits = last in group and all(each in group for each in users)
            edit = Edit(changes=(append,), merges=(lines,)) if fits else None
            effect = Effect(
                removed=effect.removed, merged=(frozenset(view.by_line[each] for each in lines),) if fits else ()
            )
            title = f"make lines {line} to {last.line} one RUN that ends in `rm -rf {_LISTS}*`"
        found += view.advise(title, why, line, edit, effect)
    return found


def apt_archives(view: View) -> list[Advice]:
    """Packages as they were downloaded: let the RUN that has fetched them remove them."""
    found: list[Advice] = []
    for line, entries in _left_by_line(view, "apt archives").items():
        run = _run(view, line)
        if run is not None:
            edit = _appending(view, run, "apt-get clean")
            why = f"line {line} leaves the packages as they were downloaded in /var/cache/apt"
            effect = Effect(removed=view.model.inodes(entries))
            found += view.advise(f"add `apt-get clean` to line {line}", why, line, edit, effect)
    return found


def installers_caches(view: View) -> list[Advice]:
    """What pip, uv or npm keep of what they have downloaded: do not keep it, or remove it in the same RUN."""
    found: list[Advice] = []
    for detail in ("pip cache", "uv cache", "npm cache", "other installers' caches", "build caches", "other caches"):
        for line, entries in _made_by_line(view, CACHES, detail).items():
            run = _run(view, line)
            if run is None:
                continue
            paths = [view.stack.merged.paths[entry] for entry in entries]
            effect = Effect(removed=view.model.at(paths))
            why = f"line {line} keeps a {detail.removesuffix('s')}, and nothing is installed from it in a container"
            edit: Edit | None
            if detail == "pip cache" and re.search(_PIP, run.text) and not run.is_json:
                title = f"give pip `--no-cache-dir` on line {line}"
                edit = Edit(changes=(InstructionChange(line, "replace", r"\1\2 install --no-cache-dir", _PIP),))
            else:
                roots = sorted({match[1] for entry in entries if (match := _CACHE.match(view.source(entry)))})
                if not roots:
                    continue
                command = f"rm -rf {' '.join(map(shlex.quote, roots))}"
                title = f"add `{command}` to line {line}"
                edit = _appending(view, run, command)
            found += view.advise(title, why, line, edit, effect)
    return found


def test_suites(view: View) -> list[Advice]:
    """The packages' own tests: remove them in the RUN that installs the packages."""
    found: list[Advice] = []
    for line, entries in _made_by_line(view, TESTS, "of packages").items():
        run = _run(view, line)
        roots = _roots(view, entries)
        if run is None or not roots:
            continue
        command = f"find {' '.join(roots)} -type d -name tests -prune -exec rm -rf {{}} +"
        found += view.advise(
            f"remove the packages' tests on line {line}",
            "a service never runs the test suites that packages ship",
            line,
            _appending(view, run, command),
            Effect(removed=view.model.at(_below(view, line, _TESTS))),
        )
    return found


def debug_symbols(view: View) -> list[Advice]:
    """Debug symbols of the packages' libraries: strip them in the RUN that installs the packages."""
    found: list[Advice] = []
    sizes = {row.entry: row.bytes for row in view.rows if row.cause == SYMBOLS}
    for line, entries in _made_by_line(view, SYMBOLS, "").items():
        run = _run(view, line)
        in_site = [entry for entry in entries if _SITE.match(view.source(entry)) and ".so" in view.source(entry)]
        roots = _roots(view, in_site)
        if run is None or not roots:
            continue
        merged = view.stack.merged
        by_path = {merged.paths[entry]: sizes[entry] for entry in in_site}
        reduced = {
            int(merged.inodes[index]): by_path[merged.paths[index]]
            for index in range(len(merged.paths))
            if merged.paths[index] in by_path and merged.kinds[index] == FILE
        }
        command = f"find {' '.join(roots)} -type f -name '*.so*' -exec strip --strip-unneeded {{}} +"
        has_strip = any(_shown_in(view, run, path) for path in _STRIP)
        found += view.advise(
            f"strip the packages' libraries on line {line}",
            "only a debugger looks at these symbols"
            + ("" if has_strip else "; that stage needs binutils for it, which brings `strip`"),
            line,
            _appending(view, run, command) if has_strip else None,
            Effect(reduced=reduced),
        )
    return found


def recommended_packages(view: View) -> list[Advice]:
    """Packages that apt has installed only because others recommend them: say --no-install-recommends."""
    found: list[Advice] = []
    for line, layer in sorted(view.by_line.items()):
        run = _run(view, line)
        if run is None or view.trace is None or not re.search(_APT, run.text):
            continue
        asked = map(apt, commands(view.trace.dockerfile, run))
        installs = [each for each in asked if each and each.verb == "install"]
        if not installs or any(each.no_recommends for each in installs):
            continue
        named = [re.split(r"[=/:]", name)[0] for each in installs for name in each.packages]
        before, after = _databases(view, layer)
        extra = only_recommended(before.keys(), after, named) if before else set()
        if not extra:
            continue
        entries = _of_packages(view, layer, extra)
        names = sorted(extra)
        shown = first_few(names, 4)
        found += view.advise(
            f"give apt-get `--no-install-recommends` on line {line}",
            f"nothing that line {line} names depends on {shown}",
            line,
            Edit(changes=(InstructionChange(line, "replace", r"\1\2 install --no-install-recommends", _APT),)),
            Effect(removed=view.model.inodes(entries)),
        )
    return found


def _appending(view: View, run: Instruction, command: str) -> Edit | None:
    if view.trace is None or not can_append(view.trace.dockerfile, run):
        return None
    return Edit(changes=(InstructionChange(run.line, "append", command),))


def _left_by_line(view: View, detail: str) -> dict[int, list[int]]:
    """The entries of a judgement that lie in the layer of a RUN of the final stage, by its line."""
    found: dict[int, list[int]] = {}
    for row in view.rows:
        instruction = view.instructions.get(row.layer)
        if row.cause == CACHES and row.detail == detail and instruction and instruction.line in view.by_line:
            found.setdefault(instruction.line, []).append(row.entry)
    return found


def _made_by_line(view: View, cause: str, detail: str) -> dict[int, list[int]]:
    """The entries of a judgement by the line of the instruction that made them, in whatever stage."""
    found: dict[int, list[int]] = {}
    for row in view.rows:
        if row.cause == cause and row.detail == detail:
            origin = view.origin(row.entry)
            if origin.kind == "made" and origin.line is not None:
                found.setdefault(origin.line, []).append(row.entry)
    return found


def _below(view: View, line: int, pattern: re.Pattern[str]) -> list[str]:
    """The paths of what a line has made and whose place in its stage matches."""
    found = []
    for index in view.stack.visible.tolist():
        path = view.stack.merged.paths[index]
        if "/tests/" in path and view.origin(index).line == line and pattern.match(view.source(index)):
            found.append(path)
    return found


def _roots(view: View, entries: Iterable[int]) -> list[str]:
    """The package folders that files lie in, in the stage that made them; quoted for a shell."""
    found = {match[1] for entry in entries if (match := _SITE.match(view.source(entry)))}
    return [shlex.quote(root) for root in sorted(found)]


def _run(view: View, line: int) -> Instruction | None:
    if view.trace is None:
        return None
    return next((i for i in view.trace.dockerfile.instructions if i.line == line and i.keyword == "RUN"), None)


def _apt_users(view: View, run: Instruction) -> list[Instruction]:
    """The RUNs of a stage that use apt's index."""
    if view.trace is None or run.stage is None:
        return []
    dockerfile = view.trace.dockerfile
    return [
        each
        for each in dockerfile.stages[run.stage].instructions
        if each.keyword == "RUN"
        and any(asked and asked.verb in _OF_INDEX for asked in map(apt, commands(dockerfile, each)))
    ]


def _shown_in(view: View, run: Instruction, path: str) -> bool:
    """Whether the stage of a RUN shows this path at its end."""
    if view.trace is None or run.stage is None:
        return False
    label = view.trace.dockerfile.stages[run.stage].label
    origins = view.trace.built.get(label) or view.trace.origins
    return origins.reader.stack.merged.find(path) is not None


def _databases(view: View, layer: int) -> tuple[dict[str, Installed], dict[str, Installed]]:
    """Dpkg's database before and after a layer; empty where it cannot be told."""
    indexes = [
        index
        for number in range(layer + 1)
        if (index := view.stack.entry_at(number, _STATUS)) is not None and view.stack.merged.kinds[index] == FILE
    ][-2:]
    if len(indexes) < 2 or view.stack.merged.layers[indexes[1]] != layer:
        return {}, {}
    texts = view.reader.read_all(indexes, _LARGEST_STATUS)
    if len(texts) < 2:
        return {}, {}
    return installed(texts[indexes[0]]), installed(texts[indexes[1]])


def _of_packages(view: View, layer: int, names: set[str]) -> list[int]:
    """The files of packages in a layer, and what dpkg keeps about them."""
    stack = view.stack
    paths = [path for claim in stack.layers[layer].claims if claim.name in names for path in claim.paths]
    paths += [f"/usr{path}" for path in paths if path.startswith(_MERGED)]
    entries = {stack.entry_at(layer, path) for path in paths} - {None}
    start, end = int(stack.merged.starts[layer]), int(stack.merged.starts[layer + 1])
    for index in range(start, end):
        path = stack.merged.paths[index]
        if path.startswith(_INFO) and re.split(r"[:.](?=[a-z0-9]+(?:[.]|$))", path.removeprefix(_INFO))[0] in names:
            entries.add(index)
    return [entry for entry in entries if entry is not None and stack.merged.kinds[entry] == FILE]
