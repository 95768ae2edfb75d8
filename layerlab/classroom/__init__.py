r"""Marks for a class: many submissions checked at once, each apart from the others, and written down in several ways.

``submissions`` finds what was handed in, `grade` checks it (on this machine, or by way of ``cluster`` on several),
``mark_files`` and ``feedback`` write down what came of it. A mark is what `layerlab.exercise.check` says of the
submission in a fresh workspace; nothing else goes into it. ``hub`` gives each learner a lab of their own.

>>> folder.mkdir()
>>> (folder / "Dockerfile").write_text("FROM python:3.13-trixie\nNO SUCH INSTRUCTION\n")
44
>>> marks = grade(submissions.find([folder])[0], jobs=1)
>>> [(mark.learner, mark.score, mark.checked.image_bytes) for mark in marks]
[('folder', 0, None)]
"""

from layerlab.classroom import submissions
from layerlab.classroom.grading import grade
from layerlab.classroom.marks import Mark
from layerlab.classroom.submissions import Submission

__all__ = ["Mark", "Submission", "grade", "submissions"]
