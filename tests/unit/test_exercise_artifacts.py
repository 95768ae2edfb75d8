"""Task 5, only the artifacts are copied, judged from evidence that is written down."""

from dataclasses import replace
from types import ModuleType

import pytest

from layerlab.errors import Failure
from layerlab.exercise.evidence.facts import Evidence, HandedOn
from layerlab.exercise.tasks import python_packages, runtime_stage
from layerlab.exercise.tasks.artifacts import judge
from layerlab.exercise.verdict import Finding
from layerlab.service import Distribution, Interpreter
from layerlab.xray.provenance.copies import Copy
from layerlab.xray.provenance.file_origins import Origin

from .checker_evidence import BUILT, GOOD, MB, SITE, WORKSPACE, Made, good

WHEELS = """\
FROM python:3.13-slim-trixie AS build
WORKDIR /build
COPY requirements.txt .
RUN pip wheel -w /wheels -r requirements.txt

FROM python:3.13-slim-trixie
COPY requirements.txt .
RUN {install}
WORKDIR /srv
COPY app app
USER 10001
CMD ["gunicorn", "app.wsgi:app"]
"""
GLOBAL = "/usr/local/lib/python3.13/site-packages"
IN_FINAL = Origin("made", "1", 8)


def errors(evidence: Evidence) -> list[Finding]:
    result = judge(evidence)
    assert result.status == ("fail" if any(f.level == "error" for f in result.findings) else "pass")
    return [finding for finding in result.findings if finding.level == "error"]


def wheels(install: str, origin: Origin = IN_FINAL) -> Made:
    """An image whose line 8 installs from wheels, which line 4 of the build stage made."""
    made = Made(WHEELS.format(install=install))
    for name, version in (("flask", "3.1.3"), ("gunicorn", "27.0.1")):
        made.package(name, version, 8, origin, site=GLOBAL)
        made.file(f"/wheels/{name}-{version}-py3-none-any.whl", 4, stage="build", size=MB)
    made.file("/requirements.txt", 7, content=WORKSPACE["requirements.txt"], origin=Origin("context", "1", 7))
    made.app(10)
    return made


def test_a_copied_environment_and_the_app_pass_without_advice() -> None:
    """The worked example's shape has nothing that a finding could be about."""
    result = judge(good().evidence())
    assert (result.id, result.status, result.findings) == (5, "pass", ())


def test_packages_installed_in_the_final_stage_fail_on_the_line_that_installs() -> None:
    """What matters is where the used files were made, not whether a stage is called build."""
    text = GOOD.replace("COPY --from=build /opt/venv /opt/venv\n", "RUN pip install -r requirements.txt\n")
    made = Made(text)
    made.package("flask", "3.1.3", 8, IN_FINAL, site=GLOBAL)
    made.app(11)
    (finding,) = errors(made.evidence())
    assert finding.line == 8
    assert "flask were installed by line 8" in finding.message


def test_packages_installed_a_second_time_fail_although_copied_ones_are_there() -> None:
    """The service's interpreter finds those of the final stage; the copied ones are named as not used."""
    text = GOOD.replace("WORKDIR /srv\n", "RUN pip install -r requirements.txt\nWORKDIR /srv\n")
    made = good(text, app=12)
    for name, version in (("flask", "3.1.3"), ("gunicorn", "27.0.1")):
        made.package(name, version, 10, Origin("made", "1", 10), site=GLOBAL)
    (finding,) = errors(made.evidence())
    assert finding.line == 10
    assert "Those of flask, gunicorn that line 8 brings from a build stage are not used" in finding.message


def test_a_final_stage_that_is_from_the_build_stage_takes_its_packages() -> None:
    """Layers keep the label of the stage that made them."""
    made = Made("FROM python:3.13-slim AS build\nRUN pip install -r requirements.txt\nFROM build\nCOPY app app\n")
    made.package("flask", "3.1.3", 2, Origin("made", "build", 2), site=GLOBAL)
    made.app(4)
    assert not errors(made.evidence())


HANDED_ON = HandedOn(8, ("build",), ("flask", "gunicorn"), taken=("flask", "gunicorn"))
MOUNTED = "--mount=from=build,source=/wheels,target=/w pip install --find-links=/w -r requirements.txt"


def test_wheels_of_a_build_stage_may_be_installed_through_a_mount() -> None:
    """Nothing of them is shipped, and without them the RUN installs nothing."""
    assert not errors(wheels(MOUNTED).evidence(handed_on=(HANDED_ON,)))


def test_a_further_package_that_comes_with_those_wheels_is_no_mistake() -> None:
    """What a RUN installs beside them without an index it cannot have from elsewhere."""
    made = wheels(MOUNTED)
    made.package("waitress", "3.0.2", 8, IN_FINAL, site=GLOBAL)
    made.requirements.pop("waitress")
    assert not errors(made.evidence(handed_on=(HANDED_ON,)))
    assert errors(made.evidence(handed_on=(replace(HANDED_ON, taken=()),)))


@pytest.mark.parametrize(
    ("tried", "named"),
    [
        ((replace(HANDED_ON, taken=()),), "flask, gunicorn"),
        ((replace(HANDED_ON, taken=("flask",)),), "gunicorn"),
        ((), ""),
    ],
)
def test_a_mount_that_the_installation_does_not_use_is_a_cheat(tried: tuple[HandedOn, ...], named: str) -> None:
    """What the RUN also installs without the wheels it has from the index, whatever is mounted beside."""
    (finding,) = errors(wheels(MOUNTED).evidence(handed_on=tried))
    assert finding.line == 8
    assert finding.message.startswith(named)


def test_what_was_not_tried_is_unknown() -> None:
    """Whether by --quick or because of the network, the message says why."""
    made = wheels(MOUNTED)
    offline = replace(HANDED_ON, taken=(), failure=Failure("network", "The index did not answer."))
    for evidence, why in (
        (made.evidence(handed_on=(offline,)), "The index did not answer."),
        (made.evidence(handed_on=(replace(HANDED_ON, taken=()),), is_quick=True), "--quick"),
    ):
        result = judge(evidence)
        assert result.status == "unknown"
        assert why in result.findings[-1].message


def test_wheels_that_are_copied_are_leftovers_also_when_a_later_line_removes_them() -> None:
    """Packages count as the build stage's; the wheels are what is wrong, and stored although nobody sees them."""
    text = WHEELS.format(install="pip install --no-index --find-links=/wheels -r requirements.txt && rm -r /wheels")
    made = Made(
        text.replace("COPY requirements.txt .\nRUN pip install", "COPY --from=build /wheels /wheels\nRUN pip install")
    )
    for name, version in (("flask", "3.1.3"), ("gunicorn", "27.0.1")):
        made.package(name, version, 8, IN_FINAL, site=GLOBAL)
        wheel = f"/wheels/{name}-{version}-py3-none-any.whl"
        made.file(wheel, 7, size=30 * MB, origin=Origin("made", "build", 4, ("build",)), removed=8)
    (finding,) = errors(made.evidence(handed_on=(HANDED_ON,)))
    assert finding.line == 7
    assert "(wheels, 60 MB)" in finding.message
    assert "Line 8 removes that later, but the layer of line 7 still stores it: 60 MB." in finding.message


def test_no_package_of_the_requirements_in_the_image_fails() -> None:
    """A builder whose result is not taken contributes nothing."""
    made = Made(GOOD)
    made.app(11)
    evidence = made.evidence(requirements={"flask": "3.1.3"})
    (finding,) = errors(evidence)
    assert finding.line == 7


def test_packages_of_an_image_taken_as_it_is_do_not_come_from_a_build_stage() -> None:
    """COPY --from=IMAGE brings what somebody else installed."""
    made = Made(GOOD.replace("--from=build", "--from=somebody/app:1"))
    made.package("flask", "3.1.3", 8, Origin("base", through=("somebody/app:1",)))
    assert [finding.line for finding in errors(made.evidence())] == [8]


def test_without_an_answer_of_the_interpreter_the_files_tell() -> None:
    """A service that does not start is judged by the distributions that the image holds."""
    made = good()
    running = made.running(up=False, interpreter=None, processes=())
    assert not errors(made.evidence(running))
    other = Made(GOOD)
    other.package("flask", "3.1.3", 8, Origin("made", "1", 8), site="/deps")
    assert errors(other.evidence(other.running(interpreter=None)))


@pytest.mark.parametrize(
    "path", ["README.md", "Dockerfile", "Dockerfile.single", "notes/plan.ipynb", ".git/config", "x.py"]
)
def test_a_file_of_the_build_context_that_the_service_does_not_need_fails(path: str) -> None:
    """The finding names it, the line that copies it, and its size."""
    made = good(
        workspace={**WORKSPACE, "notes/plan.ipynb": b"{'a': 'notebook'}", ".git/config": b"[core]", "x.py": b"1\n"}
    )
    content = made.workspace[path]
    made.file(f"/srv/{path}", 11, content=content, origin=Origin("context", "1", 11))
    (finding,) = errors(made.evidence())
    assert finding.line == 11
    assert finding.message.startswith(f"{path} of the build context came with line 11 to /srv")


@pytest.mark.parametrize(
    ("path", "command"),
    [
        ("entrypoint.sh", 'ENTRYPOINT ["/srv/entrypoint.sh"]'),
        ("wsgi.py", 'CMD ["gunicorn", "wsgi:app"]'),
        ("serve.py", 'CMD ["python", "serve.py"]'),
        ("conf/server.toml", 'CMD ["server", "--config=conf/server.toml"]'),
        ("start", "CMD ./start"),
        ("gunicorn.conf.py", 'CMD ["gunicorn", "app.wsgi:app"]'),
        ("uwsgi.ini", 'CMD ["uwsgi", "uwsgi.ini"]'),
        ("requirements.txt", 'CMD ["gunicorn", "app.wsgi:app"]'),
    ],
)
def test_what_starts_the_service_may_be_shipped(path: str, command: str) -> None:
    """A file that the command names, and the server's configuration under its usual name."""
    content = WORKSPACE.get(path, b"# starts the service, somehow\n")
    made = good(GOOD[: GOOD.index("CMD")] + command + "\n", workspace={**WORKSPACE, path: content})
    made.file(f"/srv/{path}", 11, content=content, origin=Origin("context", "1", 11))
    assert not errors(made.evidence())


def test_a_package_that_holds_the_servers_configuration_may_be_shipped() -> None:
    """Without its `__init__.py`, the module that starts the service could not be imported; others stay strangers."""
    files = {
        "conf/__init__.py": b"# a",
        "conf/web/__init__.py": b"# b",
        "conf/web/server.py": b"# c",
        "b/__init__.py": b"#d",
    }
    made = good(
        GOOD[: GOOD.index("CMD")] + 'CMD ["gunicorn", "-c", "python:conf.web.server", "app.wsgi:app"]\n',
        workspace={**WORKSPACE, **files},
    )
    for path, content in files.items():
        made.file(f"/srv/{path}", 11, content=content, origin=Origin("context", "1", 11))
    (finding,) = errors(made.evidence())
    assert finding.message.startswith("b/__init__.py of the build context")


def test_what_an_entry_point_script_starts_may_be_shipped_and_nothing_else() -> None:
    """The script's own text names further files."""
    script = b"#!/bin/sh\npython /srv/warm_up.py\nexec gunicorn app.wsgi:app\n"
    workspace = {
        **WORKSPACE,
        "start.sh": script,
        "warm_up.py": b"print('warm up')\n",
        "other.py": b"print('other')\n",
    }
    made = good(GOOD[: GOOD.index("CMD")] + 'ENTRYPOINT ["/srv/start.sh"]\n', workspace=workspace)
    for path in ("start.sh", "warm_up.py", "other.py"):
        made.file(f"/srv/{path}", 11, content=workspace[path], origin=Origin("context", "1", 11))
    (finding,) = errors(made.evidence())
    assert finding.message.startswith("other.py of the build context")


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/wheels/flask-3.1.3-py3-none-any.whl", "wheels"),
        ("/tmp/numpy-2.4.6.tar.gz", "source archives"),
        ("/build/psycopg2/setup.py", "unpacked sources"),
        ("/root/.cargo/registry/x", "caches"),
        ("/build/temp/_psycopg.o", "object files"),
        ("/tmp/environment.tar.zst", "archives"),
    ],
)
def test_what_a_build_leaves_behind_fails(path: str, kind: str) -> None:
    """The finding says which kind of leftover it is, how large, and which line brought it."""
    made = good()
    made.file(path, 8, size=5 * MB, mode=0o755)
    (finding,) = errors(made.evidence())
    assert finding.line == 8
    assert f"({kind}" in finding.message
    assert "5.0 MB" in finding.message


@pytest.mark.parametrize(
    ("path", "task"),
    [
        ("/root/.cache/pip/http-v2/a/b", python_packages),
        ("/root/.cache/uv/wheels-v5/x", python_packages),
        ("/usr/bin/gcc-14", runtime_stage),
    ],
)
def test_what_another_task_tells_of_is_the_same_finding(path: str, task: ModuleType) -> None:
    """A cache and a compiler are leftovers as well, and told in the same words, so that they can be told once."""
    made = good()
    made.file(path, 8, size=5 * MB, mode=0o755)
    evidence = replace(made.evidence(), single_bytes=1000 * MB)

    (finding,) = errors(evidence)

    assert finding in task.judge(evidence).findings


@pytest.mark.parametrize(
    "path",
    [
        "/usr/local/lib/python3.13/ensurepip/_bundled/pip-25.1.1-py3-none-any.whl",
        "/usr/local/lib/python3.13/config-3.13-x86_64-linux-gnu/python.o",
        "/usr/local/lib/python313.zip",
        f"{SITE}/numpy/lib/libnpymath.a",
        f"{SITE}/dateutil/zoneinfo/dateutil-zoneinfo.tar.gz",
        f"{SITE}/virtualenv/seed/wheels/embed/pip-25.0-py3-none-any.whl",
        "/srv/app/__pycache__/wsgi.cpython-313.pyc",
        "/tmp/matplotlib/fontlist-v390.json",
    ],
)
def test_what_python_and_its_packages_bring_is_no_leftover(path: str) -> None:
    """Archives, objects and bytecode that belong to what runs."""
    made = good()
    made.file(path, 8, size=MB)
    assert not errors(made.evidence())


def test_ten_megabytes_may_be_stored_twice_and_not_a_byte_more() -> None:
    """The sum over all layers counts; the finding names lines, figures and the cause."""
    made = good()
    made.final.copies += [Copy("/opt/venv/a", 6 * MB, 1, "/opt/venv/a", 0), Copy("/srv/b", 4 * MB, 3, "/opt/b", 1)]
    assert not errors(made.evidence())
    made.final.copies.append(Copy("/opt/venv/c", 1000, 1, "/opt/venv/c", 0))
    (finding,) = errors(made.evidence())
    assert finding.line == 8
    assert "line 8 6.0 MB, line 11 4.0 MB" in finding.message
    assert "another owner, mode or date" in finding.message


def test_a_copy_of_a_whole_filesystem_fails_unless_its_stage_began_with_nothing() -> None:
    """FROM scratch, a stage holds only what was put together in it."""
    text = GOOD.replace("/opt/venv /opt/venv", "/ /")
    made = good(text)
    made.file("/bin/sh", 0, stage="build")
    (finding,) = errors(made.evidence())
    assert finding.line == 8
    assert "whole filesystem of build" in finding.message
    assembled = good(text.replace("FROM python:3.13-slim-trixie AS build", "FROM scratch AS build"))
    assert not errors(assembled.evidence())


def test_an_installer_alone_is_advice() -> None:
    """Uv's program is of no use to the service; it does not fail the task."""
    made = good()
    made.file("/usr/local/bin/uv", 8, size=40 * MB, mode=0o755)
    result = judge(made.evidence())
    assert (result.status, [finding.level for finding in result.findings]) == ("pass", ["advice"])


@pytest.mark.parametrize(
    ("name", "site", "is_local", "fails"),
    [
        ("waitress", SITE, False, True),
        ("own-project", SITE, True, False),
        ("pip", SITE, False, False),
        ("waitress", "/usr/lib/python3/dist-packages", False, False),
    ],
)
def test_further_packages_that_the_final_stage_installs_fail(
    name: str, site: str, *, is_local: bool, fails: bool
) -> None:
    """They come from no build stage, wherever the pinned ones come from. A system's, an app's and pip itself may."""
    made = good(GOOD.replace("WORKDIR /srv", "RUN install\nWORKDIR /srv"), app=12)
    made.package(name, "3.0.2", 10, Origin("made", "1", 10), site=site)
    made.requirements.pop(name)
    if is_local:
        made.file(f"{site}/{name}-3.0.2.dist-info/direct_url.json", 10)
    assert [finding.line for finding in errors(made.evidence())] == ([10] if fails else [])


def test_packages_in_one_file_come_from_the_stage_that_made_it() -> None:
    """A .pex or zipapp unpacks itself when it starts, so that the interpreter finds packages which no layer holds."""
    made = Made(GOOD[: GOOD.index("CMD")] + 'CMD ["/opt/venv/service.pex", "app.wsgi:app"]\n')
    made.app(11)
    for name in ("flask", "gunicorn"):
        made.requirements[name] = "1.0"
        made.distributions[name] = Distribution(name, "1.0", f"/tmp/pex/{name}-1.0.dist-info")
    made.file("/opt/venv/service.pex", 8, size=60 * MB, mode=0o755, origin=BUILT)
    assert judge(made.evidence()).status == "pass"
    made.final.origins[1, "/opt/venv/service.pex"] = Origin("made", "1", 8)
    assert [finding.line for finding in errors(made.evidence())] == [8]


def test_packages_of_unknown_origin_are_unknown() -> None:
    """Where nobody can tell, it is neither a pass nor a fail."""
    made = Made(GOOD)
    made.package("flask", "3.1.3", 8, Origin("unknown"))
    assert judge(made.evidence()).status == "unknown"


def test_a_distribution_that_the_interpreter_finds_elsewhere_is_traced_there() -> None:
    """With --target any folder may hold the packages."""
    made = Made(GOOD)
    made.package("flask", "3.1.3", 8, BUILT, site="/deps")
    where = Distribution("flask", "3.1.3", "/deps/flask-3.1.3.dist-info")
    interpreter = Interpreter("/usr/local/bin/python", "/usr/local", ("/deps",), {"flask": where})
    assert not errors(made.evidence(made.running(interpreter=interpreter)))
