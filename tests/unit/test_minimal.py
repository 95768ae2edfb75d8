"""The Dockerfile.minimal of a workspace: its text, what it keeps for the application, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from layerlab.builder import collect
from layerlab.errors import UsageError
from layerlab.minimal import _described, dockerfile, routes
from layerlab.minimal import make as make_minimal
from layerlab.service import Distribution, Interpreter

PYTHON = Interpreter("/opt/venv/bin/python", "/opt/venv", (), {})


def text_of(folder: Path, dockerfile_text: str, config: dict[str, object], python: Interpreter = PYTHON) -> str:
    (folder / "Dockerfile").write_text(dockerfile_text)
    return dockerfile(collect(folder), config, python)[0]


def test_the_application_is_copied_last_and_packages_are_gathered(tmp_path: Path) -> None:
    """Trailing copies move to the end; those of packages are left to the rules; settings are the image's."""
    made = text_of(
        tmp_path,
        "FROM a AS build\nFROM a\nCOPY --from=build /opt/venv /opt/venv\nCOPY --from=build /made /made\nRUN x\n"
        'WORKDIR /srv\nUSER me\nCOPY --chown=me app \\\n  more ./\nCMD ["gunicorn"]\n',
        {"Cmd": ["gunicorn"], "WorkingDir": "/srv", "Env": ['A=$5 "', "GPG_KEY=x"], "StopSignal": "SIGINT"},
    )

    above, _, scratch = made.partition("FROM scratch\n")
    assert "# (copied last, below) COPY --chown=me app \\\n# (copied last, below)   more ./\n" in above
    assert "FROM a AS slim-whole\n" in above
    assert scratch.splitlines() == [
        "COPY --from=slim-gathered /slim /",
        'ENV LANG="C.UTF-8"',
        'ENV SSL_CERT_FILE="/etc/ssl/certs/ca-certificates.crt"',
        'ENV A="\\$5 \\""',
        "WORKDIR /srv",
        "USER 10001:10001",
        "STOPSIGNAL SIGINT",
        'CMD ["gunicorn"]',
        "COPY --from=build /made /made",
        "COPY app more /srv/",
    ]


def test_packages_in_other_folders_are_named(tmp_path: Path) -> None:
    """Where distributions lie elsewhere, that folder is gathered, too."""
    there = {"flask": Distribution("flask", "3", "/packages/flask-3.dist-info")}

    made = text_of(tmp_path, "FROM a\n", {}, Interpreter("/usr/local/bin/python", "/usr/local", (), there))

    assert "-m slim /usr/local /slim --report /slim.json --packages /packages\n" in made


def test_a_shell_is_left_out_where_nothing_needs_it(tmp_path: Path) -> None:
    """A plain command is taken out of its shell; one that a shell has to read is refused."""
    made = text_of(tmp_path, "FROM a\n", {"Cmd": ["/bin/sh", "-c", "exec serve --at 'a b'"]})

    assert 'CMD ["serve", "--at", "a b"]' in made
    for words in (["/bin/sh", "-c", "serve && true"], ["/start.sh"], ["bash", "/start"]):
        with pytest.raises(UsageError, match="needs a shell"):
            text_of(tmp_path, "FROM a\n", {"Cmd": words})


@pytest.mark.parametrize("base", ["python:3.13-alpine", "scratch"])
def test_other_c_libraries_are_refused(tmp_path: Path, base: str) -> None:
    with pytest.raises(UsageError, match="Debian's C library"):
        text_of(tmp_path, f"FROM {base}\n", {})


def test_a_folder_called_slim_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM a\n")
    (tmp_path / "slim").mkdir()

    with pytest.raises(UsageError, match="something else than the rules"):
        make_minimal(None, tmp_path)  # type: ignore[arg-type]  # refused before an engine is needed


def test_routes_are_those_without_parameters() -> None:
    """Of methods, functions and what does not parse, only what a GET can ask as it stands."""
    source = "@a.route('/one')\ndef f(): ...\n@a.post('/two')\n@a.get('/three/{x}')\nasync def g(): ...\n@a.get(p)\n"

    assert routes({"a.py": f"{source}def h(): ...", "b.py": "@a.get('/x'"}) == {"/one"}


@pytest.mark.parametrize(
    ("body", "described"),
    [
        ('{"b": 7, "a": [{"c": null}, {}]}', '200 application/json {"a": [{"c": null}], "b": null}'),
        (json.dumps(dict.fromkeys("gfedcba")), f"200 application/json {json.dumps(dict.fromkeys('abcdefg'))}"),
    ],
)
def test_all_names_of_an_answer_are_compared(body: str, described: str) -> None:
    """A name that is missing in the middle is a difference; values are none."""
    answer = SimpleNamespace(
        status_code=200, headers={"Content-Type": "application/json"}, json=lambda: json.loads(body)
    )

    assert _described(SimpleNamespace(get=lambda _: answer), "/x") == described  # type: ignore[arg-type]
