""".dockerignore, against what github.com/moby/patternmatcher says, translated here without any care for speed."""

from __future__ import annotations

import itertools
import os
import re
from pathlib import Path

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from layerlab.builder.ignore import matches, parse, read
from layerlab.errors import ContextError


def ignored(rules: str, path: str) -> bool:
    """Whether the rules leave a path out, asked for each folder on the way as a walk does."""
    patterns = parse(rules)
    above: tuple[bool, ...] = ()
    result = False
    for prefix in itertools.accumulate(path.split("/"), "{}/{}".format):
        result, above = matches(patterns, prefix, above)
    return result


class TestRules:
    """Which paths are left out."""

    @pytest.mark.parametrize(
        ("rules", "out", "kept"),
        [
            ("*\n!app\n!requirements.txt", ["x", "x/app", "appx", ".git/x"], ["app/a/b", "requirements.txt"]),
            ("# note\n #note\n\n  a  \n", ["a", "#note"], ["# note", "b"]),
            ("**/*.py", ["a.py", "a/b/c.py"], ["a.pyc", "a/b"]),
            ("**/x", ["x", "a/x", "a/b/x/y"], ["ax", "a/xb"]),
            ("*/x", ["a/x", "a/x/y"], ["x", "a/b/x"]),
            ("a/**/b", ["a/b", "a/c/b", "a/c/d/b"], ["b", "ab", "a/cb"]),
            ("a/**", ["a/b", "a/b/c"], ["a", "ab"]),
            ("**", ["a", "a/b", ".x"], []),
            ("a?c", ["abc"], ["ac", "a/c", "abbc"]),
            ("[a-c]x", ["ax", "cx"], ["dx", "x"]),
            ("[^a-c]x", ["dx"], ["ax", "x"]),
            ("[[]x", ["[x"], ["x"]),
            (r"\*x", ["*x"], ["ax"]),
            ("a.b+", ["a.b+"], ["axb+", "a.bb"]),
            ("/a/", ["a", "a/b"], ["b/a"]),
            ("./a/../b", ["b"], ["a"]),
            ("*\n!a/b\na/b/c", ["x", "a/b/c", "a/x"], ["a/b", "a/b/d"]),
            ("*.md\n!README.md\nREADME*", ["a.md", "README.md"], ["a.txt"]),
            ("! a\na", ["a"], []),
            ("a\n! a", [], ["a", "a/b"]),
            ("**x", ["x", "ax", "a/bx"], ["xa"]),
            (".", [], ["a"]),
            ("..", [], ["a"]),
        ],
    )
    def test_rules(self, rules: str, out: list[str], kept: list[str]) -> None:
        """The last rule that matches a path, or a folder that it lies in, decides."""
        assert (out, []) == ([path for path in out if ignored(rules, path)], [p for p in kept if ignored(rules, p)])

    def test_another_encoding(self, tmp_path: Path) -> None:
        """Rules in UTF-16 would leave nothing out; UTF-8 with a byte order mark is read."""
        for encoding in ("utf-16", "utf-16-le", "utf-32"):
            (tmp_path / ".dockerignore").write_text("secret\n", encoding=encoding)
            with pytest.raises(ContextError, match=f"encoded in {encoding[:6].upper()}"):
                read(tmp_path / ".dockerignore")
        (tmp_path / ".dockerignore").write_text("secret\n", encoding="utf-8-sig")
        assert [pattern.text for pattern in read(tmp_path / ".dockerignore")] == ["secret"]

    @pytest.mark.parametrize("rules", ["a\n[b", "a\n!", "a\nb\\", "a\n[]x]", "a\n**a**b**c**d"])
    def test_no_pattern(self, rules: str) -> None:
        """A line that is no pattern is named."""
        with pytest.raises(ContextError, match=r"line 2 of \.dockerignore is no pattern"):
            parse(rules)

    @given(
        st.lists(
            st.sampled_from(["a", "b", "/", "*", "**/", "/**", "?", "[ab]", r"\*", "."]), min_size=1, max_size=8
        ),
        st.lists(st.text(alphabet="ab.*", min_size=1, max_size=3), min_size=1, max_size=4),
    )
    @example(["**/", "a", "/", "**/", "b"], ["b", "a", "a", "b"])
    @example(["*", "a", "*", "a", "*", "b"], ["aab"])
    def test_against_patternmatcher(self, glob: list[str], path: list[str]) -> None:
        """A pattern matches what its plain translation into a regular expression matches."""
        pattern, where = "".join(glob), "/".join(path)
        assume("***" not in pattern and os.path.normpath(pattern) == pattern and not pattern.startswith("/"))
        assume(not re.match(r"\*\*[^/]", pattern))  # the one place where patternmatcher leaves this translation
        try:
            patterns = parse(pattern)
        except ContextError:
            assume(condition=False)

        assert (translated(pattern).fullmatch(where) is not None) == matches(patterns, where, ())[0]

    def test_speed(self) -> None:
        """A pattern that is made to take for ever does not."""
        for rules in ("*a" * 50 + "b", "**/a/" * 50 + "b", "a?" * 60, "**/*a*/" * 20 + "x"):
            assert not ignored(rules, "a" * 250 + "c")
            assert not ignored(rules, "/".join("a" * 200) + "/c")


def translated(pattern: str) -> re.Pattern[str]:
    """The regular expression that patternmatcher compiles."""
    result = ""
    position = 0
    while position < len(pattern):
        char = pattern[position]
        position += 1
        if char == "*" and pattern.startswith("*", position):
            position += 1
            position += pattern.startswith("/", position)
            result += ".*" if position == len(pattern) else "(.*/)?"
        elif char in "*?":
            result += "[^/]*" if char == "*" else "[^/]"
        elif char == "\\":
            result += re.escape(pattern[position])
            position += 1
        else:
            result += char if char in "[]" else re.escape(char)
    return re.compile(result)
