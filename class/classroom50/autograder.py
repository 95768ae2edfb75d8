"""Gives a learner's repository its points in Classroom 50: a point for each of the seven tasks.

Put it into the classroom's repository as CLASSROOM/autograders/ASSIGNMENT/autograder.py, and name below where your
copy of the lab can be cloned from, by a tag or a branch that does not move during the course. Classroom 50 runs it in
the learner's checkout, on a runner that needs a Docker engine, as ubuntu-latest has. It was written by Classroom 50's
published description and runs in the lab's tests; it has not been tried with the service itself.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

LAB = os.environ.get("LAB", "https://github.com/YOUR-ORGANISATION/YOUR-COPY-OF-THE-LAB.git")
REVISION = os.environ.get("LAB_REVISION", "main")

with tempfile.TemporaryDirectory() as folder:
    lab = Path(LAB) / "lab"
    if not lab.is_file():  # not a folder of this machine
        subprocess.run(["git", "clone", "--quiet", "--depth=1", f"--branch={REVISION}", LAB, folder], check=True)
        lab = Path(folder) / "lab"
    grade = [lab, "grade", ".", "--jobs=1", "--classroom50=result.json", "--feedback=feedback"]
    done = subprocess.run(grade, check=False)
# Anything but 0 is a fault of the machinery, not of the learner: Classroom 50 then gives no points, and says so.
sys.exit(done.returncode)
