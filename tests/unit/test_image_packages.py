"""Whose the files are, and what they are there for."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from layerlab.image import dataframes, packages
from layerlab.image.formats.changeset import Budget, scan
from layerlab.image.stack import stack_layers
from tests.unit.image_truth import Entry, directory, file, link, symlink, tar, whiteout

SITE = "usr/local/lib/python3.13/site-packages"
INFO = "var/lib/dpkg/info"


def text(path: str, content: str) -> Entry:
    return Entry(path, content=content.encode())


def record(folder: str, name: str, *paths: str) -> Entry:
    return text(f"{folder}/{name}.dist-info/RECORD", "".join(f"{path},,\n" for path in paths))


def dpkg_list(name: str, *paths: str) -> Entry:
    return text(f"{INFO}/{name}.list", "".join(f"{path}\n" for path in paths))


def status(**versions: str) -> Entry:
    paragraphs = (f"Package: {name}\nStatus: install ok installed\nVersion: {v}\n" for name, v in versions.items())
    return text("var/lib/dpkg/status", "\n".join(paragraphs))


class Looked:
    """The packages, owners and parts of an image with these layers."""

    def __init__(
        self, *stack: Sequence[Entry], working_directory: str = "", from_context: Sequence[int] = ()
    ) -> None:
        layers = [scan([tar(entries)], Budget())[0] for entries in stack]
        image_stack = stack_layers(layers, {"config": {"WorkingDir": working_directory}}, [""] * len(layers))
        copied = packages.parts(
            image_stack.merged,
            image_stack.visible,
            image_stack.ownership,
            working_directory=working_directory,
            from_context=from_context,
        )
        files = dataframes.files(image_stack)
        self.owner = dict(zip(files["path"], files["owner"], strict=True))
        self.part = dict(zip(files["path"], (packages.PARTS[code] for code in copied), strict=True))
        self.packages = list(dataframes.packages(image_stack).itertuples(index=False, name=None))


class TestDpkg:
    def test_owns_what_its_lists_name(self) -> None:
        """A file belongs to the package that lists it; what none lists, and directories, to nobody."""
        looked = Looked(
            [
                status(tool="1.2"),
                dpkg_list("tool:amd64", "/.", "/usr", "/usr/bin", "/usr/bin/tool", "/usr/bin/gone"),
                file("usr/bin/tool", 7),
                file("usr/bin/other", 1),
            ]
        )

        assert (looked.owner["/usr/bin/tool"], looked.owner["/usr/bin/other"], looked.owner["/usr"]) == (
            "dpkg:tool", "", "",
        )  # fmt: skip
        assert looked.packages == [("tool", "1.2", "dpkg", 1, 7)]

    def test_owns_through_links_of_the_root(self) -> None:
        """Where /bin is a link to usr/bin, a list may still say /bin."""
        looked = Looked(
            [
                symlink("bin", "usr/bin"),
                symlink("sbin", "/usr/sbin"),
                dpkg_list("coreutils", "/bin", "/bin/ls", "/sbin/init"),
                file("usr/bin/ls", 5),
                file("usr/sbin/init", 6),
            ]
        )

        assert looked.packages == [("coreutils", "", "dpkg", 2, 11)]
        owned = {path for path, owner in looked.owner.items() if owner == "dpkg:coreutils"}
        assert owned == {"/bin", "/usr/bin/ls", "/usr/sbin/init"}

    def test_the_uppermost_list_counts(self) -> None:
        """An upgraded package owns what its new list says, wherever the files are stored."""
        looked = Looked(
            [status(tool="1"), dpkg_list("tool", "/old", "/same"), file("old", 1), file("same", 2)],
            [status(tool="2"), dpkg_list("tool", "/same", "/new"), file("new", 4)],
        )

        assert looked.packages == [("tool", "2", "dpkg", 2, 6)]
        assert looked.owner["/old"] == ""

    def test_a_removed_package_owns_nothing(self) -> None:
        """Where the list is deleted, so is the claim."""
        looked = Looked(
            [status(tool="1"), dpkg_list("tool", "/f"), file("f", 1)],
            [status(), whiteout(f"{INFO}/tool.list")],
        )

        assert (looked.packages, looked.owner["/f"]) == ([], "")

    def test_packages_without_files(self) -> None:
        """A package that only depends on others is installed all the same."""
        assert Looked([status(meta="1"), dpkg_list("meta", "/.")]).packages == [("meta", "1", "dpkg", 0, 0)]

    def test_owns_before_python(self) -> None:
        """What both claim belongs to the distribution, which put it there."""
        looked = Looked(
            [
                dpkg_list("python3-six", "/usr/lib/python3/dist-packages/six.py"),
                record("usr/lib/python3/dist-packages", "six-1.17", "six.py"),
                file("usr/lib/python3/dist-packages/six.py", 3),
            ]
        )

        assert looked.owner["/usr/lib/python3/dist-packages/six.py"] == "dpkg:python3-six"


class TestPython:
    def test_owns_what_its_records_name(self) -> None:
        """A distribution owns its modules and its scripts, wherever it was installed."""
        looked = Looked(
            [
                record(SITE, "Flask-3.1.3", "flask/__init__.py", "../../../bin/flask"),
                file(f"{SITE}/flask/__init__.py", 3),
                file("usr/local/bin/flask", 2),
                record("opt/target", "six-1.17", "six.py"),
                file("opt/target/six.py", 1),
            ]
        )

        assert looked.packages == [("flask", "3.1.3", "python", 2, 5), ("six", "1.17", "python", 1, 1)]
        assert looked.owner["/usr/local/bin/flask"] == "python:flask"

    def test_owns_bytecode(self) -> None:
        """Bytecode belongs to its module's owner, whether or not the module is still there."""
        looked = Looked(
            [
                record(SITE, "a-1", "a/__init__.py", "a/gone.py", "a/sourceless.py"),
                file(f"{SITE}/a/__init__.py", 1),
                file(f"{SITE}/a/__pycache__/__init__.cpython-313.pyc", 2),
                file(f"{SITE}/a/__pycache__/__init__.cpython-313.opt-2.pyc", 4),
                file(f"{SITE}/a/__pycache__/gone.cpython-313.pyc", 8),
                file(f"{SITE}/a/sourceless.pyc", 16),
                file(f"{SITE}/a/__pycache__/stranger.cpython-313.pyc", 32),
            ]
        )

        assert looked.packages == [("a", "1", "python", 5, 31)]

    def test_two_places(self) -> None:
        """The same distribution in two places is installed twice."""
        looked = Looked(
            [
                record(SITE, "pip-25.0", "pip.py"),
                file(f"{SITE}/pip.py", 1),
                record("opt/venv/lib/python3.13/site-packages", "pip-26.1", "pip.py"),
                file("opt/venv/lib/python3.13/site-packages/pip.py", 2),
            ]
        )

        assert looked.packages == [("pip", "26.1", "python", 1, 2), ("pip", "25.0", "python", 1, 1)]

    def test_an_uninstalled_distribution(self) -> None:
        """What a later layer uninstalls is gone from the packages."""
        looked = Looked(
            [record(SITE, "a-1", "a.py"), file(f"{SITE}/a.py", 1)],
            [whiteout(f"{SITE}/a-1.dist-info"), whiteout(f"{SITE}/a.py")],
        )

        assert looked.packages == []


class TestParts:
    @pytest.mark.parametrize(
        ("path", "part"),
        [
            (f"{SITE}/unknown.py", "python packages"),
            ("usr/lib/python3/dist-packages/apt.py", "python packages"),
            ("app/.venv/lib/python3.13/site-packages/x.py", "python packages"),
            ("usr/local/lib/python3.13/json/__init__.py", "interpreter"),
            ("usr/local/lib/python3.13t/json/__init__.py", "interpreter"),
            ("usr/local/lib/libpython3.13.so.1.0", "interpreter"),
            ("usr/local/lib/pkgconfig/python-3.13-embed.pc", "interpreter"),
            ("usr/local/include/python3.13/Python.h", "interpreter"),
            ("usr/local/bin/python3.13", "interpreter"),
            ("usr/local/bin/python3.13-config", "interpreter"),
            ("usr/local/bin/pydoc3.13", "interpreter"),
            ("root/.local/share/uv/python/cpython-3.13.1/lib/python3.13/os.py", "interpreter"),
            ("usr/local/bin/python-argcomplete", "other"),
            ("usr/local/bin/uv", "other"),
            ("app/main.py", "app"),
            ("application/main.py", "other"),
            ("etc/passwd", "system"),
            ("usr/share/doc/x", "system"),
            ("var/cache/apt/archives/x.deb", "system"),
            ("lib/x86_64-linux-gnu/libc.so.6", "system"),
            ("root/.cache/pip/http/x", "other"),
            ("opt/tool/x", "other"),
            ("file", "other"),
        ],
    )
    def test_of_what_nobody_owns(self, path: str, part: str) -> None:
        """Where a file lies says what it is there for."""
        assert Looked([file(path, 1)]).part[f"/{path}"] == part

    def test_of_packages(self) -> None:
        """Dpkg's files are the system's, but for those of its Python; a distribution's are Python packages."""
        looked = Looked(
            [
                dpkg_list("libpython3.13-stdlib", "/usr/lib/python3.13/os.py"),
                dpkg_list("python3-minimal", "/usr/bin/python3"),
                dpkg_list("python3-apt", "/usr/lib/python3/dist-packages/apt.py", "/usr/share/python-apt/x"),
                dpkg_list("tool", "/opt/tool", "/app/tool"),
                record(SITE, "flask-3", "../../../bin/flask"),
                *map(file, ["usr/lib/python3.13/os.py", "usr/bin/python3", "usr/lib/python3/dist-packages/apt.py"]),
                *map(file, ["usr/share/python-apt/x", "opt/tool", "app/tool", "usr/local/bin/flask"]),
            ]
        )

        assert {path: part for path, part in looked.part.items() if looked.owner[path]} == {
            "/usr/lib/python3.13/os.py": "interpreter",
            "/usr/bin/python3": "interpreter",
            "/usr/lib/python3/dist-packages/apt.py": "python packages",
            "/usr/share/python-apt/x": "system",
            "/opt/tool": "system",
            "/app/tool": "system",
            "/usr/local/bin/flask": "python packages",
        }

    @pytest.mark.parametrize(
        ("package", "part"),
        [
            ("gcc-14", "compilers"),
            ("g++-14-x86-64-linux-gnu", "compilers"),
            ("gfortran", "compilers"),
            ("cpp-14", "compilers"),
            ("binutils-common", "compilers"),
            ("make", "compilers"),
            ("libssl-dev", "compilers"),
            ("libc-dev-bin", "compilers"),
            ("linux-libc-dev", "compilers"),
            ("libpython3.13-dev", "interpreter"),
            ("gcc-14-base", "system"),
            ("libgcc-s1", "system"),
            ("makedev", "system"),
            ("git", "system"),
            ("libgomp1", "system"),
        ],
    )
    def test_what_only_building_needs(self, package: str, part: str) -> None:
        """Compilers, make and -dev packages are told apart from what a running system uses."""
        looked = Looked([dpkg_list(package, "/usr/share/thing"), file("usr/share/thing", 1)])

        assert looked.part["/usr/share/thing"] == part

    @pytest.mark.parametrize(
        ("working_directory", "path", "part"),
        [
            ("/srv/service", "srv/service/x.py", "app"),
            ("/srv/service/", "srv/service/deep/x.py", "app"),
            ("/usr/src/app", "usr/src/app/x.js", "app"),
            ("/srv/service", "srv/other", "other"),
            ("/", "etc/x", "system"),
            ("", "etc/x", "system"),
            ("/usr", "usr/share/x", "system"),
            ("/root", "root/.cache/x", "other"),
        ],
    )
    def test_the_working_directory_is_the_apps(self, working_directory: str, path: str, part: str) -> None:
        """What lies in the image's working directory is the app, unless every image has that directory."""
        assert Looked([file(path, 1)], working_directory=working_directory).part[f"/{path}"] == part

    def test_what_was_copied_from_the_context(self) -> None:
        """A layer that was copied from the build context is the app, also in a system directory."""
        looked = Looked(
            [directory("etc"), file("etc/passwd")],
            [file("etc/service.conf"), file(f"{SITE}/own.py"), file("usr/local/lib/python3.13/sitecustomize.py")],
            from_context=[1],
        )

        assert looked.part["/etc/service.conf"] == "app"
        assert looked.part["/etc/passwd"] == "system"
        assert looked.part[f"/{SITE}/own.py"] == "python packages"
        assert looked.part["/usr/local/lib/python3.13/sitecustomize.py"] == "interpreter"


def test_an_inode_with_two_owners_counts_once() -> None:
    """The owner of the first name has the bytes, so that packages never have more than the image."""
    looked = Looked(
        [dpkg_list("one", "/a"), dpkg_list("two", "/b"), file("a", 9), link("b", "a")],
    )

    assert looked.packages == [("one", "", "dpkg", 1, 9), ("two", "", "dpkg", 1, 0)]


def test_nothing() -> None:
    """An image without files has no packages."""
    assert Looked().packages == []
    assert np.array_equal(list(Looked([]).part), [])
