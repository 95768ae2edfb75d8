"""The settings of a course with the exercise in it, for nbgrader 0.9: see docs/class.md."""

from layerlab.exercise import new_workspace

c = get_config()  # type: ignore[name-defined]  # noqa: F821  # nbgrader gives it
c.CourseDirectory.course_id = "multi-stage-builds"

# In the released notebook, the cell that holds the solution holds the starter of `./lab new` instead.
c.ClearSolutions.code_stub = {"python": new_workspace.files(1)["Dockerfile"].decode()}

# A check builds several times; at nbgrader's own 30 seconds it would be broken off, for 0 points.
c.Execute.timeout = 3_600

# What a learner has handed in as Dockerfile stays, even where the assignment's folder has one.
c.Autograde.exclude_overwriting = {"multi-stage": ["Dockerfile"]}

# A cell whose metadata a learner has broken is put back before it is graded: what counts is the Dockerfile.
c.OverwriteCells.add_missing_cells = True
