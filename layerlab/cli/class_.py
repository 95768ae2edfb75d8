"""The command that gives each learner of a class a lab of their own."""

from __future__ import annotations

from contextlib import ExitStack, suppress
from pathlib import Path

import click

from layerlab.cli.options import PATH, examples, find_engine, out, stand_ins
from layerlab.engine import connect
from layerlab.ui import displays


@click.command("class", epilog=examples("./lab class up", "./lab class up --config my-class.py", "./lab class down"))
@click.argument("what", type=click.Choice(["up", "down"]))
@click.option("--config", metavar="FILE", type=PATH, help="JupyterHub's, in place of class/hub/jupyterhub_config.py.")
@click.option("--work", is_flag=True, help="With `down`: remove the learners' work, too. Nothing brings it back.")
@stand_ins
def command(what: str, config: Path | None, work: bool, stand_ins: bool | None) -> int:
    """Give each learner of a class a lab of their own.

    `up` runs a JupyterHub until Ctrl-C. Whoever logs in gets a container with JupyterLab, the lab and a Docker engine
    of their own. Their work is kept in volumes: `down --work` removes it, and `down` what else the class has left.
    docs/class.md says more.
    """
    from layerlab.classroom import hub  # noqa: PLC0415  # a room of its own: no other command loads it

    if what == "down":
        removed = hub.down(connect(), work=work)
        for name in removed:
            out.print(f"{name}: removed")
        if not removed:
            out.print("There was nothing of a class to remove.")
        return 0
    engine = find_engine()
    with ExitStack() as running:
        with displays.terminal("a lab for each learner") as report:
            of_class = hub.up(engine, config=config or hub.CONFIG, allow_stand_ins=stand_ins, report=report)
            started = running.enter_context(of_class)
        out.print(f"\nThe class is at  {started.address}", style="bold")
        for whose, password in (("shared", started.password), ("instructors'", started.admin_password)):
            if password:
                out.print(f"The {whose} password is  {password}")
        out.print("Ctrl-C here ends it; the learners' work stays.")
        with suppress(KeyboardInterrupt):
            started.wait()
    return 0
