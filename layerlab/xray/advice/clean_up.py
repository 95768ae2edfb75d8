"""Advice about what a RUN leaves in its layer, or has installed without need: clean up where it was made."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator
from typing import Final

from layerlab.dockerfile import Instruction
from layerlab.dockerfile.commands import apt
from layerlab.image.databases import DpkgPackage, dpkg_packages, only_recommended
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
"""The folder of a cache that an installer keeps, which may be removed as a whole; see `waste.rules`."""
_INSTALLERS: Final = (
    "pip cache",
    "uv cache",
    "npm cache",
    "other installers' caches",
    "build caches",
    "other caches",
)
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
    for run, entries in _left_by_runs(view, "apt lists"):
        line = run.line
        stage = view.dockerfile.stages[run.stage or 0]
        runs = (each for each in stage.instructions if each.keyword == "RUN" and each.line >= line)
        users = [
            each for each in runs if any(asked and asked.verb in _OF_INDEX for asked in map(apt, view.commands(each)))
        ]
        group = next((g for g in neighbours(view.dockerfile, stage.index) if run in g), [])
        effect = view.removing(entries)
        size = sum(int(view.stack.merged.sizes[entry]) for entry in entries)
        why = f"line {line} fetches the package index, {how_large(size)}, and nothing needs it when all is installed"
        last = users[-1] if users else run
        append = InstructionChange(last.line, "append", f"rm -rf {_LISTS}*")
        if last == run:
            edit = Edit(changes=(append,)) if can_append(view.dockerfile, run) else None
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
    for run, entries in _left_by_runs(view, "apt archives"):
        why = f"line {run.line} leaves the packages as they were downloaded in /var/cache/apt"
        title = f"add `apt-get clean` to line {run.line}"
        found += view.advise(title, why, run.line, _appending(view, run, "apt-get clean"), view.removing(entries))
    return found


def installers_caches(view: View) -> list[Advice]:
    """What pip, uv or npm keep of what they have downloaded: do not keep it, or remove it in the same RUN."""
    found: list[Advice] = []
    for detail in _INSTALLERS:
        for run, entries in _made_by_runs(view, CACHES, detail):
            why = (
                f"line {run.line} keeps a {detail.removesuffix('s')}, and nothing is installed from it in a container"
            )
            roots = {match[1] for entry in entries if (match := _CACHE.match(view.source(entry)))}
            edit: Edit | None
            if detail == "pip cache" and re.search(_PIP, run.text) and not run.is_json:
                title = f"give pip `--no-cache-dir` on line {run.line}"
                change = InstructionChange(run.line, "replace", r"\1\2 install --no-cache-dir", _PIP)
                edit = Edit(changes=(change,))
            elif roots:
                command = f"rm -rf {' '.join(map(shlex.quote, sorted(roots)))}"
                title = f"add `{command}` to line {run.line}"
                edit = _appending(view, run, command)
            else:
                continue
            effect = view.removing_at(view.stack.merged.paths[entry] for entry in entries)
            found += view.advise(title, why, run.line, edit, effect)
    return found


def test_suites(view: View) -> list[Advice]:
    """The packages' own tests: remove them in the RUN that installs the packages."""
    found: list[Advice] = []
    paths = view.stack.merged.paths
    for run, entries in _made_by_runs(view, TESTS, "of packages"):
        if roots := _roots(view, entries):
            removed = (
                paths[index]
                for index in view.stack.visible.tolist()
                if "/tests/" in paths[index]
                and view.origin(index).line == run.line
                and _TESTS.match(view.source(index))
            )
            found += view.advise(
                f"remove the packages' tests on line {run.line}",
                "a service never runs the test suites that packages ship",
                run.line,
                _appending(view, run, f"find {' '.join(roots)} -type d -name tests -prune -exec rm -rf {{}} +"),
                view.removing_at(removed),
            )
    return found


def debug_symbols(view: View) -> list[Advice]:
    """Debug symbols of the packages' libraries: strip them in the RUN that installs the packages."""
    found: list[Advice] = []
    merged = view.stack.merged
    sizes = {row.entry: row.bytes for row in view.rows if row.cause == SYMBOLS}
    for run, entries in _made_by_runs(view, SYMBOLS):
        in_site = [entry for entry in entries if _SITE.match(view.source(entry)) and ".so" in view.source(entry)]
        if not (roots := _roots(view, in_site)):
            continue
        by_path = {merged.paths[entry]: sizes[entry] for entry in in_site}
        reduced = {
            int(merged.inodes[index]): by_path[path]
            for index, path in enumerate(merged.paths)
            if path in by_path and merged.kinds[index] == FILE
        }
        label = view.dockerfile.stages[run.stage or 0].label
        in_stage = (view.traced.built.get(label) or view.traced.origins).reader.stack.merged
        has_strip = any(in_stage.find(path) is not None for path in _STRIP)
        command = f"find {' '.join(roots)} -type f -name '*.so*' -exec strip --strip-unneeded {{}} +"
        found += view.advise(
            f"strip the packages' libraries on line {run.line}",
            "only a debugger looks at these symbols"
            + ("" if has_strip else "; that stage needs binutils for it, which brings `strip`"),
            run.line,
            _appending(view, run, command) if has_strip else None,
            Effect(reduced=reduced),
        )
    return found


def recommended_packages(view: View) -> list[Advice]:
    """Packages that apt has installed only because others recommend them: say --no-install-recommends."""
    found: list[Advice] = []
    for line, layer in sorted(view.by_line.items()):
        run = view.run_on(line)
        if run is None or not re.search(_APT, run.text):
            continue
        installs = [each for each in map(apt, view.commands(run)) if each and each.verb == "install"]
        if any(each.no_recommends for each in installs):
            continue
        named = [re.split(r"[=/:]", name)[0] for each in installs for name in each.packages]
        before, after = _dpkg_databases(view, layer)
        extra = only_recommended(before.keys(), after, named) if before and installs else set()
        if extra:
            found += view.advise(
                f"give apt-get `--no-install-recommends` on line {line}",
                f"nothing that line {line} names depends on {first_few(sorted(extra), 4)}",
                line,
                Edit(changes=(InstructionChange(line, "replace", r"\1\2 install --no-install-recommends", _APT),)),
                view.removing(_of_packages(view, layer, extra)),
            )
    return found


def _appending(view: View, run: Instruction, command: str) -> Edit | None:
    if not can_append(view.dockerfile, run):
        return None
    return Edit(changes=(InstructionChange(run.line, "append", command),))


def _left_by_runs(view: View, detail: str) -> Iterator[tuple[Instruction, list[int]]]:
    """The files of a cache that lie in the layer of a RUN of the final stage, by that RUN."""
    line_of = {layer: line for line, layer in view.by_line.items()}
    rows = (row for row in view.rows if row.cause == CACHES and row.detail == detail)
    return _by_run(view, ((line_of.get(row.layer), row.entry) for row in rows))


def _made_by_runs(view: View, cause: str, detail: str = "") -> Iterator[tuple[Instruction, list[int]]]:
    """The files of a judgement by the RUN that made them, in whatever stage."""
    rows = (row for row in view.rows if row.cause == cause and row.detail == detail)
    origins = ((view.origin(row.entry), row.entry) for row in rows)
    return _by_run(view, ((origin.line if origin.kind == "made" else None, entry) for origin, entry in origins))


def _by_run(view: View, found: Iterable[tuple[int | None, int]]) -> Iterator[tuple[Instruction, list[int]]]:
    by_line: dict[int | None, list[int]] = {}
    for line, entry in found:
        by_line.setdefault(line, []).append(entry)
    for line, entries in by_line.items():
        if (run := view.run_on(line)) is not None:
            yield run, entries


def _roots(view: View, entries: Iterable[int]) -> list[str]:
    """The package folders that files lie in, in the stage that made them; quoted for a shell."""
    found = {match[1] for entry in entries if (match := _SITE.match(view.source(entry)))}
    return [shlex.quote(root) for root in sorted(found)]


def _dpkg_databases(view: View, layer: int) -> tuple[dict[str, DpkgPackage], dict[str, DpkgPackage]]:
    """Dpkg's database before and after a layer; empty where it cannot be told."""
    merged = view.stack.merged
    found = (view.stack.entry_at(number, _STATUS) for number in range(layer + 1))
    indexes = [index for index in found if index is not None and merged.kinds[index] == FILE][-2:]
    if len(indexes) == 2 and merged.layers[indexes[1]] == layer:
        texts = view.reader.read_all(indexes, _LARGEST_STATUS)
        if len(texts) == 2:
            return dpkg_packages(texts[indexes[0]]), dpkg_packages(texts[indexes[1]])
    return {}, {}


def _of_packages(view: View, layer: int, names: set[str]) -> list[int]:
    """The files of packages in a layer, and what dpkg keeps about them."""
    stack, merged = view.stack, view.stack.merged
    paths = [path for claim in stack.layers[layer].claims if claim.name in names for path in claim.paths]
    paths += [f"/usr{path}" for path in paths if path.startswith(_MERGED)]
    entries = {stack.entry_at(layer, path) for path in paths}
    for index in range(int(merged.starts[layer]), int(merged.starts[layer + 1])):
        path = merged.paths[index]
        if path.startswith(_INFO) and re.split(r"[:.](?=[a-z0-9]+(?:[.]|$))", path.removeprefix(_INFO))[0] in names:
            entries.add(index)
    return [entry for entry in entries if entry is not None and merged.kinds[entry] == FILE]
