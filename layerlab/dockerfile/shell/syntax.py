"""The words, operators and redirections of a shell script, each character read once.

It is told apart what a POSIX shell or bash would tell apart: quotes, escapes, comments, variables, command
substitutions, heredocs. Whatever never ends, such as an open quote, ends with the text: nothing here raises.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from layerlab.dockerfile import words as dockerfile_words

_TEXT: Final = re.compile(r"""[^\s'"\\$`;&|<>()]+""")
_TEXT_IN_QUOTES: Final = re.compile(r'[^"\\$`]+')
_BLANK: Final = re.compile(r"[ \t\r\v\f]+|#[^\n]*|\\\r?\n")
_NAME: Final = re.compile(r"[A-Za-z_]\w*|[0-9@*#?$!-]")
_OPERATOR: Final = re.compile(r"&&|\|\||;;&|;;|;&|\|&|[;&|()\n]")
_REDIRECTION: Final = re.compile(r"\d{0,3}(<<<|<<-|<<|<&|<>|>>|>&|>\||<|>)|&>>|&>")
_BRACED: Final = re.compile(r"([A-Za-z_]\w*|[0-9@*])(?:(:?[-+=?])(.*))?", re.DOTALL)
_LONGEST_VALUE: Final = 20_000


@dataclass(frozen=True)
class Part:
    """A part of a word.

    Attributes:
        kind: ``text``; ``variable``, with what stands behind the dollar; ``command``, the script of a command
            substitution; ``process``, the script of ``<(...)``.
        text: See there.
        quoted: Whether it stands in quotes (or behind a backslash).
    """

    kind: Literal["text", "variable", "command", "process"]
    text: str
    quoted: bool


@dataclass(frozen=True)
class Word:
    """A word, in parts."""

    parts: tuple[Part, ...]

    @property
    def literal(self) -> str:
        """The word if it is plain text without quotes, as a keyword must be; else nothing."""
        return "".join(part.text for part in self.parts if part.kind == "text" and not part.quoted) * self._is_plain

    @property
    def _is_plain(self) -> bool:
        return all(part.kind == "text" and not part.quoted for part in self.parts)

    @property
    def scripts(self) -> tuple[str, ...]:
        """The scripts that are run to make the word."""
        return tuple(part.text for part in self.parts if part.kind in {"command", "process"})

    def value(self, values: Mapping[str, str]) -> str:
        """The word with its variables replaced; unknown ones and command substitutions stay as they are written."""
        return "".join(_value(part, values) for part in self.parts)[:_LONGEST_VALUE]

    def fields(self, values: Mapping[str, str]) -> list[str]:
        """The same, and where an unquoted variable holds spaces, the words that come of it."""
        found: list[str] = []
        open_field: str | None = None
        for part in self.parts:
            value = _value(part, values)[:_LONGEST_VALUE]
            if part.kind == "variable" and (not part.quoted or part.text == "@") and not value.startswith("$"):
                pieces = value.split()
                if pieces:
                    open_field = (open_field or "") + pieces[0]
                    for piece in pieces[1:]:
                        found.append(open_field)
                        open_field = piece
            else:
                open_field = (open_field or "") + value
        return found if open_field is None else [*found, open_field]


@dataclass(frozen=True)
class Operator:
    """What stands between two commands: ``&&``, ``|``, ``;``, a newline, a parenthesis ..."""

    text: str


@dataclass(frozen=True)
class Redirection:
    """Where input comes from or output goes.

    Attributes:
        operator: Such as ``<``, ``>>`` or ``<<``; without the number before it.
        target: The file, or the word that ends a heredoc.
        content: Of a heredoc (or of a ``<<<``); empty if there is none.
    """

    operator: str
    target: Word
    content: str = ""


Token = Word | Operator | Redirection


def _value(part: Part, values: Mapping[str, str]) -> str:
    if part.kind != "variable":
        return {"text": part.text, "command": f"$({part.text})", "process": f"<({part.text})"}[part.kind]
    found = _BRACED.fullmatch(part.text)
    if not found:  # such as ${X%.*} or ${#X}: what comes of it is not worked out
        return f"${{{part.text}}}"
    name, operator, other = found[1], found[2] or "", found[3] or ""
    value = values.get(name)
    is_set = bool(value) if operator.startswith(":") else value is not None
    if operator.endswith("+") and not is_set:
        return ""
    if operator and is_set == operator.endswith("+"):
        return dockerfile_words.expand(other, values)
    if value is None:
        return f"${name}" if name == part.text else f"${{{part.text}}}"
    return value


def tokens(text: str) -> list[Token]:
    """The tokens of a script; a redirection comes with its target, a heredoc with its content."""
    found: list[Token] = []
    open_heredocs: list[int] = []  # where they stand in `found`: their content begins on the next line
    position = 0
    while position < len(text):
        if blank := _BLANK.match(text, position):  # or a comment
            position = blank.end()
        elif not text.startswith(("<(", ">("), position) and (sign := _REDIRECTION.match(text, position)):
            target, position = _word(text, _after_blanks(text, sign.end()))
            operator = sign[1] or sign[0]
            if operator in {"<<", "<<-"}:
                open_heredocs.append(len(found))
            found.append(Redirection(operator, target, target.value({}) if operator == "<<<" else ""))
        elif sign := _OPERATOR.match(text, position):
            position = sign.end()
            if sign[0] == "\n":
                position = _fill_heredocs(text, position, found, open_heredocs)
                open_heredocs = []
            found.append(Operator(sign[0]))
        else:
            word, position = _word(text, position)
            found.append(word)
    return found


def _fill_heredocs(text: str, position: int, found: list[Token], places: list[int]) -> int:
    """Give the heredocs their contents, which begin here; where the script goes on."""
    for place in places:
        heredoc = found[place]
        if isinstance(heredoc, Redirection):
            content, position = _heredoc(text, position, heredoc.target.value({}), strip=heredoc.operator == "<<-")
            found[place] = Redirection(heredoc.operator, heredoc.target, content)
    return position


def _after_blanks(text: str, position: int) -> int:
    while position < len(text) and text[position] in " \t":
        position += 1
    return position


def _heredoc(text: str, position: int, end: str, *, strip: bool) -> tuple[str, int]:
    begin = position
    lines: list[str] = []
    while position < len(text):
        stop = text.find("\n", position)
        stop = len(text) if stop < 0 else stop
        line = text[position:stop].rstrip("\r")
        position = stop + 1
        line = line.lstrip("\t") if strip else line
        if line == end:
            return "".join(f"{each}\n" for each in lines), position
        lines.append(line)
    return text[begin:], len(text)


def _word(text: str, position: int) -> tuple[Word, int]:
    """The word that begins here, and where it ends; at least one character is taken."""
    begin = position
    parts: list[Part] = []
    while position < len(text):
        character = text[position]
        if found := _TEXT.match(text, position):
            parts.append(Part("text", found[0], quoted=False))
            position = found.end()
        elif character == "'":
            end = text.find("'", position + 1)
            end = len(text) if end < 0 else end
            parts.append(Part("text", text[position + 1 : end], quoted=True))
            position = end + 1
        elif character == '"':
            position = _quoted(text, position + 1, parts)
        elif character == "\\":
            if text[position + 1 : position + 2] != "\n":
                parts.append(Part("text", text[position + 1 : position + 2], quoted=True))
            position += 2
        elif character == "`" or (character == "$" and position + 1 < len(text)):
            part, position = _dollar(text, position, quoted=False)
            parts.append(part)
        elif text.startswith(("<(", ">("), position):
            end = _closing(text, position + 1)
            parts.append(Part("process", text[position + 2 : end], quoted=False))
            position = end + 1
        elif character == "$":
            parts.append(Part("text", character, quoted=False))
            position += 1
        else:
            break
    return Word(tuple(parts)), max(position, begin + 1) if parts else position


def _quoted(text: str, position: int, parts: list[Part]) -> int:
    """Take in what stands in double quotes; the position behind them."""
    parts.append(Part("text", "", quoted=True))  # so that "" is a word
    while position < len(text):
        character = text[position]
        if found := _TEXT_IN_QUOTES.match(text, position):
            parts.append(Part("text", found[0], quoted=True))
            position = found.end()
        elif character == '"':
            return position + 1
        elif character == "\\":
            following = text[position + 1 : position + 2]
            kept = "" if following == "\n" else following if following in '$`"\\' else "\\" + following
            parts.append(Part("text", kept, quoted=True))
            position += 2
        else:
            part, position = _dollar(text, position, quoted=True)
            parts.append(part)
    return position


def _dollar(text: str, position: int, *, quoted: bool) -> tuple[Part, int]:
    """What a dollar or a backquote begins, and where it ends."""
    if text[position] == "`":
        end = position + 1
        while end < len(text) and text[end] != "`":
            end += 2 if text[end] == "\\" else 1
        return Part("command", text[position + 1 : end].replace("\\`", "`"), quoted), end + 1
    following = text[position + 1 : position + 2]
    if following == "(":
        end = _closing(text, position + 1)
        return Part("command", text[position + 2 : end], quoted), end + 1
    if following == "{":
        end = _closing(text, position + 1, "{", "}")
        return Part("variable", text[position + 2 : end], quoted), end + 1
    if following == "'" and not quoted:
        end = position + 2
        while end < len(text) and text[end] != "'":
            end += 2 if text[end] == "\\" else 1
        return Part("text", text[position + 2 : end].replace("\\n", "\n").replace("\\t", "\t"), quoted=True), end + 1
    if found := _NAME.match(text, position + 1):
        return Part("variable", found[0], quoted), found.end()
    return Part("text", "" if following == '"' and not quoted else "$", quoted), position + 1


def _closing(text: str, position: int, opening: str = "(", closing: str = ")") -> int:
    """Where the parenthesis that opens here closes, those in quotes not counted; else the end of the text."""
    depth = 0
    while position < len(text):
        character = text[position]
        if character == "\\":
            position += 1
        elif character == "'" and opening == "(":
            end = text.find("'", position + 1)
            position = len(text) if end < 0 else end
        elif character == opening:
            depth += 1
        elif character == closing:
            depth -= 1
            if depth == 0:
                return position
        position += 1
    return len(text)
