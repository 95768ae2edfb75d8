"""The command line: which command is where, and what becomes of errors. The commands are in ``layerlab.cli``.

Exit status: 0 done; 1 the answer is no; 2 it could not be done, with one line on stderr and nothing on stdout.
"""

from __future__ import annotations

import errno
from collections.abc import Sequence
from importlib import import_module
from keyword import iskeyword
from typing import Final

import click

from layerlab.cli.options import err, examples, find_engine, out, stand_ins
from layerlab.engine import SDK_ERRORS, disk_full, interrupts, is_disk_full
from layerlab.errors import LabError, StepFailed
from layerlab.ui.text import plain, printable

COMMANDS: Final = (
    *("build", "run", "compare", "xray"),
    *("new", "check", "grade", "class"),
    *("slim", "clean", "doctor", "test"),
)
"""Each is ``command`` in the module of its name in ``layerlab.cli``, with an underscore after a word of Python's."""


class Commands(click.Group):
    """A group that imports a command when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # click's
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # click's
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = import_module(f"layerlab.cli.{cmd_name}{'_' * iskeyword(cmd_name)}").command
        return command


_MACHINE_ERRORS: Final = frozenset(
    {
        *(errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM),
        *(errno.EIO, errno.EMFILE, errno.ENFILE, errno.ENOMEM),
    }
)
"""What the system says where no program can do better."""

settings = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


@click.group(
    cls=Commands,
    invoke_without_command=True,
    context_settings=settings,
    epilog=examples("./lab", "./lab --no-serve", "./lab --port 9000 --no-browser"),
)
@click.option("--serve/--no-serve", "serves", default=True, help="Serve JupyterLab at the end (the default).")
@click.option("--port", type=click.IntRange(1, 65535), help="JupyterLab's port  [default: a free one from 8888]")
@click.option("--browser/--no-browser", default=True, help="Open a browser where there is a screen (the default).")
@stand_ins
@click.pass_context
def cli(context: click.Context, serves: bool, port: int | None, browser: bool, stand_ins: bool | None) -> int:
    """A hands-on lab on multi-stage Docker builds.

    Without a command: finds or starts a Docker engine, builds the single-stage and the multi-stage image of one small
    Flask service, compares them, and serves the notebooks in JupyterLab on 127.0.0.1.
    """
    if context.invoked_subcommand:
        return 0
    from layerlab import demo  # noqa: PLC0415  # no other command pays for what this needs
    from layerlab.builder import build_cache  # noqa: PLC0415
    from layerlab.cli import build, image_tables  # noqa: PLC0415
    from layerlab.jupyter.serve import serve  # noqa: PLC0415

    engine = find_engine()
    for name in demo.FIRST:
        build.build_image(engine, name, stand_ins=stand_ins)
    image_tables.print_comparison([demo.read(engine, name) for name in demo.FIRST])
    if (size := build_cache.size(engine) or 0) > build_cache.MUCH:
        err.print(f"\nThe build cache holds {size / 1e9:.0f} GB: {build_cache.EMPTY_IT}.")
    if not serves:
        return 0

    def say(url: str) -> None:
        out.print(f"\nJupyterLab is at  {url}", style="bold")
        out.print("Ctrl-C here ends it.")

    return serve(engine, port=port, say=say, open_browser=browser)


def main(arguments: Sequence[str] | None = None) -> int:  # noqa: PLR0911  # one return for each way to end
    """Run the command line; returns the exit status."""
    interrupts.install()
    try:
        result = cli.main(args=arguments, prog_name="lab", standalone_mode=False)
    except click.exceptions.Exit as finished:
        return finished.exit_code
    except click.UsageError as error:
        command = error.ctx.command_path if error.ctx else "lab"
        return _fail(f"{error.format_message().rstrip('.')}: see ./{command} --help")
    except (KeyboardInterrupt, click.Abort):
        err.print("\nlab: interrupted; what it had started is ended")
        return interrupts.STATUS
    except LabError as error:
        log = [error.log] if isinstance(error, StepFailed) else []
        return _fail(error.one_line, *log, *getattr(error, "__notes__", []))
    except SDK_ERRORS as error:
        if is_disk_full(str(error)):
            return _fail(disk_full(str(error)).one_line)
        return _fail(f"the Docker engine did not do what it was asked ({error}): see ./lab doctor and repeat")
    except OSError as error:
        if error.errno not in _MACHINE_ERRORS:
            raise
        what = f"{error.filename}: {error.strerror}" if error.filename else error.strerror
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            return _fail(f"the disk is full ({what}): make room (`docker system df` shows what takes it) and repeat")
        return _fail(f"the machine refuses it ({what}): see its permissions, disks and limits, and repeat")
    return result if isinstance(result, int) else 0


def _fail(line: str, *evidence: str) -> int:
    """Say what went wrong: the evidence (a place in a Dockerfile, the end of a log), and last the one line."""
    for text in evidence:
        err.print(plain(text))
    err.print(f"lab: {printable(' '.join(line.split()))}")
    return 2
