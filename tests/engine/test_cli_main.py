"""The command line as a user types it."""

from __future__ import annotations

import json
import os
import subprocess
import tarfile
from pathlib import Path

import pytest

from layerlab.engine import Engine, limits
from layerlab.exercise import new_workspace
from layerlab.paths import ROOT


def lab(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(ROOT / "lab"), *arguments],
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def started(
    *arguments: str, redirections: str = "", stdout: int = subprocess.PIPE, **environment: str
) -> subprocess.CompletedProcess[bytes]:
    """The same as a shell starts it, with these redirections; what is printed as bytes."""
    return subprocess.run(
        ["/bin/sh", "-c", f'exec "$0" "$@" {redirections}', str(ROOT / "lab"), *arguments],
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=subprocess.PIPE,
        check=False,
    )


class TestBadInput:
    @pytest.mark.variants
    @pytest.mark.parametrize(
        ("arguments", "expected"),
        [
            (["nonsense"], "--help"),
            (["xray", "UPPER case!", "--json"], "UPPER"),
            (["xray", "any", "--max-size", "big"], "300MB"),
            (["xray", "any", "--dockerfile", "no-such-dockerfile"], "no-such-dockerfile"),
            (["run", "no-such-image:at-all"], "no-such-image"),
        ],
    )
    def test_one_clear_line_and_status_2(self, arguments: list[str], expected: str) -> None:
        """What cannot be done says why and what to do, in one line, and prints nothing on stdout."""
        done = lab(*arguments)

        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.count("\n") == 1
        assert done.stderr.startswith("lab: ")
        assert expected in done.stderr

    @pytest.mark.variants
    @pytest.mark.parametrize("content", [b"not an archive", b"\x1f\x8b broken gzip"])
    def test_a_file_that_is_no_archive(self, tmp_path: Path, content: bytes) -> None:
        """A file that is not what `docker save` writes is said to be so."""
        path = tmp_path / "image.tar"
        path.write_bytes(content)

        done = lab("xray", str(path), "--json")
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)

    def test_an_archive_without_an_image(self, tmp_path: Path) -> None:
        """Any old tar file is no image."""
        path = tmp_path / "files.tar"
        with tarfile.open(path, "w") as tar:
            tar.add(ROOT / "requirements.txt", "requirements.txt")

        assert lab("compare", str(path)).returncode == 2

    def test_a_dead_engine(self) -> None:
        """An engine that does not answer is named, and nothing else is started instead."""
        done = lab("compare", DOCKER_HOST="tcp://127.0.0.1:9")

        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
        assert "DOCKER_HOST" in done.stderr


class TestHelp:
    @pytest.mark.variants
    @pytest.mark.parametrize("command", ["", "xray"])
    def test_every_command_explains_itself(self, command: str) -> None:
        """--help says what it does and lists its options."""
        done = lab(*command.split(), "--help")

        assert done.returncode == 0
        assert "--help" in done.stdout
        assert len(done.stdout.splitlines()) > 5


@pytest.mark.fast
class TestCompare:
    def test_the_document_is_the_one_that_was_promised(self, busybox_image: str) -> None:
        """`compare --json` prints one JSON document with the fixed keys."""
        done = lab("compare", busybox_image, "--json")

        (image,) = json.loads(done.stdout)["images"]
        assert done.returncode == 0
        assert image["name"] == busybox_image
        assert image["live_bytes"] + image["wasted_bytes"] == image["bytes"]
        assert image["bytes"] == sum(layer["bytes"] for layer in image["layers"])

    def test_two_images_beside_each_other(self, busybox_image: str) -> None:
        """The table names each image, and is plain text when piped."""
        done = lab("compare", busybox_image, busybox_image)

        sizes = [line.split()[0] for line in done.stdout.splitlines() if line.startswith(busybox_image)]
        assert sizes == [busybox_image] * 2
        assert "the same files, as far as size, mode and owner tell" in done.stdout
        assert "Their configurations say the same." in done.stdout
        assert "\x1b" not in done.stdout


class TestOutput:
    @pytest.fixture(params=["xray IMAGE --max-size 1MB", "check FOLDER"])
    def command(self, request: pytest.FixtureRequest, busybox_image: str, tmp_path: Path) -> list[str]:
        """A command, with a tiny image or a workspace that holds what ASCII has not."""
        folder = new_workspace.make(tmp_path / "größe")
        (folder / "Dockerfile").write_text("FROM python:3.13-slim-trixie\nRÜN echo ✓\n", encoding="utf-8")
        words = str(request.param).split()
        return [{"IMAGE": busybox_image, "FOLDER": str(folder)}.get(word, word) for word in words]

    @pytest.mark.long
    def test_a_terminal_without_utf_8_changes_no_status(self, command: list[str]) -> None:
        """What it cannot show is replaced."""
        lines = lab(*command)
        locale = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": ""}
        for environment in ({"PYTHONIOENCODING": "latin-1"}, {"PYTHONIOENCODING": "ascii"}, locale):
            done = started(*command, **environment)
            printed = done.stdout.decode(environment["PYTHONIOENCODING"] or "ascii")
            assert (done.returncode, b"Error" in done.stderr) == (lines.returncode, False), done.stderr
            assert len(printed.splitlines()) == len(lines.stdout.splitlines())

    @pytest.mark.variants
    def test_where_nobody_reads_on_the_status_says_so(self, command: list[str]) -> None:
        """As of a program that SIGPIPE has ended, 128 + 13; and nothing is said."""
        reading, writing = os.pipe()
        os.close(reading)
        done = started(*command, stdout=writing)
        os.close(writing)

        assert (done.returncode, [line for line in done.stderr.splitlines() if b"broken: " not in line]) == (141, [])

    @pytest.mark.variants
    @pytest.mark.parametrize("redirections", [">&-", ">/dev/full"])
    def test_where_nothing_can_be_printed_one_line_says_so(self, busybox_image: str, redirections: str) -> None:
        """Half a result, or none, with status 0 would be believed."""
        done = started("compare", busybox_image, redirections=redirections)

        assert (done.returncode, done.stdout, done.stderr.count(b"\n")) == (2, b"", 1)
        assert done.stderr.startswith(b"lab: standard output ")

    @pytest.mark.long
    def test_without_standard_error_the_result_is_the_same(self, busybox_image: str) -> None:
        """Progress and the line about the limit get lost, and nothing else."""
        command = ["xray", busybox_image, "--max-size", "1MB"]
        done = started(*command, redirections="2>&-")

        assert (done.returncode, done.stdout.decode(), done.stderr) == (1, lab(*command).stdout, b"")


class TestXray:
    def test_limits(self, busybox_image: str) -> None:
        """A broken limit is status 1 and a line on stderr; the document says of each whether it is kept."""
        done = lab("xray", busybox_image, "--max-size", "1MB", "--max-waste", "0%", "--no-root", "--json")

        limits = {limit["name"]: limit["ok"] for limit in json.loads(done.stdout)["limits"]}
        assert (done.returncode, limits) == (1, {"max-size": False, "max-waste": True, "no-root": False})
        assert [line.split(" is broken: ")[0] for line in done.stderr.splitlines()] == [
            "lab: --max-size",
            "lab: --no-root",
        ]

    @pytest.mark.long
    def test_limits_that_are_kept(self, busybox_image: str) -> None:
        """Where all are kept, the status is 0, and the tables are the usual ones."""
        done = lab("xray", busybox_image, "--max-size", "100MB", "--max-waste", "10MB")

        assert (done.returncode, done.stderr) == (0, "")
        assert f"Layers of {busybox_image}" in done.stdout

    def test_report(self, busybox_image: str, tmp_path: Path) -> None:
        """--html writes one file, says so on stderr, and leaves stdout to the document."""
        path = tmp_path / "report.html"
        done = lab("xray", busybox_image, "--html", str(path), "--json")

        assert done.returncode == 0
        assert json.loads(done.stdout)["images"][0]["name"] == busybox_image
        assert f"{path}: 0." in done.stderr
        assert path.read_text().startswith("<!DOCTYPE html>")
        assert list(tmp_path.iterdir()) == [path]


class TestDoctor:
    def test_it_sees_the_engine(self, engine: Engine) -> None:
        """What doctor says of the engine is what the engine says of itself."""
        findings = {finding["what"]: finding for finding in json.loads(lab("doctor", "--json").stdout)}

        assert engine.version in findings["Docker engine"]["seen"]
        assert findings["Docker engine"]["state"] == "ok"

    def test_it_says_whether_builds_are_limited(self, engine: Engine) -> None:
        """Whether a check's builds are limited is said as it is: with the limits, or with what stands against it."""
        (finding,) = (one for one in json.loads(lab("doctor", "--json").stdout) if one["what"] == "builds of checks")
        is_limited, sentence = not limits.why_unlimited(engine), limits.what_holds(engine)

        assert (finding["state"] == "ok", finding["seen"]) == (is_limited, sentence)

    @pytest.mark.long
    def test_it_looks_at_dockers_settings(self, tmp_path: Path) -> None:
        """A credential helper that is missing, and what cannot be read, stop nothing."""
        (tmp_path / "config.json").write_text('{"credsStore": "desktop", "proxies": 7}')
        done = lab("doctor", "--json", DOCKER_CONFIG=str(tmp_path))
        findings = {finding["what"]: finding for finding in json.loads(done.stdout)}

        assert (done.returncode, done.stderr) == (0, "")
        assert findings["logins"]["state"] == findings["Docker's settings"]["state"] == "note"
        assert "docker-credential-desktop is not installed" in findings["logins"]["seen"]
        assert findings["Docker's settings"]["seen"].endswith("proxies has to be an object")

    def test_without_an_engine_it_says_what_to_do(self) -> None:
        """A missing engine is status 1: doctor could do its work, and the answer is no."""
        done = lab("doctor", "--json", DOCKER_HOST="tcp://127.0.0.1:9")
        findings = {finding["what"]: finding for finding in json.loads(done.stdout)}

        assert (done.returncode, findings["Docker engine"]["state"]) == (1, "missing")
        assert "DOCKER_HOST" in findings["Docker engine"]["remedy"]
