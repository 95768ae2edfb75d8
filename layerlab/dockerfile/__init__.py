r"""A Dockerfile's instructions with their lines, stages and flags, read as BuildKit reads them.

The rules are those of ``frontend/dockerfile/parser`` and ``dockerfile2llb`` of github.com/moby/buildkit: which
lines belong together, what a heredoc is, which instruction gets which step number. Nothing is run and nothing is
fetched: what depends on a base image (its ONBUILD instructions, its environment) is unknown here.

>>> dockerfile = parse("FROM python:3.13 AS build\nRUN make\nFROM scratch\nCOPY --from=build /made /\n")
>>> [(stage.name, stage.line, len(stage.instructions)) for stage in dockerfile.stages]
[('build', 1, 2), ('', 3, 2)]
"""

from layerlab.dockerfile.parsed import Dockerfile, Heredoc, Instruction, Mount, Stage, copied_from
from layerlab.dockerfile.reader import decoded, parse, show_place

__all__ = ["Dockerfile", "Heredoc", "Instruction", "Mount", "Stage", "copied_from", "decoded", "parse", "show_place"]
