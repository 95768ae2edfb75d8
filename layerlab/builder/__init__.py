r"""Builds images with BuildKit, through the Docker Engine API, and tells what became of each step.

`build` makes an image that stays, `trial_builds` one that is only looked at. These modules are public, too:
``context`` (what is sent, without what ``ignore`` leaves out), ``adapted`` (Dockerfiles that an engine would not
build as they are), ``build_cache``, and ``failures`` (why a build failed).

>>> folder.mkdir()
>>> written = (folder / "Dockerfile").write_text("FROM python:3.13-slim-trixie AS base\nFROM base\nRUN true\n")
>>> with trial_builds(engine) as trials:
...     built = trials.build(collect(folder))
>>> built.stages[["stage", "uses"]].values.tolist()
[['base', ()], ['1', ('base',)]]
"""

from layerlab.builder.building import Build, build
from layerlab.builder.context import Context, collect
from layerlab.builder.trials import Trials, trial_builds

__all__ = ["Build", "Context", "Trials", "build", "collect", "trial_builds"]
