"""What is left out, as data: each rule has a name, by which it is reported and can be switched off, and a reason.

A rule names files by patterns as `fnmatch` has them (``*`` matches ``/`` too), relative to the folder that it is
about. The first rule that matches a file takes it. Licences are taken by none.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final

LIBRARY: Final = "library"
"""Python's own library, such as ``/usr/local/lib/python3.13``."""
PACKAGES: Final = "packages"
"""Where pip installs, ``site-packages``."""

LICENCE: Final = re.compile(r"(^|/)(LICEN[CS]E|COPYING|NOTICE|AUTHORS|COPYRIGHT)[^/]*$", re.IGNORECASE)


@dataclass(frozen=True)
class Rule:
    """Files that are left out.

    Attributes:
        name: What the report calls it.
        about: `LIBRARY` or `PACKAGES`.
        patterns: Which files of it.
        why: Why a service does without them.
        unless: A package whose own users need them: it is for applications that only have it because another
            package needs it.
    """

    name: str
    about: str
    patterns: tuple[str, ...]
    why: str
    unless: str = ""

    def takes(self, path: str) -> bool:
        """Whether it leaves out the file at this path, relative to what the rule is about."""
        return not LICENCE.search(path) and any(fnmatchcase(path, pattern) for pattern in self.patterns)

    def is_needed_by(self, module: str) -> bool:
        """Whether it leaves out this module, or a package that it is in, or what users of it need."""
        if self.unless and f"{module}.".startswith(f"{self.unless}."):
            return True
        path = module.replace(".", "/")
        places = (f"{path}.py", f"{path}/__init__.py", f"{path}.cpython-313-x86_64-linux-gnu.so")
        folder = "lib-dynload/" if self.about == LIBRARY else ""
        return any(self.takes(place) or self.takes(folder + place) for place in places)


RULES: Final = (
    Rule(
        "Python: tools",
        LIBRARY,
        (
            *("idlelib/*", "tkinter/*", "*/_tkinter.*", "turtle.py", "turtledemo/*", "__phello__/*", "this.py"),
            *("ensurepip/*", "site-packages/*", "venv/*", "config-*", "test/*", "*/_test*", "*/xx*"),
            *(
                "trace.py",
                "tabnanny.py",
                "pickletools.py",
                "symtable.py",
                "modulefinder.py",
                "pyclbr.py",
                "zipapp.py",
            ),
            "antigravity.py",
        ),
        "windows, installers, tests: for people at a terminal",
    ),
    Rule(
        "Python: documentation",
        LIBRARY,
        ("pydoc.py", "pydoc_data/*", "doctest.py"),
        "docstrings are left out, too",
    ),
    Rule(
        "Python: several interpreters",
        LIBRARY,
        ("*/_interp*",),
        "a process of a service has one",
    ),
    Rule(
        "Python: terminals",
        LIBRARY,
        ("_pyrepl/*", "curses/*", "*/_curses*", "*/readline.*"),
        "a service has no terminal",
    ),
    Rule(
        "Python: small databases",
        LIBRARY,
        ("dbm/*", "shelve.py", "*/_dbm.*", "*/_gdbm.*", "sqlite3/*", "*/_sqlite3.*"),
        "files in a container that is read-only and thrown away hold no data",
    ),
    Rule(
        "Python: East Asian legacy encodings",
        LIBRARY,
        (
            *("*/_codecs_cn.*", "*/_codecs_hk.*", "*/_codecs_jp.*", "*/_codecs_kr.*", "*/_codecs_tw.*"),
            *(
                "*/_codecs_iso2022.*",
                "encodings/big5*",
                "encodings/cp932.py",
                "encodings/cp949.py",
                "encodings/cp950.py",
            ),
            *("encodings/euc_*", "encodings/gb*", "encodings/hz.py", "encodings/iso2022_*", "encodings/johab.py"),
            "encodings/shift_jis*",
        ),
        "the web is UTF-8",
    ),
    Rule(
        "Python: clients of mail, news and files",
        LIBRARY,
        ("imaplib.py", "poplib.py", "mailbox.py", "ftplib.py", "xmlrpc/*", "webbrowser.py", "wave.py", "optparse.py"),
        "seldom what a service is for",
    ),
    Rule(
        "Python: twins",
        LIBRARY,
        ("_pydatetime.py", "_pydecimal.py", "_pyio.py"),
        "the same in Python, for interpreters without the compiled ones",
    ),
    Rule(
        "packages: tests",
        PACKAGES,
        ("*/tests/*", "*/conftest.py", "*/_*_tests.*.so", "*/_tests.*.so", "numpy/_core/_simd.*"),
        "they were run before the packages were published",
    ),
    Rule(
        "packages: time zones as text and in archives",
        PACKAGES,
        ("tzdata/zoneinfo/*.zi", "tzdata/zoneinfo/*.tab", "tzdata/zoneinfo/leap*", "dateutil/zoneinfo/*.tar.gz"),
        "tzdata's compiled ones are there, and linked to where the system's are looked for",
    ),
    Rule(
        "packages: read-me files",
        PACKAGES,
        ("[!/]*/[A-Z]*.md", "[!/]*/[A-Z]*.rst"),
        "people read them where the package comes from",
    ),
    Rule(
        "packages: for compilers and type checkers",
        PACKAGES,
        (
            *("*.h", "*.hpp", "*.c", "*.cpp", "*.a", "*.la", "*.pc", "*.f", "*.f90", "*.cmake"),
            *("*.pyx", "*.pxd", "*.pxi", "*.pyi", "*/py.typed"),
        ),
        "headers, static libraries, Cython sources, stubs",
    ),
    Rule(
        "NumPy: Fortran, installers",
        PACKAGES,
        ("numpy/f2py/*", "numpy/_pyinstaller/*"),
        "they are for those who build",
    ),
    Rule(
        "Werkzeug: debugger",
        PACKAGES,
        ("werkzeug/debug/*",),
        "it runs whatever it is sent, which is for development only",
    ),
    Rule(
        "gunicorn: ASGI",
        PACKAGES,
        ("gunicorn/asgi/*", "gunicorn/workers/gasgi.py"),
        "Flask speaks WSGI",
    ),
    Rule(
        "packages: installers",
        PACKAGES,
        ("pip/*", "pip-*.dist-info/*", "setuptools/*", "wheel/*"),
        "nothing is installed",
    ),
    Rule(
        "Matplotlib: windows and documentation",
        PACKAGES,
        (
            *("matplotlib/backends/*gtk*", "matplotlib/backends/*qt*", "matplotlib/backends/*tk*"),
            *("matplotlib/backends/*wx*", "matplotlib/backends/*macosx*", "matplotlib/backends/*web*"),
            *("matplotlib/backends/*nbagg*", "matplotlib/backends/*cairo*", "matplotlib/mpl-data/images/*"),
            *("matplotlib/sphinxext/*", "matplotlib/testing/*", "matplotlib/mpl-data/sample_data/*"),
            *("mpl_toolkits/axisartist/*", "mpl_toolkits/axes_grid1/*"),
        ),
        "pictures are files here",
    ),
    Rule(
        "Matplotlib: fonts beside DejaVu Sans",
        PACKAGES,
        (
            *("matplotlib/mpl-data/fonts/afm/*", "matplotlib/mpl-data/fonts/pdfcorefonts/*"),
            *("matplotlib/mpl-data/fonts/ttf/STIX*", "matplotlib/mpl-data/fonts/ttf/cm*"),
            *("matplotlib/mpl-data/fonts/ttf/DejaVuSansMono*", "matplotlib/mpl-data/fonts/ttf/DejaVuSerif*"),
            "matplotlib/mpl-data/fonts/ttf/DejaVuSans-BoldOblique*",
        ),
        "the default font, bold or slanted, and the last resort for what it lacks stay",
    ),
    Rule(
        "fontTools: font editors",
        PACKAGES,
        tuple(
            f"fontTools/{part}"
            for part in (
                *(
                    "feaLib/[bp]*",
                    "feaLib/lexer*",
                    "voltLib/*",
                    "mtiLib/*",
                    "ufoLib/*",
                    "cu2qu/*",
                    "qu2cu/*",
                    "merge/*",
                ),
                *(
                    "fontBuilder.py",
                    "t1Lib/*",
                    "pens/momentsPen.*",
                    "pens/freetypePen.*",
                    "varLib/interpol*",
                    "tfmLib.py",
                ),
                *(
                    "varLib/instancer/*",
                    "varLib/avar/*",
                    "varLib/mutator.py",
                    "misc/bezierTools.*.so",
                    "varLib/iup.*.so",
                ),
            )
        ),
        "Matplotlib takes glyphs out of fonts, and makes none",
        unless="fontTools",
    ),
    Rule(
        "Pillow: AVIF, WebP, text, colour profiles",
        PACKAGES,
        (
            *("PIL/_avif.*", "PIL/_webp.*", "PIL/_imagingft.*", "PIL/_imagingcms.*", "PIL/_imagingtk.*"),
            *(
                "pillow.libs/libavif-*",
                "pillow.libs/libwebp*",
                "pillow.libs/libsharpyuv-*",
                "pillow.libs/libfreetype-*",
            ),
            *("pillow.libs/libharfbuzz-*", "pillow.libs/libbrotli*", "pillow.libs/libpng*", "pillow.libs/liblcms2-*"),
        ),
        "Matplotlib writes PNG, and draws its own text",
        unless="PIL",
    ),
)

SYSTEM: Final = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/nsswitch.conf",
    "/etc/protocols",
    "/etc/services",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/usr/lib/os-release",
)
"""What the C library and OpenSSL look up, and by what scanners know the distribution."""
