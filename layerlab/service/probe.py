"""Asks, from inside a container, which Python serves port 5000 and which distributions that Python finds.

This file is the script itself: its text is handed to an interpreter of the image (see `command`), so it must run
on any Python from 3.8 on with the standard library alone, and imports nothing of the lab. It trusts no name and no
variable that the image gives: the process is the one that holds the listening socket, as the kernel's /proc tells.
It goes in two steps: ``find`` looks for the process with whatever Python there is, and becomes that process's own
Python, with its environment and working directory; ``tell`` then prints what that one finds, behind a random mark,
since a ``sitecustomize`` may print as well.
"""
# pathlib takes longer to load than all of this:
# ruff: noqa: PTH109, PTH110, PTH112, PTH115, PTH118, PTH119, PTH120, PTH123, PTH208

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import sys
import time
from collections.abc import Iterator

SECONDS = 8  # then the kernel ends it, whatever the image's Python does
PORT = 5000
LISTENING = "0A"  # TCP_LISTEN in the kernel's include/net/tcp_states.h
ACCEPTING = "00010000"  # __SO_ACCEPTCON in its include/linux/net.h, as /proc/net/unix has it
PATIENCE = 1.0  # seconds
REQUEST = b"GET /status HTTP/%s\r\nHost: localhost\r\nConnection: close\r\n\r\n"
ERROR_PAGE = b"Error code explanation: 505"
PYTHON = re.compile(r"(python|pypy)(\d+(\.\d+)*t?)?$")
PATH_FLAGS = "IEsSP"  # of the interpreter's options those that change where it looks for modules
CURRENT_FIRST = ("gunicorn", "uvicorn", "flask", "uwsgi", "waitress", "hypercorn", "granian")
MOST = 2_000  # distributions
# Only the standard library may be imported from here on: a module of the learner's may be called json.
BOOT = """import sys
known_path = sys.path[:]
sys.path[:] = [p for p in known_path if p.startswith(sys.base_prefix + "/lib") and "packages" not in p] or known_path
exec(sys.argv[1])"""


def command(python: str, text: str, mark: str) -> list[str]:
    """What to run in the container: this Python, free of variables and site packages, with this file's text."""
    return [python, "-I", "-S", "-B", "-c", BOOT, text, mark, "find"]


def read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(1_000_000)
    except OSError:
        return b""


def link(path: str) -> str:
    try:
        return os.readlink(path)
    except OSError:
        return ""


def entries(path: str) -> list[str]:
    try:
        return os.listdir(path)
    except OSError:
        return []


def arguments(pid: int) -> list[str]:
    """The command line of a process."""
    return [os.fsdecode(word) for word in read(f"/proc/{pid}/cmdline").split(b"\0")[:-1]]


def environment(pid: int) -> dict[str, str]:
    """The environment that a process was started with; empty if it may not be read or was written over."""
    pairs = [entry.split(b"=", 1) for entry in read(f"/proc/{pid}/environ").split(b"\0") if b"=" in entry]
    found = {os.fsdecode(name): os.fsdecode(value) for name, value in pairs if name}
    return found if "PATH" in found else {}


def parent(pid: int) -> int:
    """The parent's number: 0 for process 1, and for what was started in the container from outside."""
    match = re.search(rb"^PPid:\s*(\d+)", read(f"/proc/{pid}/status"), re.MULTILINE)
    return int(match.group(1)) if match else 0


def listeners() -> list[tuple[str, int, str]]:
    """What waits for connections: host (or path, and port 0), port, and the socket as /proc/*/fd names it."""
    found = []
    for table, host in (("tcp", "127.0.0.1"), ("tcp6", "::1")):
        for line in read(f"/proc/net/{table}").decode(errors="replace").splitlines()[1:]:
            fields = line.split()
            if fields[3] == LISTENING:
                found.append((host, int(fields[1].rpartition(":")[2], 16), f"socket:[{fields[9]}]"))
    for line in read("/proc/net/unix").decode(errors="replace").splitlines()[1:]:
        fields = line.split()
        if len(fields) > 7 and fields[3] == ACCEPTING and fields[7].startswith("/"):
            found.append((fields[7], 0, f"socket:[{fields[6]}]"))
    return found


def is_python(path: str) -> bool:
    return bool(PYTHON.match(os.path.basename(path)))


def holders() -> list[int]:
    """The processes that hold a listening socket of the service's port, the first first."""
    sockets = {name for _, port, name in listeners() if port == PORT}

    def holds(pid: int) -> bool:
        return any(link(f"/proc/{pid}/fd/{number}") in sockets for number in entries(f"/proc/{pid}/fd"))

    return [pid for pid in sorted(int(name) for name in entries("/proc") if name.isdigit()) if holds(pid)]


def choose(serving: list[int]) -> int:
    """The process whose Python is asked for: of those that run Python, the first that serves, else the first."""
    ranked = []
    for pid in sorted(int(name) for name in os.listdir("/proc") if name.isdigit()):
        if pid != 1 and not parent(pid):
            continue  # a health check, or ourselves
        words = arguments(pid)
        runs = is_python(link(f"/proc/{pid}/exe")) or bool(words and is_python(words[0]))
        embeds = b"libpython" in read(f"/proc/{pid}/maps")  # as uWSGI does
        serves = pid in serving
        ranked.append((not (serves and (runs or embeds)), not runs, not embeds, not serves, pid))
    return min(ranked)[-1] if ranked else 1


def option(words: list[str], *names: str) -> str:
    """The value of an option on a command line, the last one if it is there twice; empty if it is not."""
    found = ""
    for at, word in enumerate(words):
        for name in names:
            if word == name and at + 1 < len(words):
                found = words[at + 1]
            elif name.startswith("--") and word.startswith(name + "="):
                found = word[len(name) + 1 :]
    return found


def interpreters(words: list[str], executable: str, variables: dict[str, str]) -> Iterator[str]:
    """Where the Python of a process may be, the likeliest first.

    Named as it was called wherever possible: that of a virtual environment is a link to another, and only the
    name tells which environment it is.
    """
    path = variables.get("PATH") or os.defpath
    names = [word for word in words[:4] if is_python(word)]
    home = option(words, "-H", "--home", "--virtualenv", "--venv", "--pyhome") or variables.get("VIRTUAL_ENV")
    if home:
        names.append(os.path.join(home, "bin", "python"))
    program = shutil.which(words[0], path=path) if words else None
    if program and not is_python(program):
        names.append(os.path.join(os.path.dirname(program), "python3"))
    # A process that has written over its command line: the one in PATH that is the same program.
    for name in [*names, "python3", "python"]:
        found = shutil.which(name, path=path)
        if found and (not is_python(executable) or os.path.realpath(found) == os.path.realpath(executable)):
            yield found
    if is_python(executable):
        yield executable


def own_options(words: list[str]) -> tuple[list[str], str]:
    """The interpreter's options of a command line that change its path, and the script that it runs if any."""
    if not words or not is_python(words[0]):
        return [], ""
    kept: list[str] = []
    rest = words[1:]
    while rest and rest[0].startswith("-") and len(rest[0]) > 1:
        word = rest.pop(0)
        letters = word[1:]
        if "m" in letters or "c" in letters:
            return kept, ""
        if letters in ("X", "W"):
            rest = rest[1:]
        elif letters[0] not in "XW-":
            kept += [f"-{letter}" for letter in letters if letter in PATH_FLAGS]
    return kept, rest[0] if rest else ""


def first_on_path(words: list[str], variables: dict[str, str], directory: str) -> list[str]:
    """What a server puts before everything else on ``sys.path``, the first first."""
    words = words + variables.get("GUNICORN_CMD_ARGS", "").split()
    wanted = [entry.strip() for entry in option(words, "--pythonpath", "--python-path", "--pp").split(",")]
    wanted.append(option(words, "--chdir", "--app-dir"))
    names = [os.path.basename(word) for word in words[:4]]
    if "-m" in words[:6] or any(name.startswith(CURRENT_FIRST) for name in names):
        wanted.append(directory)
    _, script = own_options(words)
    if script:
        wanted.append(os.path.dirname(os.path.realpath(os.path.join(directory, script))))
    full = [os.path.normpath(os.path.join(directory, entry)) for entry in wanted if entry]
    return list(dict.fromkeys(full))


def loaded_from(pid: int) -> list[str]:
    """The folders of those distributions whose compiled modules a process has loaded, or another of its program.

    Of Apache's processes the one that listens is not the one that runs the app.
    """
    program = link(f"/proc/{pid}/exe")
    others = [int(name) for name in os.listdir("/proc") if name.isdigit()]
    same = [other for other in others if other != pid and program and link(f"/proc/{other}/exe") == program]
    lines = [line for one in [pid, *same] for line in read(f"/proc/{one}/maps").decode(errors="replace").splitlines()]
    modules = dict.fromkeys("/" + line.partition("/")[2] for line in lines if ".so" in line)
    found: dict[str, bool] = {}
    for module in modules:
        above = os.path.dirname(module)
        while above != "/" and above not in found:
            found[above] = any(name.endswith((".dist-info", ".egg-info")) for name in entries(above))
            if found[above]:
                break
            above = os.path.dirname(above)
    return [folder for folder, holds in found.items() if holds]


def said(host: str, port: int, request: bytes, seconds: float) -> bytes:
    """The beginning of what a server answers, within twice this time."""
    answer, end = b"", time.monotonic() + seconds
    try:
        with socket.create_connection((host, port), seconds) if port else socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(seconds)
            if not port:
                connection.connect(host)
            connection.sendall(request)
            while len(answer) < 4096 and time.monotonic() < end and (more := connection.recv(4096)):
                answer += more
    except OSError:
        pass
    return answer


def behind() -> list[str]:
    """Where Python's ``http.server`` answers ``/status`` behind the one that is asked from outside.

    Its page for errors tells it; a version of HTTP that does not exist is answered by a server itself.
    """
    found = []
    end = time.monotonic() + 3 * PATIENCE
    for host, port, _ in listeners():
        if port == PORT or time.monotonic() >= end:
            continue
        if ERROR_PAGE in said(host, port, REQUEST % b"9.9", PATIENCE):
            head, _, body = said(host, port, REQUEST % b"1.0", PATIENCE).partition(b"\r\n\r\n")
            if b" 200 " in head.partition(b"\r\n")[0] and body.lstrip()[:1] == b"{":
                found.append(f"port {port}" if port else host)
    return found


def find(text: str, mark: str) -> None:
    """Become the Python of the service's process, in its place, and tell."""
    signal.alarm(SECONDS)  # outlives execve
    serving = holders()
    pid = choose(serving)
    words = arguments(pid)
    variables = environment(pid) or dict(os.environ)
    directory = link(f"/proc/{pid}/cwd") or os.getcwd()
    first = first_on_path(words, variables, directory)
    holder = " ".join(arguments(serving[0]))[:500] if serving else ""
    known = json.dumps({"first": first, "roots": loaded_from(pid), "behind": behind(), "holder": holder})
    try:
        os.chdir(directory)
    except OSError:
        os.chdir("/")
    options, _ = own_options(words)
    for python in interpreters(words, link(f"/proc/{pid}/exe"), variables):
        try:
            os.execve(python, [python, *options, "-B", "-c", BOOT, text, mark, "tell", known], variables)  # noqa: S606
        except (OSError, ValueError):
            continue  # the next one


def field(metadata: str, name: str) -> str:
    """A field of a distribution's metadata, from the lines before the first empty one; empty if it is not there."""
    head = re.split(r"\r?\n\r?\n", metadata, maxsplit=1)[0]
    match = re.search(r"^" + name + r":[ \t]*(\S+)", head, re.MULTILINE | re.IGNORECASE)
    return match.group(1) if match else ""


def metadata_in(folder: str) -> Iterator[tuple[str, str]]:
    """The place and the metadata of each distribution in an entry of ``sys.path``."""
    if os.path.isdir(folder) and not folder.endswith(".egg"):
        # importlib.metadata would take longer than all else here, where a base image has no bytecode.
        for name in entries(folder):
            if name.endswith((".dist-info", ".egg-info")):
                place = os.path.join(folder, name)
                text = read(os.path.join(place, "METADATA")) or read(os.path.join(place, "PKG-INFO")) or read(place)
                yield place, text.decode(errors="replace")
    elif os.path.exists(folder):  # an archive
        from importlib import metadata  # noqa: PLC0415

        for one in metadata.distributions(path=[folder]):
            try:
                yield str(getattr(one, "_path", "")), one.read_text("METADATA") or one.read_text("PKG-INFO") or ""
            except Exception:  # noqa: S112  # a damaged one is none
                continue


def distributions(path: list[str]) -> dict[str, tuple[str, str]]:
    """The version and the place of the distributions on this path, by normalised name, the first of each only."""
    found: dict[str, tuple[str, str]] = {}
    for folder in path:
        for place, text in metadata_in(folder):
            name, version = field(text, "Name"), field(text, "Version")
            if name and version and len(found) < MOST:
                normalised = re.sub(r"[-_.]+", "-", name).lower()
                found.setdefault(normalised, (version, os.path.realpath(place) if place else ""))
    return found


def whole_path(path: list[str], first: list[str], roots: list[str]) -> list[str]:
    """``sys.path`` as the service has it.

    The kernel tells from where a process has really loaded modules: also from what a configuration file or its
    own code has put on the path, which no variable and no option tells.
    """
    whole = first + [entry for entry in path if entry and entry not in first]
    present = {os.path.realpath(entry) for entry in whole}
    return [root for root in roots if os.path.realpath(root) not in present] + whole


def tell(path: list[str], mark: str, known: str) -> None:
    """Print what this Python finds on this path, on a line of its own behind the mark."""
    given = json.loads(known)
    whole = whole_path(path, given["first"], given["roots"])
    own = {"executable": sys.executable, "prefix": sys.prefix, "path": whole, "distributions": distributions(whole)}
    print("\n" + mark + json.dumps({"behind": [], "holder": "", **given, **own}), flush=True)


if __name__ == "__main__":
    text, mark, step = sys.argv[1:4]
    if step == "find":
        find(text, mark)
    else:
        tell(globals().get("known_path", sys.path), mark, sys.argv[4])
