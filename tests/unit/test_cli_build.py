"""What `./lab build` takes and hands on, without an engine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from layerlab import demo
from layerlab.cli import build
from layerlab.cli.main import cli


def test_secrets_come_from_files_and_variables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As `docker build --secret` takes them; one that is not there is an error before anything is built."""
    built: list[dict[str, bytes]] = []

    def note(*_: object, secrets: dict[str, bytes], **__: Any) -> None:
        built.append(secrets)

    monkeypatch.setattr(build, "find_engine", lambda: None)
    monkeypatch.setattr(demo, "build_image", note)
    (tmp_path / "token").write_bytes(b"from a file\n")
    monkeypatch.setenv("TOKEN", "from a variable")
    one, two = f"--secret=id=one,src={tmp_path}/token", "--secret=id=two,env=TOKEN"

    assert CliRunner().invoke(cli, ["build", "optimized", one, two], standalone_mode=False).exception is None
    assert built == [{"one": b"from a file\n", "two": b"from a variable"}]
    for wrong, said in {
        f"id=one,src={tmp_path}/none": "No such file",
        "id=one,env=NO_SUCH_TOKEN": "has no NO_SUCH_TOKEN",
        "id=one": "has no src",
        "env=TOKEN": "has no id",
    }.items():
        assert said in CliRunner().invoke(cli, ["build", "optimized", f"--secret={wrong}"]).output
    assert len(built) == 1
