"""Dockerfiles: what BuildKit's own parser makes of the same texts was looked up once and is written down here."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from layerlab.dockerfile import Dockerfile, Heredoc, Instruction, copied_from, decoded, parse
from layerlab.dockerfile.shell_words import expand
from layerlab.errors import DockerfileError


def lines_of(text: str) -> list[tuple[str, int, int]]:
    """Keyword, first and last line of each instruction."""
    return [(i.keyword, i.line, i.end_line) for i in parse(text).instructions]


def only(text: str) -> Instruction:
    """The one instruction of a text, after a FROM."""
    (_, instruction) = parse(f"FROM scratch\n{text}").instructions
    return instruction


class TestLines:
    """Which lines make up an instruction."""

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("FROM a\nRUN b", [("FROM", 1, 1), ("RUN", 2, 2)]),
            ("\n# c\n\nFROM a\n\nrun b\n", [("FROM", 4, 4), ("RUN", 6, 6)]),
            ("FROM a\nRUN b \\\n  c\nRUN d", [("FROM", 1, 1), ("RUN", 2, 3), ("RUN", 4, 4)]),
            ("FROM a\nRUN b \\\n  # c\n  d \\\n\n  e\nRUN f", [("FROM", 1, 1), ("RUN", 2, 6), ("RUN", 7, 7)]),
            ("FROM a\nRUN b \\  \n  c", [("FROM", 1, 1), ("RUN", 2, 3)]),
            ("FROM a\nRUN b \\\\\nRUN c", [("FROM", 1, 1), ("RUN", 2, 2), ("RUN", 3, 3)]),
            ("FROM a\nRUN b \\\n# c\n# d\n", [("FROM", 1, 1), ("RUN", 2, 4)]),
            ("FROM a\nRUN b \\", [("FROM", 1, 1), ("RUN", 2, 2)]),
            ("FROM a\nRUN\\\n b", [("FROM", 1, 1), ("RUN", 2, 3)]),
            ("\ufeffFROM a\r\nRUN b \\\r\n  c\r\n", [("FROM", 1, 1), ("RUN", 2, 3)]),
            ("# escape=`\nFROM a\nRUN b `\n  c \\\nRUN d", [("FROM", 2, 2), ("RUN", 3, 4), ("RUN", 5, 5)]),
            ("# syntax=x\n# escape=`\nFROM a `\n AS b", [("FROM", 3, 4)]),
            ("# c\n# escape=`\nFROM a\nRUN b `\nRUN c", [("FROM", 3, 3), ("RUN", 4, 4), ("RUN", 5, 5)]),
            ("FROM a\nCMD", [("FROM", 1, 1), ("CMD", 2, 2)]),
            ("FROM a\nRUN <<E\nRUN x\nE\nRUN b", [("FROM", 1, 1), ("RUN", 2, 4), ("RUN", 5, 5)]),
            ("FROM a\nCOPY <<A <<B /\na\nA\nb\nB\nRUN c", [("FROM", 1, 1), ("COPY", 2, 6), ("RUN", 7, 7)]),
            ("FROM a\nRUN <<-E\n\tE\nRUN b", [("FROM", 1, 1), ("RUN", 2, 3), ("RUN", 4, 4)]),
            ("FROM a\nRUN cat \\\n <<E\nx\nE", [("FROM", 1, 1), ("RUN", 2, 5)]),
            ("FROM a\nONBUILD RUN <<E\nx\nE\nCMD x", [("FROM", 1, 1), ("ONBUILD", 2, 4), ("CMD", 5, 5)]),
            ("FROM a\nENV X=<<E\nRUN b", [("FROM", 1, 1), ("ENV", 2, 2), ("RUN", 3, 3)]),
            ("FROM a\nRUN echo $((1<<2))\nRUN b", [("FROM", 1, 1), ("RUN", 2, 2), ("RUN", 3, 3)]),
            ("FROM a\nRUN cat <<<E\nRUN b", [("FROM", 1, 1), ("RUN", 2, 2), ("RUN", 3, 3)]),
        ],
    )
    def test_lines(self, text: str, expected: list[tuple[str, int, int]]) -> None:
        """Each instruction has the lines that BuildKit gives it."""
        assert expected == lines_of(text)

    @given(
        st.lists(
            st.tuples(
                st.sampled_from(["", "\n", "# note\n", "  # escape=`\n", "\t\n"]),
                st.sampled_from(["RUN one", "run one", "COPY a b", "ARG A=1", "CMD", '  CMD ["a"]', "USER x"]),
                st.lists(st.sampled_from([" \\\n more", " \\\n\n more", "\\\n # note\n && more", "\\  \n\t\\\n x"])),
                st.sampled_from(["\n", "\r\n", "  \n"]),
            )
        )
    )
    def test_whatever_stands_between_them(self, parts: list[tuple[str, str, list[str], str]]) -> None:
        """Instructions are found where they were written, whatever comments, blanks and continuations there are."""
        text, expected = "FROM a\n", [("FROM", 1, 1)]
        for before, first, continued, end in parts:
            text += before
            begin = text.count("\n") + 1
            text += first + "".join(continued)
            expected.append((first.split()[0].upper(), begin, text.count("\n") + 1))
            text += end

        assert expected == lines_of(text)

    def test_ui_text(self) -> None:
        """The text of an instruction is its lines as they stand, without Windows line ends."""
        assert only("RUN a \\\r\n  # b\r\n  c\r\nx"[:-1]).text == "RUN a \\\n  # b\n  c"


class TestParts:
    """Flags, values, arguments."""

    @pytest.mark.parametrize(
        ("text", "value", "arguments", "is_json"),
        [
            ("RUN  a  \\\n  b", "a    b", ("a    b",), False),
            ('RUN ["a", "b c"]', '["a", "b c"]', ("a", "b c"), True),
            ("CMD []", "[]", (), True),
            ("CMD", "", (), False),
            ("CMD ['a']", "['a']", ("['a']",), False),
            ('CMD ["a" "b"]', '["a" "b"]', ('["a" "b"]',), False),
            ('ENTRYPOINT [ "a",\\\n "b" ]', '[ "a", "b" ]', ("a", "b"), True),
            ("COPY a  b\tc/", "a  b\tc/", ("a", "b", "c/"), False),
            ('COPY ["a b", "c/"]', '["a b", "c/"]', ("a b", "c/"), True),
            ("ARG A B='2 3'", "A B='2 3'", ("A", "B='2 3'"), False),
            ("ENV A=1 B=2", "A=1 B=2", ("A=1 B=2",), False),
            ('CMD ["a", 1]', '["a", 1]', ('["a", 1]',), False),
            ("WORKDIR /a b", "/a b", ("/a b",), False),
            ("ONBUILD RUN a", "RUN a", ("RUN a",), False),
        ],
    )
    def test_arguments(self, text: str, value: str, arguments: tuple[str, ...], is_json: bool) -> None:
        """A value falls into the parts that BuildKit sees."""
        instruction = only(text)

        assert (value, arguments, is_json) == (instruction.value, instruction.arguments, instruction.is_json)

    @pytest.mark.parametrize(
        ("text", "flags", "value"),
        [
            ("COPY --from=a --chown=1:2 x y", (("from", "a"), ("chown", "1:2")), "x y"),
            ("COPY --link x y", (("link", ""),), "x y"),
            ("RUN --mount=type=cache,target=/x --network=none \\\n  a --b=c", None, "a --b=c"),
            ("RUN -- --a", (), "--a"),
            ("HEALTHCHECK --interval='5 s' CMD a", (("interval", "5 s"),), "CMD a"),
            ("FROM --platform=linux/arm64 scratch", (("platform", "linux/arm64"),), "scratch"),
        ],
    )
    def test_flags(self, text: str, flags: tuple[tuple[str, str], ...] | None, value: str) -> None:
        """Flags stand before the value; what looks like one later is part of it."""
        instruction = parse(f"FROM scratch\n{text}").instructions[-1]
        if flags is None:
            flags = (("mount", "type=cache,target=/x"), ("network", "none"))

        assert (flags, value) == (instruction.flags, instruction.value)

    def test_flag(self) -> None:
        """A flag is asked for by its name; of a repeated one, the last counts."""
        instruction = only("COPY --from=a --from=b x y")

        assert (instruction.flag("from"), instruction.flag("chown")) == ("b", None)

    def test_summary(self) -> None:
        """An instruction is told on one line."""
        assert (
            only("RUN --mount=type=bind,from=x a \\\n   # c\n   && b").summary
            == "RUN --mount=type=bind,from=x a && b"
        )

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("RUN <<EOF\na\n\tb\nEOF", [Heredoc("EOF", "a\n\tb\n")]),
            ("RUN <<'EOF'\n$a\nEOF", [Heredoc("EOF", "$a\n")]),
            ('COPY <<"E F" /x\nE\nE F', [Heredoc("E F", "E\n")]),
            ("COPY <<-A <<B /\n\ta\n\tA\nB", [Heredoc("A", "\ta\n"), Heredoc("B", "")]),
            ("RUN 3<<EOF\nEOF", [Heredoc("EOF", "")]),
            ('RUN ["<<EOF"]', []),
            ("RUN echo it's <<EOF", []),
        ],
    )
    def test_heredocs(self, text: str, expected: list[Heredoc]) -> None:
        """The files that are written within the Dockerfile belong to their instruction."""
        assert expected == list(only(text).heredocs)


class TestStages:
    """Stages, their bases, and what they take from each other."""

    def test_names(self) -> None:
        """A stage is named by AS in any case, in small letters; one without a name is told by its index."""
        stages = parse("FROM a AS Build\nFROM b as x_1\nfrom c").stages

        assert [(stage.label, stage.base) for stage in stages] == [("build", "a"), ("x_1", "b"), ("2", "c")]

    def test_instructions(self) -> None:
        """Each instruction knows its stage; an ARG before the first FROM belongs to none."""
        parsed = parse("ARG V=1\nFROM a\nRUN x\nFROM b\nCMD y")

        assert [i.stage for i in parsed.instructions] == [None, 0, 0, 1, 1]
        assert [[i.keyword for i in s.instructions] for s in parsed.stages] == [["FROM", "RUN"], ["FROM", "CMD"]]

    @pytest.mark.parametrize(
        ("args", "base", "expected"),
        [
            ("ARG V=3", "python:$V", "python:3"),
            ("ARG V=3", "python:${V}-slim", "python:3-slim"),
            ("ARG V='3.13' W=$V", "python:${W}", "python:3.13"),
            ("ARG V", "python:${V:-3}", "python:3"),
            ("ARG V=", "python:${V:-3}", "python:3"),
            ("ARG V=", "python${V-:3}", "python"),
            ("ARG V=1", "python${V:+-slim}", "python-slim"),
            ("ARG V", "python${V:+-slim}", "python"),
            ("ARG V", "python:${V:-${W:-3}}", "python:3"),
            ("ARG GIVEN=1", "python:$GIVEN", "python:from-outside"),
            ("ARG GIVEN", "python:$GIVEN", "python:from-outside"),
            ("ARG V=1", "a-${TARGETARCH}", "a-${TARGETARCH}"),
            ("ARG V=1", '"python:$V"', "python:1"),
            ("ARG V=python:3.13-trixie", "${V%-trixie}-slim-trixie", "python:3.13-slim-trixie"),
            ("ARG V=1", "a-${TARGETARCH:-amd64}", "a-${TARGETARCH:-amd64}"),
        ],
    )
    def test_base(self, args: str, base: str, expected: str) -> None:
        """ARGs before the first FROM are replaced in it, and so are build arguments for them."""
        assert expected == parse(f"{args}\nFROM {base}", {"GIVEN": "from-outside"}).stages[0].base

    def test_args_of_a_stage(self) -> None:
        """An ARG within a stage changes no FROM."""
        assert parse("ARG V=1\nFROM x\nARG V=2\nFROM a:$V").stages[1].base == "a:1"

    def test_platform(self) -> None:
        """A platform is what the flag says; BuildKit's own ARGs are left as they are where no engine tells them."""
        stages = parse("ARG P=linux/arm64\nFROM --platform=$P a\nFROM --platform=$BUILDPLATFORM a\nFROM a").stages

        assert [stage.platform for stage in stages] == ["linux/arm64", "$BUILDPLATFORM", None]

    @pytest.mark.parametrize(
        ("platform", "build_args", "expected"),
        [
            ("linux/amd64", {}, "linux,amd64,,linux/amd64,amd64"),
            ("linux/arm/v7", {}, "linux,arm,v7,linux/arm/v7,arm"),
            ("linux/arm64", {"TARGETARCH": "s390x"}, "linux,s390x,,linux/arm64,arm64"),
            ("", {"TARGETOS": "linux"}, "linux,$TARGETARCH,$TARGETVARIANT,$BUILDPLATFORM,${BUILDARCH}"),
        ],
    )
    def test_arguments_of_the_platform(self, platform: str, build_args: dict[str, str], expected: str) -> None:
        """They have the engine's values, both those of the build and of the target; a build argument is stronger."""
        text = "FROM $TARGETOS,$TARGETARCH,$TARGETVARIANT,$BUILDPLATFORM,${BUILDARCH}"

        assert parse(text, build_args, platform).stages[0].base == expected

    CHOSEN = """
ARG SYSTEM
FROM a AS tool-linux-amd64
FROM b AS tool-linux-arm64
FROM c AS tool-darwin-amd64
FROM tool-${SYSTEM:-$TARGETOS}-${TARGETPLATFORM##*/} AS tool
FROM d AS unused
FROM e
COPY --from=tool /tool /tool
"""

    @pytest.mark.parametrize(
        ("platform", "build_args", "chosen"),
        [
            ("linux/amd64", {}, "tool-linux-amd64"),
            ("linux/arm64", {}, "tool-linux-arm64"),
            ("linux/amd64", {"SYSTEM": "darwin"}, "tool-darwin-amd64"),
        ],
    )
    def test_stages_chosen_by_the_platform(self, platform: str, build_args: dict[str, str], chosen: str) -> None:
        """A stage whose name is put together from the platform is needed, and those of other platforms are not."""
        parsed = parse(self.CHOSEN, build_args, platform)

        assert [stage.label for stage in parsed.needed(parsed.target())] == [chosen, "tool", "5"]

    GRAPH = """
FROM a AS base
FROM base AS build
RUN --mount=type=bind,from=tools,target=/t --mount=type=cache,target=/c make
FROM t AS tools
FROM lonely AS unused
COPY --from=0 /x /
FROM Base
COPY --from=BUILD /x /
COPY --from=some/image:1 /y /
COPY --from=2 /z /
"""

    def test_dependencies(self) -> None:
        """A stage depends on those that it is FROM, copies from or mounts, by name in any case or by index."""
        parsed = parse(self.GRAPH)

        assert [[used.label for used in parsed.dependencies(stage)] for stage in parsed.stages] == [
            [],
            ["base", "tools"],
            [],
            ["base"],
            ["base", "build", "tools"],
        ]

    @pytest.mark.parametrize(
        ("target", "expected"),
        [
            (None, ["base", "build", "tools", "4"]),
            ("unused", ["base", "unused"]),
            ("TOOLS", ["tools"]),
            ("1", ["base", "build", "tools"]),
        ],
    )
    def test_needed(self, target: str | None, expected: list[str]) -> None:
        """A target needs itself and all that it depends on, near and far, and nothing else."""
        parsed = parse(self.GRAPH)

        assert expected == [stage.label for stage in parsed.needed(parsed.target(target))]

    def test_no_such_target(self) -> None:
        """A target that is not there is refused, and those that are there are named."""
        with pytest.raises(DockerfileError, match=r"no stage 'x' \(its stages: base, build, tools, unused, 4\)"):
            parse(self.GRAPH).target("x")

    def test_what_onbuild_takes_from(self) -> None:
        """What a base asks for by ONBUILD is a dependency of the stage that is FROM it, and not of the base."""
        parsed = parse("FROM x AS t\nFROM x AS a\nONBUILD COPY --from=t /t /t\nFROM a\n")

        assert [[used.label for used in parsed.dependencies(stage)] for stage in parsed.stages] == [
            [],
            [],
            ["t", "a"],
        ]

    def test_circles_end(self) -> None:
        """Stages that need each other do not keep it busy for ever; BuildKit refuses them."""
        parsed = parse("FROM x AS a\nCOPY --from=b / /\nFROM x AS b\nCOPY --from=a / /")

        assert [stage.label for stage in parsed.needed(parsed.target())] == ["a", "b"]

    def test_copied_from(self) -> None:
        """What an instruction copies from is told as it says it, images included."""
        assert copied_from(only("COPY --from=some/image:1 /y /")) == ("some/image:1",)


class TestSteps:
    """BuildKit's numbers; tests/engine/test_build.py compares them with a real engine's."""

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("FROM a\nRUN b\nENV C=1\nCOPY d e\nWORKDIR f\nADD g h\nCMD i", [1, 2, None, 3, 4, 5, None]),
            ("FROM scratch\nCOPY a b", [None, 1]),
            ("FROM x AS a\nRUN b\nFROM a\nRUN c", [1, 2, None, 1]),
            ("FROM x\nWORKDIR /\nWORKDIR ..\nWORKDIR /a\nWORKDIR ..", [1, None, None, 2, None]),
            ("ARG A\nFROM x", [None, 1]),
            ("FROM x AS a\nONBUILD RUN b\nONBUILD ENV C=d\nONBUILD COPY e f\nFROM a\nRUN g", [1] + [None] * 4 + [3]),
        ],
    )
    def test_numbers(self, text: str, expected: list[int | None]) -> None:
        """FROM an image, RUN, COPY, ADD and a WORKDIR that makes a directory count, nothing else."""
        assert expected == [instruction.step for instruction in parse(text).instructions]


class TestErrors:
    """What is no Dockerfile."""

    @pytest.mark.parametrize(
        ("text", "message", "line"),
        [
            ("", "is empty", None),
            ("\n# only this\n\n", "is empty", None),
            ("FROM a\nRUNN b", r"line 2 .*unknown instruction RUNN \(did you mean RUN\?\)", 2),
            ("FROM a\n\u200bRUN b", r"line 2 .*column 1 holds U\+200B \(zero width space\)", 2),
            ("FROM a\n  RUN\u00a0b", r"line 2 .*column 6 holds U\+00A0 \(no-break space\)", 2),
            ("FROM a\n\ufeffrun b", r"line 2 .*column 1 holds U\+FEFF \(zero width no-break space\)", 2),
            ("FROM a\n\u0421OPY b c", r"line 2 .*column 1 holds U\+0421 \(cyrillic capital letter es\)", 2),
            ("FROM a\n \u200b RUN b", r"line 2 .*column 2 holds U\+200B \(zero width space\)", 2),
            ("FROM a\n\0RUN b", r"line 2 .*column 1 holds U\+0000 \(a control character\)", 2),
            ("FROM a\n\u4f60 b", r"line 2 .*column 1 holds U\+4F60", 2),
            ("FROM a\nRUN b\n&& c", "line 3 .*unknown instruction &&", 3),
            ("RUN a\nFROM b", "line 1 .*RUN before the first FROM", 1),
            ("ARG A=1\n", "line 1 .*there is no FROM", 1),
            ("FROM", "line 1 .*FROM takes an image", 1),
            ("FROM a b", "line 1 .*FROM takes an image", 1),
            ("FROM $X", r"line 1 .*\$X is empty", 1),
            ("FROM a\nRUN <<EOF\nb\n", "line 2 .*heredoc EOF never ends", 2),
        ],
    )
    def test_refused(self, text: str, message: str, line: int | None) -> None:
        """What BuildKit would refuse too is refused with its line and a remedy."""
        with pytest.raises(DockerfileError, match=message) as caught:
            parse(text)

        assert (line, True) == (caught.value.line, bool(caught.value.remedy))

    def test_note(self) -> None:
        """The error shows the place."""
        with pytest.raises(DockerfileError) as caught:
            parse("FROM a\nRUN b\nRUNN c\nRUN d\nRUN e\nRUN f")

        assert caught.value.__notes__ == ["  1 │ FROM a\n  2 │ RUN b\n→ 3 │ RUNN c\n  4 │ RUN d\n  5 │ RUN e"]

    def test_harmless(self) -> None:
        """A Dockerfile cannot send commands to the terminal through the error about it."""
        with pytest.raises(DockerfileError) as caught:
            parse("FROM a\n\x1b]0;title\x07\x1b[31mRUNN\x1b[0m c")

        assert "\x1b" not in caught.value.one_line + caught.value.__notes__[0]

    @given(st.text(alphabet="FROMRUN abx\\\n\r\t#='\"<-$`{}[],", max_size=60))
    def test_anything(self, text: str) -> None:
        """Whatever the text, there is a Dockerfile or a DockerfileError, and the lines are those of the text."""
        try:
            parsed = parse(text)
        except DockerfileError:
            return

        assert isinstance(parsed, Dockerfile)
        lines = text.split("\n")
        for instruction in parsed.instructions:
            assert lines[instruction.line - 1].lstrip().upper().startswith(instruction.keyword[0])
            assert instruction.line <= instruction.end_line <= len(lines)


class TestEncodings:
    """In which encodings a Dockerfile may be."""

    @pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"])
    def test_refused(self, encoding: str) -> None:
        """What editors and shells of Windows write is named, with a byte order mark or without one."""
        with pytest.raises(DockerfileError, match=f"encoded in {encoding[:6].upper()}") as caught:
            decoded("# a\nFROM scratch\n".encode(encoding))

        assert "UTF-8" in caught.value.remedy

    @pytest.mark.parametrize(
        ("content", "expected"),
        [
            (b"\xef\xbb\xbfFROM a", "FROM a"),
            (b"FROM a\n# caf\xe9", "FROM a\n# caf\ufffd"),
            ("# \u4f60\nFROM a".encode(), "# \u4f60\nFROM a"),
            (b"", ""),
            (b"F", "F"),
            (b"\0FROM a", "\0FROM a"),
        ],
    )
    def test_read(self, content: bytes, expected: str) -> None:
        """UTF-8 is read with or without its mark; what is none does no harm, as it does none to BuildKit."""
        assert decoded(content) == expected

    @pytest.mark.parametrize("space", ["\u00a0", "\u3000", "\u2028"])
    def test_spaces_before(self, space: str) -> None:
        """A space before an instruction may be any that Unicode calls one: BuildKit takes them off."""
        assert parse(f"FROM a\n{space}RUN b").stages[0].instructions[1].value == "b"


class TestWords:
    """Quotes and variables."""

    @pytest.mark.parametrize(
        ("word", "expected"),
        [  # of BuildKit's own tests: frontend/dockerfile/shell/lex_test.go and envVarTest
            ("${NO:-.}${XY%x}${NO-.}${X+y}", ".xxyy.y"),
            ("${STARS%%a*}|${STARS%y*}|${STARS#?}|${XY##*x}", "|a***y|***yy*|yy"),
            ("${XY#*x*y}${XY#$X}${XY#}${NO%x}", "yxyyxxyy"),
            ("he$1x", "hex"),
            ("he${PWD?}${PWD:?}", "he/home/home"),
            ("he${XXX:-${PWD:-yyy}}xx", "he/homexx"),
            ("he${PWD:+${PWD}:}xx", "he/home:xx"),
            ("\"he'$PWD'\"", "he'/home'"),
            ("'\\$PWD'", "\\$PWD"),
            ("he\\$PWD", "he$PWD"),
            ("${aaa}}", "}"),
        ],
    )
    def test_expanded(self, word: str, expected: str) -> None:
        """A word becomes what BuildKit makes of it."""
        assert expand(word, {"X": "x", "XY": "xxyy", "STARS": "a***yy*", "NULL": "", "PWD": "/home"}) == expected

    @pytest.mark.parametrize(
        "word", ["${}", "${X", "${X^^}", "${X/a/b}", "${NO:?}", "${NO?none}", "${:-a}", "${X:=a}"]
    )
    def test_refused(self, word: str) -> None:
        """What a builder refuses stays as it is: it says itself what is wrong with it."""
        assert expand(word, {"X": "a"}) == word

    def test_unknown(self) -> None:
        """What nobody knows here stays as it is written, with its operator, and the rest is replaced."""
        assert expand("$A-${B:+x}-${C:-$A}-$D", {"A": "1", "B": None, "C": None}) == "1-${B:+x}-${C:-$A}-"

    @pytest.mark.parametrize(
        ("word", "value"),
        [
            ("$X" * 9_000, "a" * 20_000),
            ("${X%%" + "*a" * 50 + "%b}", "a" * 200),
            ("${X%a}", "a" * 2_000),
            ("${X:-" * 5_000 + "}" * 5_000, ""),
        ],
    )
    def test_nothing_takes_long(self, word: str, value: str) -> None:
        """A hostile word is neither expanded without end nor tried in every way."""
        assert len(expand(word, {"X": value})) <= 40_000

    def test_arguments_that_double(self) -> None:
        """ARGs that are each two of the one before do not fill the memory."""
        lines = ["ARG A0=aaaa", *(f"ARG A{n}=$A{n - 1}$A{n - 1}" for n in range(1, 60))]

        assert len(parse("\n".join([*lines, "FROM x:$A59"])).stages[0].base) < 50_000


def test_onbuild_is_asked_of_the_stages_that_are_from_it() -> None:
    """Each instruction comes right after FROM, on its line; of the stage that says so, nothing is asked."""
    text = (
        'FROM a AS x\nONBUILD COPY f /\nONBUILD RUN ["b"]\nONBUILD RUN <<E\nc\nE\nONBUILD NO such\n'
        "FROM x AS y\nRUN z\nFROM y\n"
    )

    stages = parse(text).stages

    assert [[(each.summary, each.line, each.stage, each.step) for each in stage.triggered] for stage in stages] == [
        [],
        [("COPY f /", 8, 1, 1), ('RUN ["b"]', 8, 1, 2), ("RUN <<E", 8, 1, 3)],
        [],
    ]
    assert [each.written_on for each in stages[1].executed] == [8, 2, 3, 4, 9]
    assert stages[1].triggered[2].heredocs[0].content == "c\n"


@pytest.mark.parametrize(
    ("value", "mount"),
    [
        ("target=/x", ("bind", "", "/", "/x")),
        ("type=bind,from=build,source=wheels/,dst=/w", ("bind", "build", "/wheels", "/w")),
        ("type=cache,target=/root/.cache,src=/../a", ("cache", "", "/a", "/root/.cache")),
        ("from=build,src=/a/$B,destination=/c", ("bind", "build", "/a/$B", "/c")),
    ],
)
def test_mounts(value: str, mount: tuple[str, ...]) -> None:
    """Each option has several names; what is not said is BuildKit's default."""
    run = parse(f"FROM a\nRUN --network=none --mount={value} true\n").instructions[1]
    (found,) = run.mounts
    assert (found.kind, found.origin, found.source, found.target) == mount
    assert found.text == value
