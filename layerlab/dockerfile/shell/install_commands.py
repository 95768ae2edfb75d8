"""Recognises the commands that install Python packages or system packages, and reads their options."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

_PIP: Final = re.compile(r"pip(\d+(\.\d+)*)?(\.pyz?|\.exe)?")
_PYTHON: Final = re.compile(r"(python|pypy)(\d+(\.\d+)*)?t?")
_OFF: Final = frozenset({"", "0", "no", "false", "off", "n", "f"})
_RECOMMENDS_SETTING: Final = re.compile(r"(?:^|\s)(?:-o ?|--option[ =])APT::Install-Recommends=(\S*)$", re.IGNORECASE)
_FILE_IN_SUBSTITUTION: Final = re.compile(r"[^\s'\"<>|();$`]+")


@dataclass(frozen=True)
class Command:
    """A simple command that an instruction runs.

    Attributes:
        words: The program and its arguments, quotes taken off and variables replaced as far as they are known; a
            command substitution stays as ``$(...)``, an unknown variable as ``$NAME``.
        environment: The variables that are known to be set for it (ENV, ARG, and those that the script sets).
        line: The line of the instruction.
        reads: The files that it is fed from, through ``<``, a pipe or a loop; of a pipe, all words of the command
            before it.
        writes: The files that its output goes to.
        heredocs: What stands in the script as its input.
        extends: The files to whose ends its output is added.
    """

    words: tuple[str, ...]
    environment: Mapping[str, str]
    line: int
    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    heredocs: tuple[str, ...] = ()
    extends: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The program's name without its folder."""
        return posixpath.basename(self.words[0]) if self.words else ""


@dataclass(frozen=True)
class PythonInstall:
    """A command that installs, builds or downloads Python packages.

    Attributes:
        tool: ``pip``, ``uv``, ``pip-sync``, ``poetry``, ``pipenv``, ``conda``, ``setup.py`` ...
        verb: ``install``, ``sync``, ``wheel`` or ``download``.
        requirements: The files of requirements, those that were fed in through a pipe included.
        constraints: The files of constraints, overrides included.
        packages: What is named on the command line, paths of wheels included.
        offline: Whether it asks no index.
        find_links: Folders (or addresses) where it looks for wheels.
        target, prefix, root: Where it installs to, if it is said.
        user: Whether it installs into the user's folder.
        editable: What is installed as it lies there.
        python: The interpreter or environment that it installs for, if it is said.
        destination: Where wheels or downloads go.
        no_cache: Whether it keeps no cache.
    """

    tool: str
    verb: str
    requirements: tuple[str, ...] = ()
    constraints: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    offline: bool = False
    find_links: tuple[str, ...] = ()
    target: str | None = None
    prefix: str | None = None
    root: str | None = None
    user: bool = False
    editable: tuple[str, ...] = ()
    python: str | None = None
    destination: str | None = None
    no_cache: bool = False

    @property
    def is_tool_or_project(self) -> bool:
        """Whether it installs only what installs others, or a project that lies there: nothing that has a pin."""
        named = [*self.packages, *self.editable]
        names = {re.split(r"[=<>!~\[; @]", word)[0].lower().replace("_", "-") for word in named}
        local = all(map(_is_project, named))
        return bool(named) and not self.requirements and not self.constraints and (names <= _TOOLS or local)


_TOOLS: Final = frozenset(
    {"pip", "setuptools", "wheel", "uv", "build", "pip-tools", "virtualenv", "pipx", "poetry", "pex", "shiv"}
)


def _is_project(word: str) -> bool:
    """Whether this is the folder of a project; what has wildcards names wheels."""
    here = word in {".", "./"} or word.startswith(("./", "../", "/"))
    return here and not word.endswith(".whl") and not set("*?[") & set(word)


@dataclass(frozen=True)
class SystemCommand:
    """A command of a system's package manager.

    Attributes:
        manager: ``apt``, ``apk``, ``dnf`` or ``dpkg``, whatever its front end.
        verb: ``update``, ``install``, ``upgrade``, ``remove``, ``clean`` or its own word.
        packages: What it names.
        no_recommends: Whether it says that recommended packages are left out (apt).
        no_cache: Whether it keeps no index (apk).
        updates: Whether it fetches the index itself.
        options: All its options, as they stand there.
    """

    manager: str
    verb: str
    packages: tuple[str, ...] = ()
    no_recommends: bool = False
    no_cache: bool = False
    updates: bool = False
    options: tuple[str, ...] = ()


@dataclass
class _Parsed:
    """A command line, its options told apart from the rest."""

    values: dict[str, list[str]] = field(default_factory=dict)
    rest: list[str] = field(default_factory=list)

    def all(self, *names: str) -> tuple[str, ...]:
        return tuple(value for name in names for value in self.values.get(name, ()))

    def last(self, *names: str) -> str | None:
        return next(reversed(self.all(*names)), None)

    def has(self, *names: str) -> bool:
        return any(name in self.values for name in names)


def _parse(words: Sequence[str], takes_value: frozenset[str]) -> _Parsed:
    """Read options as pip, uv and apt do: ``--name value``, ``--name=value``, ``-nvalue``, ``-abn value``."""
    parsed = _Parsed()
    left = iter(words)
    for word in left:
        if word == "--":
            parsed.rest.extend(left)
        elif word.startswith("--"):
            name, equals, value = word.partition("=")
            value = next(left, "") if not equals and name in takes_value else value
            parsed.values.setdefault(name, []).append(value)
        elif word.startswith("-") and len(word) > 1:
            for index, letter in enumerate(word[1:], 2):
                name = f"-{letter}"
                takes = name in takes_value
                value = (word[index:].removeprefix("=") or next(left, "")) if takes else ""
                parsed.values.setdefault(name, []).append(value)
                if takes:
                    break
        else:
            parsed.rest.append(word)
    return parsed


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


_PIP_VALUES: Final = _names(
    """-r --requirement --requirements -c --constraint --constraints --override --overrides -b --build-constraint
    --build-constraints -e --editable -t --target --prefix --root --src -f --find-links -i --index-url
    --extra-index-url --index --default-index --trusted-host --allow-insecure-host --python -p --cache-dir --timeout
    --retries --proxy --cert --client-cert --platform --python-platform --python-version --implementation --abi
    --no-binary --only-binary --upgrade-strategy -C --config-settings --config-setting --global-option
    --build-option --install-option --progress-bar --report --root-user-action --log --use-feature --use-deprecated
    --exists-action --keyring-provider --resume-retries --group --only-group --no-group --extra -w --wheel-dir -d
    --dest --link-mode --resolution --prerelease --exclude-newer --index-strategy --reinstall-package -P
    --upgrade-package --no-build-package --directory --project --config-file --color --torch-backend --name
    --channel --file --with --without --only --package --no-install-package --refresh-package"""
)
_CONDA_VALUES: Final = _PIP_VALUES | {"-n"}  # the name of an environment; for uv, -n is --no-cache
_PROJECT_TOOLS: Final = {
    "poetry": {"install": "install", "sync": "sync", "add": "install"},
    "pipenv": {"install": "install", "sync": "sync"},
    "pdm": {"install": "install", "sync": "sync", "add": "install"},
    "conda": {"install": "install", "create": "install", "env": "install"},
    "mamba": {"install": "install", "create": "install", "env": "install"},
    "micromamba": {"install": "install", "create": "install", "env": "install"},
    "pipx": {"install": "install"},
    "hatch": {"env": "install"},
}


def python_install(command: Command) -> PythonInstall | None:
    """What a command installs, if it is one that installs Python packages (or makes or fetches their wheels)."""
    words = list(command.words)
    if words and _PYTHON.fullmatch(command.name):
        words = _module(words)
    name = posixpath.basename(words[0]) if words else ""
    found: PythonInstall | None = None
    if _PIP.fullmatch(name):
        found = _pip(words[1:], command, {"install", "wheel", "download"})
    elif name == "uv":
        found = _uv(words[1:], command)
    elif name == "pip-sync" or (name == "piptools" and "sync" in words[1:2]):
        found = _pip_sync(words[1:], command)
    elif name in _PROJECT_TOOLS:
        found = _project_tool(name, words[1:], command)
    elif name == "setup.py" and {"install", "develop"} & set(words[1:]):
        found = PythonInstall("setup.py", "install", packages=(".",))
    elif name == "easy_install" or name.startswith("easy_install-"):
        found = PythonInstall("easy_install", "install", packages=tuple(words[1:]))
    return found


def _module(words: list[str]) -> list[str]:
    """What ``python -m module ...`` or ``python file ...`` runs, as a command of its own; empty if it is neither."""
    position = 1
    while position < len(words) and words[position].startswith("-"):
        word = words[position]
        if "m" in word and not word.startswith("--"):  # also -Im
            joined = word.partition("m")[2]
            return [joined, *words[position + 1 :]] if joined else words[position + 1 :]
        if word == "-" or word.startswith("--") or "c" in word:
            return []
        position += 2 if word in {"-W", "-X"} else 1
    found = words[position:]
    if found and re.search(r"\.whl/pip/?$|/pip(/__main__\.py|\.pyz)?/?$", found[0]):
        return ["pip", *found[1:]]
    return found


def _project_tool(name: str, words: list[str], command: Command) -> PythonInstall | None:
    parsed = _parse(words, _CONDA_VALUES)
    verb = _PROJECT_TOOLS[name].get(parsed.rest[0]) if parsed.rest else None
    tool = "conda" if name in {"mamba", "micromamba"} else name
    if name == "pdm" and parsed.rest[:1] == ["import"]:  # what `pdm install` installs then
        return PythonInstall(tool, "install", tuple(parsed.rest[1:]))
    return _of_project(tool, verb, parsed, command) if verb else None


def _of_project(tool: str, verb: str, parsed: _Parsed, command: Command) -> PythonInstall:
    files, named = list(parsed.all("-r", "--requirements", "--requirement", "--file", "-f")), parsed.rest[1:]
    packages = tuple(word for word in named if not word.startswith(("$(", "<(")))
    return PythonInstall(tool, verb, (*files, *_fed(files, named, command.reads)), packages=packages)


def _pip(words: list[str], command: Command, verbs: set[str], tool: str = "pip") -> PythonInstall | None:
    parsed = _parse(words, _PIP_VALUES)
    verb = parsed.rest[0] if parsed.rest else ""
    if verb not in verbs or parsed.has("--dry-run"):
        return None
    get = _environment(command.environment, "UV_" if tool == "uv" else "PIP_")
    named = parsed.rest[1:]
    files = [*parsed.all("-r", "--requirement", "--requirements"), *get("REQUIREMENT").split()]
    if verb == "sync":
        files, named = [*files, *named], []
    return PythonInstall(
        tool=tool,
        verb=verb,
        requirements=(*files, *_fed(files, named, command.reads)),
        constraints=(
            *parsed.all("-c", "--constraint", "--constraints", "--override", "--overrides"),
            *get("CONSTRAINT").split(),
            *get("OVERRIDE").split(),
        ),
        packages=tuple(word for word in named if not word.startswith(("$(", "<("))),
        offline=parsed.has("--no-index", "--offline") or _is_on(get("NO_INDEX")) or _is_on(get("OFFLINE")),
        find_links=(*parsed.all("-f", "--find-links"), *get("FIND_LINKS").replace(",", " ").split()),
        target=parsed.last("-t", "--target") or get("TARGET") or None,
        prefix=parsed.last("--prefix") or get("PREFIX") or None,
        root=parsed.last("--root") or get("ROOT") or None,
        user=parsed.has("--user") or _is_on(get("USER")),
        editable=parsed.all("-e", "--editable"),
        python=parsed.last("--python", "-p") or get("PYTHON") or None,
        destination=parsed.last("-w", "--wheel-dir", "-d", "--dest") or get("WHEEL_DIR") or get("DEST") or None,
        no_cache=parsed.has("--no-cache-dir", "--no-cache", "-n")
        or _is_on(get("NO_CACHE_DIR" if tool == "pip" else "NO_CACHE")),
    )


def _environment(values: Mapping[str, str], prefix: str) -> Callable[[str], str]:
    return lambda name: values.get(prefix + name, "")


def _is_on(value: str) -> bool:
    return value.strip().lower() not in _OFF


def _fed(files: list[str], named: list[str], reads: tuple[str, ...]) -> tuple[str, ...]:
    """The files that reach a command otherwise: ``xargs``, ``-r /dev/stdin``, a loop, ``$(cat file)``, ``<(...)``."""
    substituted = [word for word in (*named, *files) if word.startswith(("$(", "<("))]
    found = tuple(path for word in substituted for path in _FILE_IN_SUBSTITUTION.findall(word[2:]))
    is_fed = not (named or files) or {"-", "/dev/stdin"} & set(files)
    is_loop = named and all(word.startswith("$") and not word.startswith("$(") for word in named)  # $line
    return (*found, *reads) if is_fed or is_loop else found


def _uv(words: list[str], command: Command) -> PythonInstall | None:
    position = 0
    while position < len(words) and words[position].startswith("-"):
        position += 2 if words[position] in _PIP_VALUES else 1
    before, after = words[:position], words[position:]
    if after[:1] == ["pip"]:
        return _pip([*after[1:], *before], command, {"install", "sync"}, "uv")
    if after[:1] in (["sync"], ["add"]):
        return _of_project("uv", "sync" if after[0] == "sync" else "install", _parse(after, _PIP_VALUES), command)
    if after[:2] == ["tool", "install"]:
        return PythonInstall("uv", "install", packages=tuple(word for word in after[2:] if not word.startswith("-")))
    return None


def _pip_sync(words: list[str], command: Command) -> PythonInstall | None:
    parsed = _parse(words, _PIP_VALUES | {"--pip-args", "--python-executable"})
    if parsed.has("--dry-run", "-n"):
        return None
    named = tuple(word for word in parsed.rest if word != "sync")
    return PythonInstall(
        "pip-sync",
        "sync",
        requirements=named or ("requirements.txt",),
        offline=parsed.has("--no-index") or _is_on(command.environment.get("PIP_NO_INDEX", "")),
        find_links=parsed.all("-f", "--find-links"),
        python=parsed.last("--python-executable"),
    )


_VALUES: Final = {
    "apt": _names("-o --option -c --config-file -t --target-release --default-release -a --host-architecture"),
    "apk": _names(
        """-t --virtual -p --root -X --repository --repositories-file --keys-dir --cache-dir --cache-max-age --arch
        --wait --progress-fd --timeout"""
    ),
    "dnf": _names(
        """--installroot --releasever --setopt --repo --repoid --enablerepo --disablerepo -x --exclude -c
        --config"""
    ),
}
_MANAGERS: Final = {
    **dict.fromkeys(("apt-get", "apt", "aptitude", "apt-fast", "nala"), "apt"),
    "apk": "apk",
    **dict.fromkeys(("dnf", "microdnf", "yum", "dnf5", "tdnf"), "dnf"),
    "dpkg": "dpkg",
}
_VERBS: Final = {
    **dict.fromkeys(
        ("install", "add", "build-dep", "reinstall", "satisfy", "localinstall", "groupinstall"), "install"
    ),
    **dict.fromkeys(("update", "makecache", "check-update"), "update"),
    **dict.fromkeys(("upgrade", "dist-upgrade", "full-upgrade", "safe-upgrade", "distro-sync"), "upgrade"),
    **dict.fromkeys(("remove", "purge", "autoremove", "auto-remove", "autopurge", "del", "erase"), "remove"),
    **dict.fromkeys(("clean", "autoclean", "auto-clean", "distclean", "dist-clean"), "clean"),
}


def system_install(command: Command) -> SystemCommand | None:
    """What a command of apt, apk, dnf or dpkg does; None for any other."""
    manager = _MANAGERS.get(command.name)
    if manager is None:
        return None
    words = command.words[1:]
    options = tuple(word for word in words if word.startswith("-"))
    if manager == "dpkg":
        installs = any(word in {"--install", "--unpack"} or re.fullmatch(r"-[A-Za-z]*i", word) for word in options)
        named = tuple(word for word in words if not word.startswith("-"))
        return SystemCommand("dpkg", "install" if installs else "query", named, options=options)
    parsed = _parse(words, _VALUES[manager])
    word = parsed.rest[0] if parsed.rest else ""
    verb = _VERBS.get(word, word)
    if manager == "dnf" and word == "update":
        verb = "upgrade"  # what apt calls update, dnf calls makecache
    return SystemCommand(
        manager,
        verb,
        tuple(parsed.rest[1:]),
        no_recommends=manager == "apt" and _leaves_recommends_out(words, command.name),
        no_cache=parsed.has("--no-cache"),
        updates=verb == "update" or manager == "dnf" or parsed.has("--no-cache", "-U", "--update-cache", "--update"),
        options=options,
    )


def _leaves_recommends_out(words: Sequence[str], name: str) -> bool:
    """Whether recommended packages are left out: the last word on it decides, as it does for apt."""
    answer = False
    for before, word in zip(("", *words), words, strict=False):
        option, equals, value = word.partition("=")
        if option in {"--no-install-recommends", "--install-recommends"}:
            answer = (_is_on(value) if equals else True) == (option == "--no-install-recommends")
        elif name == "aptitude" and option in {"-R", "-r", "--without-recommends", "--with-recommends"}:
            answer = option in {"-R", "--without-recommends"}
        elif found := _RECOMMENDS_SETTING.search(f"{before} {word}"):
            answer = not _is_on(found[1].strip(" \"'"))
    return answer
