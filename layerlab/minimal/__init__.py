r"""A ``Dockerfile.minimal`` for a workspace: the same service FROM scratch, and the proof that it answers as before.

It goes on from the workspace's own Dockerfile, so whatever that installs, and however, is there. A further stage
gathers what of it ships, by the rules in the repository's `slim`, of which the workspace gets a copy; the last stage
has nothing else but the application, which is copied in last.

>>> sorted(routes({"app.py": "@app.get('/status')\ndef f(): ...\n@app.get('/users/<name>')\ndef g(): ...\n"}))
['/status']
"""

from __future__ import annotations

import ast
import json
import posixpath
import re
import shlex
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from layerlab import bases, image, service
from layerlab.builder import Context, Trials, collect, trial_builds
from layerlab.dockerfile import Dockerfile, Instruction, parse
from layerlab.engine import Engine
from layerlab.errors import ServiceError, UsageError
from layerlab.paths import ROOT
from layerlab.ui.progress import Report, silent
from slim.rules import RULES

__all__ = ["LeftOut", "Request", "Slimmed", "dockerfile", "make", "routes"]

NAME: Final = "Dockerfile.minimal"
RULES_FOLDER: Final = "slim"
GATHER: Final = "slim-gathered"
_PROBE: Final = "/status"
_PORT: Final = 5000
_MISSING: Final = re.compile(r"No module named '([\w.]+)'|No such file or directory: '\S*?/\w+-packages/(\S+)'")
_SETTINGS: Final = frozenset({  # what makes no layer
    "ARG", "CMD", "ENTRYPOINT", "ENV", "EXPOSE", "HEALTHCHECK", "LABEL", "STOPSIGNAL", "USER", "VOLUME", "WORKDIR"
})  # fmt: skip
_BASE_VARIABLES: Final = frozenset({"GPG_KEY", "PYTHON_VERSION", "PYTHON_SHA256"})
_OF_A_SHELL: Final = re.compile(r"[|&;<>$`(){}*?~#]|^\w+=")


@dataclass(frozen=True)
class LeftOut:
    """What one rule has left out."""

    name: str
    why: str
    files: int
    bytes: int


@dataclass(frozen=True)
class Request:
    """What both images answered to one request, in words."""

    path: str
    before: str
    after: str


@dataclass(frozen=True)
class Slimmed:
    """What came of it."""

    written: tuple[str, ...]  # what was added to the workspace; nothing where a `NAME` was there already
    kept: Mapping[str, str]  # the rules that are switched off, and the module that needs what they leave out
    remarks: tuple[str, ...]  # what the minimal image lacks of the workspace's, in sentences
    left_out: tuple[LeftOut, ...]  # by rule, the most bytes first
    bytes_before: int  # of the workspace's own image
    bytes_after: int  # of the minimal one
    requests: tuple[Request, ...]  # what both answered
    failure: str = ""  # why the minimal image does not answer at all; empty where it does

    @property
    def same(self) -> bool:
        """Whether the service answers as before."""
        return not self.failure and all(each.before == each.after for each in self.requests)


def make(engine: Engine, folder: Path, *, report: Report = silent) -> Slimmed:
    """Make a workspace's `NAME` unless it has one, build it, and ask its service what the workspace's own answers.

    Nothing that is there is written over: a `NAME` that is there is built and asked as it is. The service has to
    answer ``GET /status`` on port 5000. The images go again.

    Raises:
        UsageError: the image cannot be made FROM scratch by these rules; says why.
        ServiceNotReady: the workspace's own image does not answer.
        BuildError: one of the two cannot be built.
    """
    context = collect(folder)
    sources = _sources(context)
    kept = _kept_for(_imports(sources))
    remarks: tuple[str, ...] = ()
    is_new = not (folder / NAME).exists()
    if (folder / RULES_FOLDER).exists() and not (folder / RULES_FOLDER / "rules.py").is_file():
        raise UsageError(f"{folder / RULES_FOLDER} is something else than the rules", remedy="rename it")
    _whole(parse(context.text))  # refused before anything is built
    bases.ensure(engine, bases.BASES[:1], report=report)
    with trial_builds(engine, report) as trials:
        before = trials.build(context).image_id
        config = image.read(engine, before).config.get("config") or {}
        python = _python(engine, before, report)
        answers = _ask(engine, before, sorted(routes(sources) | {_PROBE, "/openapi.json"}))
        written: tuple[str, ...] = ()
        while True:
            if is_new:
                text, remarks = dockerfile(context, config, python, kept)
                written = tuple(dict.fromkeys([*written, *_write(folder, text)]))
            made = collect(folder, NAME)
            after = trials.build(made).image_id
            asked, log = _compare(engine, after, answers)
            missed = (_missed(*found) for found in _MISSING.findall(log))
            new = {rule: name for each in missed for rule, name in each.items() if rule not in kept}
            left_out = _left_out(engine, trials, made)
            large, small = (image.read(engine, each).total_bytes for each in (before, after))
            result = Slimmed(written, kept, remarks, left_out, large, small, tuple(asked), "" if asked else log)
            if result.same or not new or not is_new:
                return result
            kept = {**kept, **new}


# ---- the Dockerfile


def dockerfile(
    context: Context, config: Mapping[str, Any], python: service.Interpreter, kept: Iterable[str] = ()
) -> tuple[str, tuple[str, ...]]:
    """The text of a `NAME`, and what it leaves out of the workspace's own image's settings, in sentences.

    `config` is its own image's, `python` runs its service, the rules in `kept` leave nothing out.

    Raises:
        UsageError: its command needs a shell.
    """
    parsed = parse(context.text)
    whole, final = _whole(parsed)
    lines, remarks = _settings(config)
    folders = {posixpath.dirname(each.location) for each in python.distributions.values()}
    library = f"{python.prefix}/lib/"
    more = sorted(each for each in folders if each and not each.startswith((library, "/usr/lib/", "/usr/local/lib/")))
    options = [f"--packages {shlex.quote(each)}" for each in more]
    options += [f"--keep {shlex.quote(each)}" for each in kept]
    command = " ".join([f"-m slim {shlex.quote(python.prefix)} /slim --report /slim.json", *options])
    places = (python.prefix, *more, "/usr", "/opt/venv")
    for each in parsed.chain(parsed.target()):
        lines += _copies(each.instructions, places)
    settings = "\n".join(lines)
    (tool,) = set(re.findall(r"pyelftools==\S+", (ROOT / NAME).read_text(encoding="utf-8")))
    text = f"""{whole.rstrip()}

# ---- from here on by `lab slim`: the same service FROM scratch. Edit it as you like; it is never written over.
#
#   docker build -f {NAME} -t NAME:minimal .
#   docker run -d -p {_PORT}:{_PORT} --read-only --tmpfs /tmp NAME:minimal

FROM {bases.BASES[0]} AS slim-tools
RUN pip install --no-cache-dir --root-user-action ignore --target /slim-tools {tool}

# Which files ship is decided by rules ({RULES_FOLDER}/rules.py), each with its reason; --keep NAME switches one off.
# binutils brings `strip`, which takes the debug symbols out of compiled packages.
FROM {final} AS {GATHER}
USER root
RUN apt-get update \\
 && apt-get install -y --no-install-recommends binutils \\
 && rm -rf /var/lib/apt/lists/*
COPY --from=slim-tools /slim-tools /slim-tools
COPY {RULES_FOLDER} /slim-tools/slim
RUN PYTHONPATH=/slim-tools {shlex.quote(python.executable)} -X no_debug_ranges {command}

# ---- the image that ships: no base, so no shell, no package manager, no other programs
FROM scratch
COPY --from={GATHER} /slim /
{settings}
"""
    return text, tuple(remarks)


def _whole(parsed: Dockerfile) -> tuple[str, str]:
    """The Dockerfile without the copies from the context that end it, and the name of its last stage."""
    target = parsed.target()
    if target.base == "scratch" or "alpine" in parsed.chain(target)[0].base:
        raise UsageError(
            f"its last stage is FROM {target.base}, and the rules are for images with Debian's C library",
            remedy=f"name such a base in the Dockerfile, as {bases.BASES[0]}",
        )
    lines = parsed.text.split("\n")
    for each in reversed(target.instructions):
        if each.keyword in {"COPY", "ADD"} and each.flag("from") is None:
            for number in range(each.line - 1, each.end_line):
                lines[number] = f"# (copied last, below) {lines[number]}"
        elif each.keyword not in _SETTINGS:
            break
    if target.name:
        return "\n".join(lines), target.name
    first = target.instructions[0]
    lines[first.end_line - 1] += " AS slim-whole"
    return "\n".join(lines), "slim-whole"


def _copies(instructions: Sequence[Instruction], places: Sequence[str]) -> list[str]:
    """The COPY lines of a stage, for one FROM scratch; those of Python and its packages, which are gathered, not."""
    found, folder = [], "/"
    for each in instructions:
        if each.keyword == "WORKDIR":
            folder = posixpath.join(folder, each.value)
        if each.keyword not in {"COPY", "ADD"} or each.heredocs or len(each.arguments) < 2:
            continue
        *sources, last = each.arguments
        target = posixpath.normpath(posixpath.join(folder, last))
        above = f"{target}/".replace("//", "/")
        gathered = (f"{place}/".startswith(above) or target.startswith(f"{place}/") for place in places)
        if each.flag("from") is not None and any(gathered):
            continue
        flags = [f"--{name}={value}" if value else f"--{name}" for name, value in each.flags if name != "chown"]
        target += "/" if last.endswith(("/", ".")) and target != "/" else ""
        words = [*sources, target]
        value = json.dumps(words) if any(" " in word for word in words) else " ".join(words)
        found.append(" ".join([each.keyword, *flags, value]))
    return found


def _settings(config: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """The lines for what an image's config says, and what cannot be had FROM scratch."""
    remarks = []
    given = dict(each.partition("=")[::2] for each in config.get("Env") or ())
    variables = {name: value for name, value in given.items() if name not in _BASE_VARIABLES}
    variables = {"LANG": "C.UTF-8", "SSL_CERT_FILE": "/etc/ssl/certs/ca-certificates.crt", **variables}
    quoted = {name: re.sub(r'(["\\$])', r"\\\1", value) for name, value in variables.items()}
    lines = [f'ENV {name}="{value}"' for name, value in quoted.items()]
    lines += [f"WORKDIR {config.get('WorkingDir') or '/'}", "USER 10001:10001"]
    lines += [f"EXPOSE {port}" for port in config.get("ExposedPorts") or ()]
    kind, *test = (config.get("Healthcheck") or {}).get("Test") or [""]
    if kind == "CMD" and re.fullmatch(r"(.*/)?python[\d.]*", test[0]):
        lines.append(f"HEALTHCHECK CMD {json.dumps(test)}")
    elif kind not in {"", "NONE"}:
        remarks.append(f"its health check is left out, since it needs more than Python: {' '.join(test)}")
    if signal := config.get("StopSignal"):
        lines.append(f"STOPSIGNAL {signal}")
    for keyword, words in (("ENTRYPOINT", config.get("Entrypoint")), ("CMD", config.get("Cmd"))):
        if words:
            lines.append(f"{keyword} {json.dumps(_without_shell(words))}")
    return lines, remarks


def _without_shell(words: Sequence[str]) -> list[str]:
    """A command in exec form. One that a shell runs is taken apart where nothing in it is for the shell alone."""
    if posixpath.basename(words[0]) not in {"sh", "bash", "dash"} and not words[0].endswith(".sh"):
        return list(words)
    line = re.sub(r"^exec\s+", "", words[2].strip()) if words[1:2] == ["-c"] and len(words) == 3 else ""
    if not line or _OF_A_SHELL.search(line):
        raise UsageError(
            f"its command needs a shell, which an image FROM scratch has not: {' '.join(words)}",
            remedy='start the server itself in the Dockerfile: CMD ["gunicorn", ...]',
        )
    return shlex.split(line)


def _write(folder: Path, text: str) -> tuple[str, ...]:
    """Write a `NAME` that this run may write, and what it needs; returns what was added."""
    (folder / NAME).write_text(text, encoding="utf-8")
    written = [NAME]
    if not (folder / RULES_FOLDER).exists():
        shutil.copytree(ROOT / RULES_FOLDER, folder / RULES_FOLDER, ignore=shutil.ignore_patterns("__pycache__"))
        written.append(RULES_FOLDER)
    own, rules = folder / ".dockerignore", folder / f"{NAME}.dockerignore"
    if own.is_file() and not rules.exists():
        rules.write_text(f"{own.read_text(encoding='utf-8').rstrip()}\n!{RULES_FOLDER}\n**/__pycache__\n", "utf-8")
        written.append(rules.name)
    return tuple(written)


# ---- what the application's sources tell


def _sources(context: Context) -> dict[str, str]:
    """The application's modules: their texts by name."""
    found = {}
    for each in context.entries:
        if each.name.endswith(".py") and not each.name.startswith(f"{RULES_FOLDER}/") and each.bytes < 1_000_000:
            found[each.name] = each.path.read_text(encoding="utf-8", errors="replace")
    return found


def _trees(sources: Mapping[str, str]) -> Iterator[ast.AST]:
    for text in sources.values():
        try:
            yield from ast.walk(ast.parse(text))
        except (SyntaxError, ValueError, RecursionError):
            continue  # for another Python


def _imports(sources: Mapping[str, str]) -> set[str]:
    found = set()
    for node in _trees(sources):
        if isinstance(node, ast.Import):
            found |= {each.name for each in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found |= {node.module, *(f"{node.module}.{each.name}" for each in node.names)}
    return found


def _kept_for(modules: Iterable[str]) -> dict[str, str]:
    """The rules that would leave out one of these modules, and which."""
    return {rule.name: module for module in sorted(modules) for rule in RULES if rule.is_needed_by(module)}


def _missed(module: str, file: str) -> dict[str, str]:
    """The rules that would leave out a module, or a file beside the packages, that was missed."""
    return _kept_for([module]) if module else {rule.name: file for rule in RULES if rule.takes(file)}


def routes(sources: Mapping[str, str]) -> set[str]:
    """The paths without parameters that Flask's, FastAPI's and their like's decorators name in these modules."""
    found = set()
    for node in _trees(sources):
        for each in getattr(node, "decorator_list", ()):
            if isinstance(each, ast.Call) and isinstance(each.func, ast.Attribute) and each.args:
                path = getattr(each.args[0], "value", None)
                if each.func.attr in {"get", "route"} and isinstance(path, str) and re.fullmatch(r"/[^<{]*", path):
                    found.add(path)
    return found


# ---- what the images answer


def _python(engine: Engine, image_id: str, report: Report) -> service.Interpreter:
    seen = service.observe(engine, image_id, report=report)
    if seen.interpreter is None or seen.status.status != 200:
        why = seen.failure.message if seen.failure else "no Python was seen to serve it"
        raise UsageError(f"the workspace's own image does not answer GET {_PROBE}: {why}", remedy="mend it first")
    return seen.interpreter


def _ask(engine: Engine, image_id: str, paths: Sequence[str]) -> dict[str, str]:
    """What an image answers to each of these paths and to those that its OpenAPI document has."""
    with service.run(engine, image_id, hardened=False) as running:
        document = running.get("/openapi.json")
        described = document.json().get("paths", {}) if document.ok else {}
        more = {path for path, methods in described.items() if "get" in methods and "{" not in path}
        return {path: _described(running, path) for path in sorted({*paths, *more})}


def _described(running: service.Service, path: str) -> str:
    """Status and type of an answer; of JSON, its names too."""
    try:
        answer = running.get(path)
        kind = answer.headers.get("Content-Type", "").partition(";")[0]
        names = f" {json.dumps(_names(answer.json()))}" if kind.endswith("json") else ""
    except (ServiceError, ValueError, RecursionError) as error:
        return str(error)
    return f"{answer.status_code} {kind}{names}"


def _names(value: Any) -> Any:
    """Which names a JSON document has; of a list, those of its first element."""
    if isinstance(value, dict):
        return {name: _names(each) for name, each in sorted(value.items())}
    return [_names(each) for each in value[:1]] if isinstance(value, list) else None


def _compare(engine: Engine, image_id: str, answers: Mapping[str, str]) -> tuple[list[Request], str]:
    """The same requests to the minimal image, and what it printed; no requests where it does not answer at all."""
    try:
        with service.run(engine, image_id) as running:
            asked = [Request(path, before, _described(running, path)) for path, before in answers.items()]
            return asked, running.logs()
    except ServiceError as error:
        return [], str(error)


def _left_out(engine: Engine, trials: Trials, context: Context) -> tuple[LeftOut, ...]:
    """What the rules have left out, as the stage that gathers has written it down; nothing if it has another name."""
    if parse(context.text).find_stage(GATHER) is None:
        return ()
    gathered = trials.build(context, target=GATHER, report=silent).image_id
    rows = json.loads(service.read_file(engine, gathered, "/slim.json") or "[]")
    return tuple(LeftOut(**row) for row in rows if row["files"])
