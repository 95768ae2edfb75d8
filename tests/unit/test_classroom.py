"""Marks for a class, without an engine: what is found in exports, what is kept, how it is written down."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import os
import stat
import sys
import tarfile
import time
import zipfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pandas as pd
import pytest

from layerlab.classroom import feedback, grading, mark_files, marks, submissions
from layerlab.classroom.marks import Checked, Mark
from layerlab.classroom.similar import similar
from layerlab.classroom.submissions import Submission, find
from layerlab.errors import UsageError
from layerlab.exercise.verdict import Verdict
from layerlab.paths import ROOT
from layerlab.ui.progress import Step, silent
from tests.unit.verdicts import finding, verdict

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

MINE = "FROM python:3.13-slim\n"


def zipped(files: Mapping[str, str | bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return out.getvalue()


def tarred(*members: tuple[tarfile.TarInfo, bytes], mode: str = "w:gz") -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as archive:  # type: ignore[call-overload]
        for member, content in members:
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return out.getvalue()


def lay(folder: Path, files: Mapping[str, str | bytes]) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not name.endswith("/"):
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        else:
            path.mkdir()
    return folder


def found(*paths: Path) -> dict[str, Submission]:
    return {one.learner: one for one in find(paths)[0]}


def texts(submission: Submission) -> dict[str, str]:
    return {name: content.decode() for name, content in submission.files.items()}


class TestExports:
    """Each learner once, whatever a platform has made of what they handed in."""

    EXPORTS: Mapping[str, Mapping[str, str | bytes]] = {
        "a folder each": {"anna/Dockerfile": MINE, "ben b/work/my image/Dockerfile": MINE, "grades.csv": "x"},
        "below a folder": {"export/sub/anna/Dockerfile": MINE, "export/sub/ben b/Dockerfile": MINE},
        "Moodle": {
            "anna_101_assignsubmission_file_/Dockerfile": MINE,
            "ben b_102_assignsubmission_file_/my-image.zip": zipped({"my image/Dockerfile": MINE}),
            "ben b_102_assignsubmission_onlinetext_/onlinetext.html": "<p>",
        },
        "Canvas": {"anna_101_55_Dockerfile": MINE, "ben b_LATE_102_56_Dockerfile-1.txt": MINE},
        "Blackboard": {
            "Lab_anna_attempt_2026-11-01-10-00-00_Dockerfile": MINE,
            "Lab_anna_attempt_2026-11-01-10-00-00.txt": "Name: Anna",
            "Lab_ben b_attempt_2026-11-02-10-00-00_Dockerfile.txt": MINE,
        },
        "bare files": {"anna.Dockerfile": MINE, "ben b_dockerfile.txt": MINE},
        "zips of zips": {
            "anna.zip": zipped(
                {"__MACOSX/._x.zip": b"\0", "x.zip": zipped({"y/Dockerfile": MINE, "y/._Dockerfile": ""})}
            ),
            "ben b.tar.gz": tarred((tarfile.TarInfo("./Dockerfile"), MINE.encode())),
        },
        "repositories": {"anna/Dockerfile": MINE, "anna/.git/config": "x", "ben b/Containerfile": MINE},
    }

    @pytest.mark.parametrize("name", EXPORTS)
    @pytest.mark.parametrize("form", ["folder", "zip", "tar.gz"])
    def test_each_learner_once(self, name: str, form: str, tmp_path: Path) -> None:
        """As a folder and as an archive, with all that lies around."""
        files = {**self.EXPORTS[name], "__MACOSX/x": "", ".DS_Store": ""}
        path = tmp_path / f"class.{form}"
        if form == "folder":
            lay(path, files)
        elif form == "zip":
            path.write_bytes(zipped(files))
        else:
            members = [
                (tarfile.TarInfo(key), text.encode() if isinstance(text, str) else text)
                for key, text in files.items()
            ]
            path.write_bytes(tarred(*members))

        learners = found(path)

        assert sorted(learners) == ["anna", "ben b"]
        assert all(texts(one) == {"Dockerfile": MINE} and not one.why_not for one in learners.values())

    def test_a_workspace_a_file_and_an_archive_by_name(self, tmp_path: Path) -> None:
        """Several arguments, each one learner's; two of the same name are told apart."""
        lay(tmp_path, {"x/anna/Dockerfile": MINE, "y/anna/Dockerfile": "FROM b\n", "ben/Dockerfile": "FROM c\n"})
        (tmp_path / "clara.zip").write_bytes(zipped({"my-image/Dockerfile": "FROM d\n"}))

        learners = found(
            tmp_path / "x/anna", tmp_path / "y/anna", tmp_path / "ben/Dockerfile", tmp_path / "clara.zip"
        )

        assert sorted(learners) == ["anna/anna", "anna/anna (2)", "ben", "clara"]

    def test_who_has_handed_in_nothing_has_a_row(self, tmp_path: Path) -> None:
        """An empty folder, something else, an archive that is none, one of a kind that is not read."""
        lay(
            tmp_path,
            {
                "anna/": "",
                "ben/report.pdf": "x",
                "clara.zip": b"PK\x03\x04no",
                "dora/work.7z": "7z",
                "eve/Dockerfile": "",
            },
        )

        learners = found(tmp_path)

        assert [learner for learner, one in learners.items() if not one.why_not] == ["eve"]
        assert learners["anna"].why_not == "there is no Dockerfile: it is empty"
        assert learners["ben"].why_not == "there is no Dockerfile: it holds report.pdf"
        assert "no archive that can be read" in learners["clara"].why_not
        assert "use .zip" in learners["dora"].why_not

    def test_odd_folders(self, tmp_path: Path) -> None:
        """A folder called Dockerfile, too long a path, a name of other bytes: a row each, and the others go on."""
        lay(tmp_path, {"anna/Dockerfile/x": MINE, "ben/Dockerfile": MINE})
        (tmp_path / "clara").mkdir()
        (tmp_path / "clara/caf\udce9\x1b[31m").write_text("")
        here = os.open(tmp_path / "ben", os.O_RDONLY)
        for _ in range(30):
            os.mkdir("x" * 200, dir_fd=here)  # no path is as long
            inner = os.open("x" * 200, os.O_RDONLY, dir_fd=here)
            os.close(here)
            here = inner
        os.close(here)

        learners = found(tmp_path)

        assert list(learners["ben"].files) == ["Dockerfile"]
        assert "no Dockerfile" in learners["anna"].why_not
        assert learners["clara"].why_not.isprintable()

    def test_what_is_no_submission_is_named(self, tmp_path: Path) -> None:
        """Files of the export that belong to nobody are passed over, not silently."""
        lay(tmp_path, {"anna/Dockerfile": MINE, "ben/Dockerfile": MINE, "grades.csv": "x"})

        assert find([tmp_path])[1] == ["grades.csv"]

    def test_what_does_not_exist(self, tmp_path: Path) -> None:
        """Is the user's mistake, and says so."""
        with pytest.raises(UsageError, match="cannot be read"):
            find([tmp_path / "nothing"])


class TestTakenOver:
    """What of a submission reaches the workspace."""

    def test_the_labs_own_files_stay(self, tmp_path: Path) -> None:
        """A changed app or changed requirements do not count, and the mark says so; further files come along."""
        own = {"app/wsgi.py": "print('ha')", "requirements.txt": "flask"}
        lay(tmp_path / "anna", {"Dockerfile": MINE, "start.sh": "#!/bin/sh\n", **own})
        (tmp_path / "anna/start.sh").chmod(0o755)

        (one,) = find([tmp_path / "anna"])[0]

        assert texts(one) == {"Dockerfile": MINE, "start.sh": "#!/bin/sh\n"}
        assert one.executable == {"start.sh"}
        assert one.notes == ("app/wsgi.py, requirements.txt: set aside, since the lab's own counts",)

    def test_the_level_is_that_of_what_was_handed_in(self, tmp_path: Path) -> None:
        """Unless the instructor names one."""
        folder = lay(tmp_path / "anna", {"Dockerfile": MINE, "requirements.txt": "psycopg2==2.9\n"})

        assert (find([folder])[0][0].level, find([folder], level=1)[0][0].level) == (2, 1)

    def test_paths_that_lead_elsewhere_are_left_out(self, tmp_path: Path) -> None:
        """Absolute, upwards, with a drive; links and devices; a file where the lab has a folder, and below a file."""
        odd = ["/etc/x", "../x", "a/../../x", "C:/x", "x" * 300, "app", "Dockerfile/x", "requirements.txt/x"]
        path = tmp_path / "anna.zip"
        path.write_bytes(
            zipped({"Dockerfile": MINE, **dict.fromkeys(odd, "evil"), "good\\windows.sh": "#!/bin/sh\n"})
        )
        link = zipfile.ZipInfo("link")
        link.create_system, link.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr(link, "/etc/passwd")
        members = [tarfile.TarInfo("Dockerfile"), tarfile.TarInfo("l"), tarfile.TarInfo("d"), tarfile.TarInfo("../x")]
        members[1].type, members[1].linkname = tarfile.SYMTYPE, "/etc/passwd"
        members[2].type = tarfile.CHRTYPE
        (tmp_path / "ben.tar").write_bytes(tarred(*((one, b"") for one in members), mode="w"))
        lay(tmp_path / "clara", {"Dockerfile": MINE})
        (tmp_path / "clara/link").symlink_to("/etc/passwd")
        os.mkfifo(tmp_path / "clara/pipe")

        learners = found(path, tmp_path / "ben.tar", tmp_path / "clara")

        assert set(learners["anna"].files) == {"Dockerfile", "good/windows.sh"}
        assert set(learners["ben"].files) == set(learners["clara"].files) == {"Dockerfile"}

    @pytest.mark.slow
    def test_bombs(self, tmp_path: Path) -> None:
        """What expands without end costs a row and a moment: a file, a tar, very many files, zips within zips."""
        zeros = bytes(60_000_000)
        inner = zipped({"Dockerfile": MINE})
        for _ in range(8):
            inner = zipped({"x.zip": inner})
        lay(
            tmp_path,
            {
                "file.zip": zipped({"Dockerfile": MINE, "zeros": zeros}),
                "dockerfile.zip": zipped({"Dockerfile": zeros}),
                "tar.tar.gz": tarred((tarfile.TarInfo("x"), zeros), (tarfile.TarInfo("Dockerfile"), MINE.encode())),
                "many.zip": zipped({"Dockerfile": MINE, **{f"{n}": "" for n in range(2_100)}}),
                "large.zip": zipped({"Dockerfile": MINE, **{f"{n}": bytes(4_000_000) for n in range(6)}}),
                "deep.zip": inner,
            },
        )
        began = time.monotonic()

        learners = found(tmp_path)

        assert time.monotonic() - began < 20
        assert learners["file"].notes == ("zeros: left out, since too large",)
        assert not learners["tar"].why_not
        assert "Dockerfile is larger than" in learners["dockerfile"].why_not
        assert learners["many"].why_not == "it holds more than 2000 files"
        assert "more than 20 MB" in learners["large"].why_not
        assert learners["deep"].why_not == "there is no Dockerfile: it holds deep.zip/x.zip/x.zip/x.zip/x.zip"

    def test_what_one_learner_hands_in_costs_the_others_nothing(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A large node_modules, an entry that is damaged; and where no mode is kept, ``#!`` tells a program."""
        monkeypatch.setattr(submissions, "_MOST_SEEN", 20)
        export = zipped(
            {
                **{f"aaron/node_modules/{n}": "" for n in range(100)},
                "aaron/Dockerfile": MINE,
                "anna/Dockerfile": "FROM x" * 1_000,
                "ben/Dockerfile": MINE,
                "ben/start.sh": "#!/bin/sh\n",
            }
        )
        damaged = bytearray(export)
        at = damaged.index(b"anna/Dockerfile") + len("anna/Dockerfile")
        damaged[at] = 7  # no such kind of block
        for archive in (bytes(damaged).replace(b"PK\x01\x02\x14\x03", b"PK\x01\x02\x14\x00"), export):
            (tmp_path / "class.zip").write_bytes(archive)

            learners = found(tmp_path / "class.zip")

            assert not learners["aaron"].why_not
            assert texts(learners["ben"]) == {"Dockerfile": MINE, "start.sh": "#!/bin/sh\n"}
            assert ("cannot be read" in learners["anna"].why_not) == (archive != export)
            assert learners["ben"].executable == (set() if archive == export else {"start.sh"})

    def test_tars_that_claim_too_much(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A pax header of gigabytes, an entry of no known kind, and one within a submission that expands too far."""
        pax, odd = tarfile.TarInfo("x"), tarfile.TarInfo("x")
        pax.type, pax.size, odd.type = tarfile.XHDTYPE, 2**31, b"?"
        monkeypatch.setattr(submissions, "_MOST_WITHIN", 1_000_000)
        lay(
            tmp_path,
            {
                "pax.tar": pax.tobuf() + bytes(100_000),
                "odd.tar": tarred((odd, b""), mode="w"),
                "large.tar.gz": tarred((tarfile.TarInfo("x"), bytes(2_000_000))),
                "small.tar.zst": zstd.compress(tarred((tarfile.TarInfo("Dockerfile"), MINE.encode()), mode="w")),
            },
        )

        learners = found(tmp_path)

        assert "absurd size" in learners["pax"].why_not
        assert "unknown kind" in learners["odd"].why_not
        assert "expands to more than 1" in learners["large"].why_not
        assert texts(learners["small"]) == {"Dockerfile": MINE}
        assert texts(found(tmp_path / "small.tar.zst")["small"]) == {"Dockerfile": MINE}

    def test_an_encrypted_archive(self, tmp_path: Path) -> None:
        """Costs its own row."""
        content = bytearray(zipped({"Dockerfile": MINE}))
        content[6] |= 1  # the flag, in the file's own header and in the directory's
        content[content.index(b"PK\x01\x02") + 8] |= 1
        lay(tmp_path, {"anna.zip": bytes(content), "ben/Dockerfile": MINE})

        learners = found(tmp_path)

        assert "encrypted" in learners["anna"].why_not
        assert not learners["ben"].why_not


@pytest.fixture
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def handed_in(*learners: str) -> list[Submission]:
    return [Submission(learner, {"Dockerfile": f"FROM {learner}\n".encode()}) for learner in learners]


class Checker:
    """Says what it is told to, and counts."""

    def __init__(self, **says: list[Checked]) -> None:
        self.says = says
        self.asked: list[str] = []

    def __call__(self, submission: Submission) -> Checked:
        self.asked.append(submission.learner)
        said = self.says[submission.learner]
        return said.pop(0) if len(said) > 1 else said[0]


def graded(checker: Checker, handed: list[Submission], **options: bool) -> dict[str, Mark]:
    with ThreadPoolExecutor(2) as pool:
        made = grading.grade_with(pool, checker, handed, grading.GradingProgress(silent, handed), **options)
    return {mark.learner: mark for mark in made}


GOOD, BAD = Checked(verdict("ppppppp"), 200_000_000), Checked(verdict("pffpppp", {2: [finding()]}), 900_000_000)
NO_IMAGE = Checked(Verdict(None, verdict("fuuuuuu").tasks, 1.0, "dockerfile"))
NO_ENGINE = Checked(why_not="the engine stopped answering")


@pytest.mark.usefixtures("_own_cache")
class TestGrading:
    def test_what_was_checked_is_not_checked_again(self) -> None:
        """A run that is repeated says the same, findings included, without asking; `again` asks."""
        checker = Checker(anna=[GOOD], ben=[BAD])
        first = graded(checker, handed_in("anna", "ben"))
        second = graded(checker, handed_in("anna", "ben"))
        assert sorted(checker.asked) == ["anna", "ben"]
        assert [mark.document() for mark in first.values()] == [mark.document() for mark in second.values()]

        graded(checker, handed_in("anna", "ben"), again=True)

        assert sorted(checker.asked) == ["anna", "anna", "ben", "ben"]

    def test_another_version_of_the_checker_checks_again(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """What an older one said does not count."""
        checker = Checker(anna=[GOOD])
        graded(checker, handed_in("anna"))
        monkeypatch.setattr(marks, "checker_version", lambda: "another")

        graded(checker, handed_in("anna"))

        assert checker.asked == ["anna", "anna"]

    def test_a_neighbours_doing_is_not_a_learners(self) -> None:
        """What did not get far beside others is checked once more, alone; that counts."""
        checker = Checker(anna=[NO_IMAGE, GOOD], ben=[BAD], clara=[NO_IMAGE])

        told = graded(checker, handed_in("anna", "ben", "clara"))

        assert [mark.score for mark in told.values()] == [7, 5, 0]
        assert sorted(checker.asked[3:]) == ["anna", "clara"]
        assert graded(Checker(), handed_in("anna", "clara"))["clara"].score == 0  # certain by now, so it is kept

    def test_what_is_the_engines_fault_is_not_kept(self) -> None:
        """It has no mark, the others have; the next run checks it again."""
        told = graded(Checker(anna=[NO_ENGINE], ben=[GOOD]), handed_in("anna", "ben"))
        assert (told["anna"].why_not, told["ben"].score) == ("the engine stopped answering", 7)

        assert graded(Checker(anna=[GOOD]), handed_in("anna", "ben"))["anna"].score == 7

    def test_the_same_handed_in_twice_is_checked_once(self) -> None:
        """And has the same mark."""
        one, other = handed_in("anna")[0], dataclasses.replace(handed_in("anna")[0], learner="ben")
        checker = Checker(anna=[BAD], ben=[BAD])

        told = graded(checker, [one, other])

        assert len(checker.asked) == 1
        assert told["anna"].checked == told["ben"].checked

    def test_progress_has_an_estimate(self) -> None:
        """Of when all will be done."""
        steps: list[Step] = []
        progress = grading.GradingProgress(steps.append, handed_in("anna", "ben"))
        progress.running(handed_in("anna")[0], "RUN make")
        progress.done(handed_in("anna")[0], GOOD)
        progress.done(handed_in("ben")[0], NO_ENGINE)

        assert [(step.title, step.state, step.detail) for step in steps] == [
            ("2 submissions", "running", ""),
            ("anna", "running", "RUN make"),
            ("anna: 7 of 7 tasks pass", "done", ""),
            ("2 submissions", "running", "1 left, for about 1 min"),
            ("ben: no mark: the engine stopped answering", "failed", ""),
            ("2 submissions", "done", ""),
        ]


EVIL = '=HYPERLINK("http://x","<script>alert(1)</script>")\x1b[31m\u202e'


def mark(learner: str = "anna", checked: Checked = BAD, **more: object) -> Mark:
    return dataclasses.replace(Mark(learner, checked, {"Dockerfile": b"FROM a\nRUN <b>\n"}), **more)  # type: ignore[arg-type]


class TestFormats:
    def test_csv_as_spreadsheets_and_programs_read_it(self) -> None:
        """One row each; a name with commas and quotes; figures are figures."""
        text = mark_files.as_csv([mark('O\'Neil, "Ben"'), mark("ö", NO_ENGINE)])
        table = pd.read_csv(io.BytesIO(text.encode()))

        assert table["learner"].tolist() == ['O\'Neil, "Ben"', "ö"]
        assert table["score"].tolist() == [5, 0]
        assert table["task_2"].tolist() == ["fail", "unknown"]
        assert table["image_mb"].tolist()[0] == 900.0
        assert text.startswith("\ufeff")  # by which Excel knows UTF-8

    @pytest.mark.parametrize("start", ["=1+1", "+1", "-1", "@x", "\t=1", " =1", '"=1', "|x", "%x"])
    def test_no_cell_is_a_formula(self, start: str) -> None:
        """Neither the learner's name nor what a submission makes the checker say."""
        said = Checked(verdict("fpppppp", {1: [finding(f"{start} said")]}))
        rows = list(
            csv.DictReader(io.StringIO(mark_files.as_csv([mark(start, said, notes=(start,), similar=(start,))])))
        )

        cells = [rows[0][name] for name in ("learner", "why_not", "notes", "similar", "id")]
        assert not any(cell.lstrip(" \t\"'")[:1] in set("=+-@|%") and cell[0] != "'" for cell in cells)

    def test_junit(self) -> None:
        """Seven cases each, with what was found as its failure; nothing breaks the XML."""
        root = ElementTree.fromstring(mark_files.as_junit([mark(EVIL + "\x00"), mark("ben", NO_ENGINE)]))  # noqa: S314  # our own

        assert [suite.get("failures") for suite in root] == ["2", "0"]
        assert [suite.get("errors") for suite in root] == ["0", "7"]
        assert "gcc, 143 MB" in str(root[0][1][0].get("message"))

    def test_markdown(self) -> None:
        """A row stays a row, and nothing in it is markup."""
        lines = mark_files.as_markdown([mark(f"a|b\n{EVIL}")]).splitlines()

        assert len(lines) == 3
        assert "<script" not in lines[2]
        assert "a\\|b" in lines[2]

    def test_json(self) -> None:
        """All that was found."""
        (told,) = json.loads(mark_files.as_json([mark()]))

        assert (told["learner"], told["score"], told["image_bytes"]) == ("anna", 5, 900_000_000)
        assert told["verdict"]["tasks"][1]["findings"][0]["line"] == 2

    def test_classroom50(self) -> None:
        """Every field that the service's description of result.json asks of an autograder; integers for points."""
        said = {
            "CLASSROOM": "c",
            "ASSIGNMENT": "a",
            "SUBMISSION_TAG": "submit/x",
            "COMMIT_URL": "u",
            "RELEASE_URL": "r",
        }
        told = json.loads(mark_files.as_classroom50([mark()], said))

        assert set(told) == {"schema", "classroom", "assignment", "submission", "commit", "release", "review"} | {
            "datetime", "score", "max-score", "tests"
        }  # fmt: skip
        assert (told["schema"], told["score"], told["max-score"]) == ("classroom50/result/v1", 5, 7)
        assert [test["score"] for test in told["tests"]] == [1, 0, 0, 1, 1, 1, 1]
        with pytest.raises(UsageError, match="RELEASE_URL not set"):
            mark_files.as_classroom50([mark()], said | {"RELEASE_URL": ""})


class Tags(HTMLParser):
    """Every tag and attribute of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [name for name, _ in attrs]


class TestFeedback:
    def test_nothing_that_a_submission_says_is_obeyed(self) -> None:
        """Not in a name, a file, a finding, a hint or a note: no script, no handler, nothing from elsewhere."""
        nasty = dataclasses.replace(finding(EVIL, about=EVIL), file=f"{EVIL}")
        said = Checked(verdict("fpppppp", {1: [nasty]}), 1)
        page = feedback.page(mark(EVIL, said, files={"Dockerfile": EVIL.encode()}, notes=(EVIL,)))
        tags = Tags(page)

        assert not {"script", "a", "iframe", "form", "link", "object"} & set(tags.tags)
        assert not [name for name in tags.attributes if name.startswith("on") or name in {"src", "href"}]
        assert "default-src &#x27;none&#x27;" in page or "default-src 'none'" in page
        assert "\x1b" not in page
        assert "\u202e" not in page

    def test_it_says_what_check_says(self) -> None:
        """Each task, the finding with its line, its hints behind folds, the file."""
        page = feedback.page(mark())

        assert "anna: 5 of 7 tasks pass" in page
        assert "Dockerfile:2" in page
        assert "gcc, 143 MB, came with this line." in page
        assert page.count("<details>") == page.count("</details>") == 3

    def test_what_is_told_once_is_referred_to(self) -> None:
        """A task that fails for a reason told before does not stand there without one."""
        twice = Checked(verdict("pffpppp", {2: [finding()], 3: [finding()]}))

        assert feedback.page(mark(checked=twice)).count("What was found is told above.") == 1

    def test_files_lie_in_the_folder(self, tmp_path: Path) -> None:
        """Whatever learners are called, and however alike."""
        names = ["../../x", "..", "anna b", "anna_b", "ANNA B", "/etc/passwd", "é" * 300, ""]

        written = feedback.write([mark(name) for name in names], tmp_path / "pages")

        assert len({path.name.lower() for path in written}) == len(names)
        assert all(path.parent == tmp_path / "pages" and path.is_file() for path in written)


def test_nearly_the_same() -> None:
    """Other comments, spaces and names of stages make no other Dockerfile; other commands do."""
    one = (ROOT / "tests/solutions/right-chown-app-only/Dockerfile").read_text()
    stages = one.replace("AS build", "AS maker").replace("--from=build", "--from=maker")
    other = (ROOT / "tests/solutions/right-granian/Dockerfile").read_text()
    texts = {
        "anna": one,
        "ben": "# mine\n" + stages.replace(" ", "  "),
        "clara": other,
        "dora": "",
        "eve": "",
        "fred": "]",
    }

    assert similar(texts) == {"anna": ("ben",), "ben": ("anna",), "clara": (), "dora": (), "eve": (), "fred": ()}
