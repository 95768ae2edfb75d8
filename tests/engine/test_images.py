"""The optimised image: what it is made of, what it does, and that what its Dockerfile says is true."""

from __future__ import annotations

import json
import re
import shutil
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import docker.errors
import pytest

from layerlab import bases, dockerfile
from layerlab.builder import build
from layerlab.engine import Engine
from layerlab.paths import ROOT
from layerlab.service import Service, run
from tests.engine.images import ENDPOINTS, Built, Entry, built, read_layers

STICKY = 0o1000  # of a folder such as /tmp, where nobody removes what is another's
LIMIT_ON_STAND_INS = 275_000_000
LIMIT_ON_OFFICIAL_BASE = 290_000_000  # which is up to 10 MB larger


@pytest.fixture(scope="module")
def optimized(engine: Engine) -> Iterator[Built]:
    with built(engine, "Dockerfile") as image:
        yield image


@pytest.fixture(scope="module")
def single(engine: Engine) -> Iterator[Built]:
    with built(engine, "Dockerfile.single") as image:
        yield image


@pytest.fixture(scope="module")
def layers(engine: Engine, optimized: Built) -> list[list[Entry]]:
    """The files of each of its layers, those that later layers hide included."""
    return read_layers(engine, optimized.id)


@pytest.fixture(scope="module")
def added(engine: Engine, layers: list[list[Entry]]) -> list[Entry]:
    """What the layers hold that the Dockerfile adds to its base."""
    below = len(engine.client.images.get("python:3.13-slim-trixie").attrs["RootFS"]["Layers"])
    return [entry for layer in layers[below:] for entry in layer]


@pytest.fixture(scope="module")
def service(engine: Engine, optimized: Built) -> Iterator[Service]:
    with run(engine, optimized.id) as running:
        yield running


def run_python(engine: Engine, image: str, program: str, python: str = "python") -> Any:
    """What a Python program prints as JSON, run in an image."""
    command = [python, "-B", "-W", "ignore", "-c", program]
    output = engine.client.containers.run(image, command, remove=True, user="0", network_disabled=True)
    return json.loads(output.decode().splitlines()[-1])


class TestOptimized:
    def test_it_is_small(
        self,
        engine: Engine,
        optimized: Built,
        layers: list[list[Entry]],
        added: list[Entry],
        record_property: Callable[[str, object], None],
    ) -> None:
        """All its layers together are within the limit, and so is what the Dockerfile adds to its base."""
        total = sum(entry.size for layer in layers for entry in layer)
        record_property("megabytes", total / 1e6)

        assert total <= (
            LIMIT_ON_STAND_INS if bases.is_on_stand_ins(engine, optimized.id) else LIMIT_ON_OFFICIAL_BASE
        )
        assert sum(entry.size for entry in added) <= 160_000_000

    def test_it_is_less_than_a_quarter_of_the_other(self, optimized: Built, single: Built) -> None:
        """The single-stage image, which answers the same, weighs more than four times as much."""
        weights = [sum(step["Size"] for step in image.history) for image in (optimized, single)]

        assert 4 * weights[0] < weights[1]

    @pytest.mark.fast
    def test_its_configuration_is_that_of_production(self, optimized: Built) -> None:
        """A numeric user other than root, the server itself as process 1, a health check without a shell."""
        config = optimized.config

        uid, _, gid = config["User"].partition(":")
        assert int(uid) > 0
        assert int(gid) > 0
        assert config["Cmd"][0] == "gunicorn"
        assert config["Entrypoint"] is None
        assert config["Healthcheck"]["Test"][:2] == ["CMD", "python"]
        assert config["StopSignal"] == "SIGTERM"
        assert list(config["ExposedPorts"]) == ["5000/tcp"]
        assert {key for key in config["Labels"] if key.startswith("org.opencontainers.image.")} >= {
            "org.opencontainers.image.title",
            "org.opencontainers.image.description",
            "org.opencontainers.image.version",
        }

    def test_nothing_that_only_builds_is_shipped(self, layers: list[list[Entry]], added: list[Entry]) -> None:
        """No compiler, no linker, no index of packages, no cache of downloads, in no layer."""
        everything = [entry for layer in layers for entry in layer]

        assert matching(everything, r"/bin/(.*-)?(gcc|g\+\+|cc|c\+\+|ld|as|make|strip)(-\d+)?$") == []
        assert matching(everything, r"^/var/lib/apt/lists/.*_Packages|^/var/cache/apt/.*\.(deb|bin)$") == []
        assert matching(added, r"/\.cache/|\.whl$|/requirements\.txt$|/pip/|/tests/|\.(a|c|h|pyx|pyi)$") == []

    def test_the_service_cannot_change_itself(self, added: list[Entry]) -> None:
        """All that the Dockerfile adds belongs to root, and nobody else may write to it or become root by it."""
        assert [entry.path for entry in added if entry.uid != 0] == []
        assert [e.path for e in added if e.mode & 0o022 and not e.is_link and not e.mode & STICKY] == []
        assert [entry.path for entry in added if entry.mode & 0o6000] == []

    def test_no_licence_is_trimmed(
        self, engine: Engine, single: Built, layers: list[list[Entry]], added: list[Entry]
    ) -> None:
        """Each licence file that pip installs in the single-stage image is here too, and Debian's are."""
        pattern = r"/venv/lib/python[\d.]+/site-packages/(.*/(LICEN[CS]E|COPYING|NOTICE|AUTHORS)[^/]*)$"
        program = (
            "import json, pathlib; print(json.dumps([str(path) for path in pathlib.Path('/app/venv').rglob('*')]))"
        )
        wanted = {match[1] for path in run_python(engine, single.id, program) if (match := re.search(pattern, path))}
        here = {match[1] for entry in added if (match := re.search(pattern, entry.path))}

        assert len(here) > 20
        assert {path for path in wanted - here if not path.startswith("pip")} == set()
        assert matching(layers[0], "^/usr/share/doc/[^/]+/copyright$")

    def test_bytecode_is_there_for_all_that_is_imported(self, engine: Engine, optimized: Built) -> None:
        """The service starts without compiling a library: whatever module it loads has its bytecode."""
        program = (
            "import sys, json, os; sys.path.insert(0, '/srv'); import app.wsgi, gunicorn.workers.gthread;"
            "print(json.dumps([m.__name__ for m in sys.modules.values() if getattr(m, '__cached__', None)"
            " and not os.path.exists(m.__cached__) and not m.__name__.startswith('app')]))"
        )

        assert run_python(engine, optimized.id, program) == []

    @pytest.mark.long
    def test_trimming_breaks_no_module(self, engine: Engine, optimized: Built, single: Built) -> None:
        """What can be imported in the untrimmed image can be imported here, but for Pillow's four codecs.

        (And for Tk's windows, whose libraries only the full base image has.)
        """
        program = """
import importlib, json, pathlib, sys, sysconfig, os
site = pathlib.Path(sysconfig.get_path("purelib"))
names = set()
for path in site.rglob("*"):
    parts = path.relative_to(site).parts
    if path.suffix in {".py", ".so"} and "tests" not in parts and all(p.isidentifier() for p in parts[:-1]):
        names.add(".".join((*parts[:-1], path.name.partition(".")[0])).removesuffix(".__init__"))
imported = []
real, sys.stdout = sys.stdout, open(os.devnull, "w")
for name in sorted(names):
    if name.endswith("__main__") or "tk" in name.lower() or name.partition(".")[0] in {"pip", "pylab"}:
        continue
    try:
        importlib.import_module(name)
    except BaseException:
        continue
    imported.append(name)
sys.stdout = real
print(json.dumps(imported))
"""
        whole = set(run_python(engine, single.id, program, python="/app/venv/bin/python"))
        trimmed = set(run_python(engine, optimized.id, program))

        assert len(trimmed) > 800
        assert whole - trimmed == {"PIL._avif", "PIL._webp", "PIL._imagingft", "PIL._imagingcms"}

    @pytest.mark.long
    def test_what_libraries_look_up_at_run_time_is_there(self, engine: Engine, optimized: Built) -> None:
        """Time zones, glyphs that the font lacks, formulas, certificates and event loops work."""
        program = r"""
import asyncio, io, json, ssl, warnings, zoneinfo
import pandas as pd
from matplotlib.figure import Figure
warnings.simplefilter("ignore")
figure = Figure()
figure.add_subplot(title="\u6f22 $\\sqrt{\\alpha}$")
sizes = []
for file_format in ("png", "svg"):
    figure.savefig(file := io.BytesIO(), format=file_format)
    sizes.append(len(file.getvalue()))
print(json.dumps([
    str(pd.Timestamp("2026-07-01 12:00", tz="UTC").tz_convert("Asia/Kolkata")),
    len(zoneinfo.available_timezones()) > 400,
    min(sizes) > 1000,
    ssl.create_default_context().cert_store_stats()["x509_ca"] > 50,
    asyncio.run(asyncio.sleep(0, "slept")),
]))
"""
        answers = run_python(engine, optimized.id, program)

        assert answers == ["2026-07-01 17:30:00+05:30", True, True, True, "slept"]

    @pytest.mark.fast
    @pytest.mark.parametrize(("path", "content_type"), ENDPOINTS.items())
    def test_it_answers_hardened(self, service: Service, path: str, content_type: str) -> None:
        """On a read-only root, without capabilities, each address answers with what it promises."""
        response = service.get(path)

        assert (response.status_code, response.headers["Content-Type"]) == (200, content_type)

    @pytest.mark.fast
    def test_no_process_is_root(self, service: Service) -> None:
        """The server and its workers run as the user that the Dockerfile names, and /info says so."""
        processes = service.processes()

        assert len(processes) == 3
        assert set(processes["uid"]) == {10001}
        assert service.get("/info").json()["user_id"] == 10001

    def test_workers_count_together(self, service: Service) -> None:
        """The number of requests served covers both workers."""
        before, after = (service.get("/status").json() for _ in range(2))

        assert after["requests_counted_in"] == "all workers"
        assert after["requests_served"] > before["requests_served"]

    def test_it_says_what_it_does_and_complains_of_nothing(self, service: Service) -> None:
        """Each request leaves a line in the log, and no library finds fault with its surroundings."""
        service.get("/data?rows=12")

        deadline = time.monotonic() + 10  # the line is written after the answer
        while '"GET /data?rows=12 HTTP/1.1" 200' not in (logs := service.logs()):
            assert time.monotonic() < deadline, logs
            time.sleep(0.1)
        assert not re.search(r"warn|error|traceback|writable", logs, re.IGNORECASE)

    @pytest.mark.long
    def test_it_runs_as_anybody(self, engine: Engine, optimized: Built) -> None:
        """A platform may choose any user and no home directory."""
        with run(engine, optimized.id, user="65123:0", environment={"HOME": "", "WEB_CONCURRENCY": "1"}) as service:
            assert service.get("/plot").status_code == 200
            assert service.get("/info").json()["user_id"] == 65123
            assert len(service.processes()) == 2

    def test_it_becomes_healthy(self, service: Service) -> None:
        """The image's own check finds that it works."""
        deadline = time.monotonic() + 60
        while service.health() == "starting" and time.monotonic() < deadline:
            time.sleep(0.5)

        assert service.health() == "healthy"

    def test_its_health_check_can_fail(self, engine: Engine, optimized: Built) -> None:
        """Where nothing listens, the check says no, and for that reason."""
        check = optimized.config["Healthcheck"]["Test"][1:]

        with pytest.raises(docker.errors.ContainerError) as caught:
            engine.client.containers.run(optimized.id, check, remove=True, network_disabled=True)

        assert caught.value.exit_status == 1
        assert b"ConnectionRefusedError" in (caught.value.stderr or b"")

    def test_docker_stop_ends_it_by_its_signal(self, engine: Engine, optimized: Built) -> None:
        """SIGTERM is enough: it ends by itself, with status 0."""
        with run(engine, optimized.id) as service:
            stopped = service.stop()

        assert (stopped.by_signal, stopped.exit_code) == (True, 0)

    def test_a_change_of_the_code_repeats_one_step(
        self, engine: Engine, tmp_path: Path, new_tag: Callable[[], str]
    ) -> None:
        """After a change of the app, all but the last COPY comes from the cache."""
        shutil.copytree(ROOT / "app", tmp_path / "app", ignore=shutil.ignore_patterns("__pycache__"))
        for name in ("Dockerfile", "requirements.txt"):
            shutil.copy(ROOT / name, tmp_path)
        build(engine, tmp_path, tag=new_tag())
        with (tmp_path / "app" / "routes.py").open("a") as file:
            file.write(f"# {uuid.uuid4()}\n")

        again = build(engine, tmp_path, tag=new_tag()).steps

        ran = again[~again["cached"] & ~again["instruction"].str.startswith("FROM")]
        assert list(ran["instruction"]) == ["COPY app app"]
        assert again["cached"].sum() >= 6


def matching(entries: list[Entry], pattern: str) -> list[str]:
    return [entry.path for entry in entries if re.search(pattern, entry.path)]


@pytest.mark.parametrize("name", ["Dockerfile", "Dockerfile.single", "Dockerfile.minimal"])
def test_both_builders_understand_them(name: str) -> None:
    """Nothing in them needs BuildKit or a newer frontend: no mounts, heredocs, linked copies or syntax line."""
    text = (ROOT / name).read_text()
    parsed = dockerfile.parse(text)

    assert not re.search(r"^#\s*(syntax|check)\s*=", text, re.MULTILINE | re.IGNORECASE)
    assert all(not instruction.heredocs for instruction in parsed.instructions)
    assert {flag for instruction in parsed.instructions for flag, _ in instruction.flags} <= {
        *("from", "interval", "timeout", "start-period", "retries"),
    }
