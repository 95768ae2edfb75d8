"""The base images that this engine has: whether they behave as the official ones do, wherever they come from.

Everything but `TestStandIns` holds for the official images as well.
"""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from docker.models.images import Image

from layerlab import bases
from layerlab.builder import build
from layerlab.engine import Engine, runs
from layerlab.engine.ownership import STAND_IN_LABEL

SLIM, FULL = bases.BASES
BOTH = pytest.mark.parametrize("name", bases.BASES)

# What the interpreter says of itself, as JSON.
QUESTIONS = """
import importlib, json, os, pathlib, shutil, site, sqlite3, ssl, subprocess, sys, sysconfig
modules = "bz2 ctypes curses dbm.gnu dbm.ndbm hashlib lzma readline sqlite3 ssl uuid zlib zoneinfo _decimal"
usr_local = pathlib.Path("/usr/local")
print(json.dumps({
    "version": sys.version.split()[0],
    "prefix": sys.prefix,
    "executable": sys.executable,
    "imported": [importlib.import_module(name).__name__ for name in modules.split()],
    "site": site.getsitepackages(),
    "purelib": sysconfig.get_path("purelib", vars={"base": "/install"}),
    "shared": sysconfig.get_config_var("Py_ENABLE_SHARED"),
    "config": sysconfig.get_config_var("CONFIG_ARGS"),
    "cflags": sysconfig.get_config_var("CFLAGS"),
    "managed": (pathlib.Path(sysconfig.get_path("stdlib")) / "EXTERNALLY-MANAGED").exists(),
    "extensions": hasattr(sqlite3.Connection, "enable_load_extension"),
    "authorities": len(ssl.create_default_context().get_ca_certs()),
    "programs": {name: shutil.which(name) for name in
                 "python python3 pip pip3 pydoc idle python-config gcc g++ make git curl wget".split()},
    "python": os.path.realpath("/usr/local/bin/python"),
    "shebang": (usr_local / "bin/pip").read_text().splitlines()[0],
    "bytecode": [str(path) for path in usr_local.rglob("*.pyc")],
    "tests": [str(path) for path in usr_local.rglob("test*") if path.name in {"test", "tests"}],
    "static": [str(path) for path in usr_local.rglob("libpython*.a")],
    "uid": os.getuid(),
    "libraries": subprocess.run(["ldd", sys.executable], capture_output=True, text=True).stdout,
    "lists": os.listdir("/var/lib/apt/lists"),
    "archives": [path.name for path in pathlib.Path("/var/cache/apt").rglob("*.deb")],
    "apt": subprocess.run(["apt-config", "dump"], capture_output=True, text=True).stdout,
    "apt_errors": subprocess.run(["apt-config", "dump"], capture_output=True, text=True).stderr,
    "release": pathlib.Path("/etc/os-release").read_text(),
}))
"""

# A wheel is made here and installed without any network.
INSTALLS = r"""
set -eu
cd "$(mktemp -d)"
python - <<'END'
import zipfile
with zipfile.ZipFile("hello_lab-1.0-py3-none-any.whl", "w") as wheel:
    info = "hello_lab-1.0.dist-info"
    wheel.writestr("hello_lab.py", "print('hello')\n")
    wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: hello-lab\nVersion: 1.0\n")
    wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
    wheel.writestr(f"{info}/RECORD", "")
END
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INDEX=1 PIP_FIND_LINKS=.
"""


def output(engine: Engine, image: str, command: list[str], **options: Any) -> str:
    """What a command prints in a container; one that fails raises."""
    said = engine.client.containers.run(image, command, remove=True, labels=runs.container_labels(engine), **options)
    return bytes(said).decode()


@pytest.fixture(scope="module")
def images(engine: Engine) -> tuple[str, ...]:
    """Both images, which whoever runs the tests has got ready; else they are got now."""
    bases.ensure(engine)
    return bases.BASES


@pytest.fixture(scope="module")
def answers(engine: Engine, images: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    """What the interpreters of both images answer to the questions."""
    return {name: json.loads(output(engine, name, ["python", "-B", "-c", QUESTIONS])) for name in images}


def look(engine: Engine, name: str) -> Image:
    """The image of this name."""
    return engine.client.images.get(name)


class TestInterpreter:
    @BOTH
    def test_python_of_upstream(self, answers: dict[str, dict[str, Any]], name: str) -> None:
        """It is CPython 3.13 in /usr/local, with a shared library that is found by itself."""
        told = answers[name]

        assert told["version"].startswith("3.13.")
        assert (told["prefix"], told["executable"]) == ("/usr/local", "/usr/local/bin/python")
        assert told["shared"] == 1
        assert "/usr/local/" in next(line for line in told["libraries"].splitlines() if "libpython3.13" in line)
        assert "not found" not in told["libraries"]

    @BOTH
    def test_nothing_is_missing_from_the_library(self, answers: dict[str, dict[str, Any]], name: str) -> None:
        """Every optional module that the official image has can be imported, and sqlite loads extensions."""
        assert len(answers[name]["imported"]) == 14
        assert answers[name]["extensions"]

    @BOTH
    def test_packages_go_to_site_packages(self, answers: dict[str, dict[str, Any]], name: str) -> None:
        """Pip installs into site-packages, never dist-packages, and nothing is externally managed."""
        assert answers[name]["site"] == ["/usr/local/lib/python3.13/site-packages"]
        assert answers[name]["purelib"] == "/install/lib/python3.13/site-packages"
        assert not answers[name]["managed"]

    @BOTH
    def test_the_usual_names(self, answers: dict[str, dict[str, Any]], name: str) -> None:
        """The programs are there with and without the 3."""
        programs = answers[name]["programs"]

        for program in ("python", "python3", "pip", "pip3", "pydoc", "idle", "python-config"):
            assert programs[program] == f"/usr/local/bin/{program}"
        assert answers[name]["python"] == "/usr/local/bin/python3.13"
        assert answers[name]["shebang"] == "#!/usr/local/bin/python3.13"

    @BOTH
    def test_no_ballast(self, answers: dict[str, dict[str, Any]], name: str) -> None:
        """No bytecode, no test suites, no static library, no package lists and no archives are shipped."""
        told = answers[name]

        assert told["bytecode"] == told["tests"] == told["static"] == []
        assert told["archives"] == []
        assert not [file for file in told["lists"] if "Packages" in file or "Sources" in file]

    @BOTH
    def test_flags_for_extensions(self, answers: dict[str, dict[str, Any]], name: str) -> None:
        """Extensions are compiled with the flags that upstream records, not with those of a hurried build."""
        assert "-O3" in answers[name]["cflags"]
        assert "-DNDEBUG" in answers[name]["cflags"]
        assert "--with-ensurepip" in answers[name]["config"]

    def test_both_are_the_same_python(self, answers: dict[str, dict[str, Any]]) -> None:
        """What the full image installs, the slim one can run."""
        assert answers[SLIM]["version"] == answers[FULL]["version"]

    @BOTH
    def test_debian_trixie(self, answers: dict[str, dict[str, Any]], name: str) -> None:
        """The system is Debian trixie; apt reads its configuration without a complaint, and keeps no archives."""
        told = answers[name]

        assert "VERSION_CODENAME=trixie" in told["release"]
        assert told["apt_errors"] == ""
        assert 'Acquire::Languages:: "none";' in told["apt"]
        assert 'APT::AutoRemove::SuggestsImportant "false";' in told["apt"]
        assert "/var/cache/apt/archives/*.deb" in told["apt"]

    @BOTH
    def test_authorities_are_there(self, answers: dict[str, dict[str, Any]], name: str) -> None:
        """TLS finds its certificates without being told where."""
        assert answers[name]["authorities"] > 100


class TestTools:
    def test_full_can_compile(self, engine: Engine, images: tuple[str, ...]) -> None:
        """The full image has compilers, git, and the headers that Python packages and their libraries need."""
        script = (
            "set -e; git --version; make --version >/dev/null; curl --version >/dev/null; wget --version >/dev/null\n"
            "cd /usr/include; ls openssl/ssl.h libxml2/libxml/tree.h sqlite3.h zlib.h uuid/uuid.h\n"
            "printf '#include <Python.h>\\nint main(void) { return Py_IsInitialized(); }' > /tmp/a.c\n"
            "gcc $(python3-config --cflags) /tmp/a.c -o /tmp/a $(python3-config --ldflags --embed)\n"
            "/tmp/a && echo ran\n"
            "echo 'int main() { return 0; }' | g++ -x c++ - -o /tmp/b && /tmp/b && echo ran\n"
        )

        assert output(engine, FULL, ["bash", "-c", script]).count("ran\n") == 2

    def test_slim_cannot(self, answers: dict[str, dict[str, Any]]) -> None:
        """The slim image has none of that: it is what the lab is about."""
        for program in ("gcc", "g++", "make", "git", "curl", "wget"):
            assert answers[SLIM]["programs"][program] is None
            assert answers[FULL]["programs"][program] is not None


class TestConfiguration:
    @BOTH
    def test_environment_and_command(self, engine: Engine, answers: dict[str, dict[str, Any]], name: str) -> None:
        """The configuration is the official image's: the same variables, no user, Python as the command."""
        config = look(engine, name).attrs["Config"]
        environment = dict(entry.split("=", 1) for entry in config["Env"])

        assert (
            environment.pop("PATH") == "/usr/local/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        )
        assert environment.pop("PYTHON_VERSION") == answers[name]["version"]
        assert len(bytes.fromhex(environment.pop("PYTHON_SHA256"))) == 32
        assert len(bytes.fromhex(environment.pop("GPG_KEY"))) == 20
        assert environment == {}
        assert (config["Cmd"], config.get("Entrypoint"), config.get("User", "")) == (["python3"], None, "")
        assert answers[name]["uid"] == 0

    @pytest.mark.parametrize(
        ("name", "words"),
        [
            (SLIM, ["ca-certificates", "python3 --version"]),
            (FULL, ["curl", "git", "gcc", "tk-dev", "python3 --version"]),
        ],
    )
    def test_history_reads_alike(self, engine: Engine, images: tuple[str, ...], name: str, words: list[str]) -> None:
        """On Debian's root lie the layers of the official image, in its order, each a RUN that does the same."""
        layers = [entry["CreatedBy"] for entry in reversed(look(engine, name).history()) if entry["Size"] > 1000]

        assert len(layers) == 1 + len(words)
        assert all(word in instruction for word, instruction in zip(words, layers[1:], strict=True))
        assert all("/bin/sh -c" in instruction for instruction in layers[1:])

    def test_sizes(self, engine: Engine, images: tuple[str, ...]) -> None:
        """The sizes are about the official ones': a tenth for slim."""
        slim, full = (look(engine, name).attrs["Size"] / 1e6 for name in (SLIM, FULL))

        assert 105 < slim < 140
        assert 950 < full < 1250


class TestInstalling:
    @pytest.mark.long
    def test_a_prefix_and_a_virtual_environment(self, engine: Engine, images: tuple[str, ...]) -> None:
        """A prefix can be copied onto /usr/local, and a venv gets its pip, both without any network."""
        script = INSTALLS + (
            "pip install --quiet --root-user-action=ignore --prefix=/install hello-lab\n"
            "ls /install/lib/python3.13/site-packages/hello_lab.py\n"
            "cp -a /install/. /usr/local/; python -m hello_lab\n"
            "python -m venv /venv; /venv/bin/pip --version\n"
        )

        *_, installed, hello, pip = output(engine, SLIM, ["sh", "-c", script], network_disabled=True).splitlines()

        assert installed == "/install/lib/python3.13/site-packages/hello_lab.py"
        assert hello == "hello"
        assert "/venv/lib/python3.13/site-packages/pip" in pip

    @pytest.mark.long
    def test_a_user(self, engine: Engine, images: tuple[str, ...]) -> None:
        """A user other than root installs into the home directory, without a complaint."""
        script = INSTALLS + "pip install --user hello-lab 2>&1; python -c 'import hello_lab as h; print(h.__file__)'"

        said = output(engine, SLIM, ["sh", "-c", script], user="1234:1234", environment={"HOME": "/tmp/home"})

        assert said.splitlines()[-1] == "/tmp/home/.local/lib/python3.13/site-packages/hello_lab.py"
        assert "error" not in said.lower()

    @pytest.mark.long
    def test_from_pypi(self, engine: Engine, images: tuple[str, ...]) -> None:
        """Pip and uv reach PyPI from inside a container and trust it, and pip complains of root only."""
        script = (
            "set -e; export PIP_DISABLE_PIP_VERSION_CHECK=1; pip install uv==0.13.9 2>&1\n"
            "uv pip install --system itsdangerous==2.2.0 2>&1\n"
            "python -c 'import itsdangerous; print(\"installed\")'\n"
        )

        said = output(engine, SLIM, ["sh", "-c", script]).splitlines()

        assert said[-1] == "installed"
        assert all("root" in line for line in said if "WARNING" in line)


class TestStandIns:
    @BOTH
    def test_labelled_if_and_only_if_made_here(self, engine: Engine, images: tuple[str, ...], name: str) -> None:
        """A stand-in says so by its label, and an official image has none."""
        image = look(engine, name)

        assert bases.is_on_stand_ins(engine, str(image.id)) == (image.labels.get(STAND_IN_LABEL) == name)

    def test_found_again(self, engine: Engine, images: tuple[str, ...]) -> None:
        """A second look finds the same images and makes nothing."""
        steps: list[object] = []
        before = {name: look(engine, name).id for name in images}

        bases.ensure(engine, report=steps.append)

        assert {name: look(engine, name).id for name in images} == before
        assert steps == []

    def test_what_is_built_on_one(self, engine: Engine, images: tuple[str, ...], tmp_path: Path) -> None:
        """An image built on a stand-in tells that it is, but is not one of the lab's base images."""
        (tmp_path / "Dockerfile").write_text(f"FROM {SLIM}\nLABEL test=bases\n")

        image_id = build(engine, tmp_path).image_id
        try:
            told = bases.is_on_stand_ins(engine, image_id)
            own = {image.id for image in bases.own_bases(engine)}
        finally:
            engine.client.images.remove(image_id)

        assert told == bases.is_on_stand_ins(engine, SLIM)
        assert image_id not in own

    def test_an_image_that_is_not_there(self, engine: Engine) -> None:
        """Of an image that the engine does not have, nothing can be said but no."""
        assert not bases.is_on_stand_ins(engine, "sha256:" + "0" * 64)

    def test_certificates_of_this_machine_only(self, engine: Engine, images: tuple[str, ...]) -> None:
        """A stand-in trusts what this machine trusts beyond Debian; an official image is as it was pulled."""
        command = ["sh", "-c", "cat /usr/local/share/ca-certificates/layerlab-*.crt 2>/dev/null || true"]
        own = [path.read_text() for path in Path("/usr/local/share/ca-certificates").rglob("*.crt")]
        expected = _certificates("".join(own)) if bases.is_on_stand_ins(engine, SLIM) else set()

        assert _certificates(output(engine, SLIM, command)) == expected


def _certificates(text: str) -> set[str]:
    return set(re.findall("-----BEGIN.*?-----END CERTIFICATE-----", text, re.DOTALL))
