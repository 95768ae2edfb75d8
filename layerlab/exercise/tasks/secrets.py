"""Secrets in an image: in its environment, its history and its files.

A variable is one by its name and value, a token by its format.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

from layerlab.exercise.evidence.facts import Evidence, File, Snapshot
from layerlab.exercise.tasks import judging

PRIVATE_KEY: Final = "the private key"

_WORDS: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
# What a name ends in, it names: with these, the secret itself.
_PASSWORD: Final = re.compile(r".*(?:PASSWORDS?|PASSWD|PASSPHRASE|PWORD|(?:DB|REQUIRE|SSH|USER)PASS)|.+PWD")
_SECRET: Final = re.compile(
    r".*(?:SECRETS?|TOKENS?|CREDENTIALS?|CREDS|ACCESSKEYID|ROOTTOKENID|ERLANGCOOKIE"
    r"|(?:ACCESS|API|AUTH|ENCRYPTION|LICENSE|MASTER|PRIVATE|SECRET|SIGNING|SSH)KEYS?)"
)
# At the end of a name: which one of several it is.
_WHICH: Final = frozenset(
    {"ADMIN", "BASE", "CURRENT", "DATABASE", "DB", "DEFAULT", "DEV", "DEVELOPMENT", "FALLBACKS", "LOCAL", "NEW"}
    | {"OLD", "PROD", "PRODUCTION", "ROOT", "STAGING", "TEST", "V"}
)
# Anywhere in a name: whose keys anybody may have, or never sees.
_PUBLIC: Final = frozenset({"PUBLIC", "PUBLISHABLE"})
_PUBLIC_KEYS: Final = frozenset({"APT", "CACHE", "GPG", "HOST", "KMS", "PGP", "SITE", "VAPID"})

_NUMBER: Final = re.compile(r"(?:[-+]?\d[\d_.,]*+\s?(?:[num]?s|[kmg]i?b?|[bhdwy%])?)+", re.IGNORECASE)
_NO_SECRET: Final = re.compile(
    r"true|false|yes|no|on|off|[yn]|none|null|nil|auto|optional|required|always|never|(?:en|dis)abled?"
    r"|[a-z][a-z0-9+.-]*://\S*|(?:arn|env|file|op|ssm|vault):\S*"  # where it is
    r"|[\w.-]+\.(?:asc|cer|cfg|conf|crt|env|gpg|ini|jks|json|key|p12|pem|pfx|pub|py|sh|toml|txt|xml|ya?ml)"
    r"|<.*>|\[\w*\]|\{\{.*\}\}|\{[\w.]*\}|%\w+%?|\*+|x{3,}|\.{3,}|your[-_ ].*|replace[-_ ]?me"  # to be filled in
    r"|(?:.*[^a-z])?(?:dummy|fake|placeholder|unused)(?:[^a-z].*)?"
    r"|(?:ssh|ecdsa|sk)-[\w@.-]+ AAAA.*|-----BEGIN (?:PUBLIC KEY|CERTIFICATE).*"
    r"|(?-i:(?:0x)?[0-9A-F]{40})",  # a public key's fingerprint
    re.IGNORECASE | re.DOTALL,
)
_PATH: Final = re.compile(r"(?:~|\.{1,2}|[A-Za-z]:)?(?:[/\\][\w.@+ -]*)+")
_FOLDERS: Final = re.compile(r"/(?:app|config|data|dev|etc|home|mnt|nix|opt|proc|root|run|srv|tmp|usr|var)/")
_NAME: Final = re.compile(r"[a-z_][a-z\d_-]*(?:[./][a-z\d_-]+)+")  # of a module, or of an entry in a store of secrets
_WORD: Final = re.compile(r"[A-Za-z]*\d{0,4}|\d+[A-Za-z]{0,3}")
_PAIR: Final = re.compile(r"[\w.@-]+[:/][^\s:/]+")

_CRYPTED: Final = re.compile(r"\$(?:\d[a-z]?|g?y|argon2\w+|scrypt)\$")
_REFERENCE: Final = re.compile(r"`|\$[\w{(@*]")
_ASSIGNMENT: Final = re.compile(
    r"""(?:^|\\n|[\s;&|("',-])([A-Za-z_][\w-]{0,100})=("[^"]*"|'[^']*'|[^\s;&|()"',\[\]\\]*+)(?![(\[])"""
)

_BUILD_ARGUMENTS: Final = re.compile(r"^(?:RUN )?\|(\d+) (.*)", re.DOTALL)
_LARGEST: Final = 1_000_000  # bytes of a file
_MOST: Final = 20  # that are told of one command
# What packages own; Python's standard library and its tests among it.
_PACKAGED: Final = re.compile(
    r"/(?:site|dist)-packages/|/node_modules/|/lib/python3[\d.]*t?/"
    r"|^/usr/(?:lib|lib64|libexec|share|include|bin|sbin)/|^/(?:lib|bin|sbin)/|^/var/lib/(?:dpkg|apt)/|^/var/cache/"
)
_PROGRAM: Final = (".pyc", ".so", ".whl", ".gz", ".png")
_EXAMPLES: Final = ("example", "sample", "template", "dist", "md")
_LOGINS: Final = frozenset({".netrc", ".pypirc", ".git-credentials", ".pgpass"})
# Files whose lines give values to names.
_SETTINGS: Final = re.compile(r"(?:\.env|/\.(?:boto|my\.cnf|npmrc|s3cfg)|/\.aws/credentials|/pip\.conf)$")
_SETTING: Final = re.compile(r"^[ \t]*(?:export[ \t]+)?([\w.-]+)[ \t]*=[ \t]*(.*)$", re.MULTILINE)


@dataclass(frozen=True)
class Found:
    """A credential in a text."""

    what: str  # such as `the GitHub token`
    text: str  # what it was found by, its name or form included
    value: str  # the secret itself


def is_secret(name: str, value: str) -> bool:
    """Whether a variable of this name and value holds a secret.

    >>> is_secret("DB_PASSWORD", "hunter2"), is_secret("DB_PASSWORD", "/run/secrets/db")
    (True, False)
    >>> is_secret("STRIPE_KEY", "0b5c9e2f77aa"), is_secret("PRIMARY_KEY", "id")
    (True, False)
    """
    value = value.strip().strip("\"'")
    parts = [part.upper() for part in _WORDS.findall(name)]
    while parts and (parts[-1] in _WHICH or parts[-1].isdigit()):
        parts.pop()
    if not value or not parts or _PUBLIC.intersection(parts) or _says_it_is_none(value):
        return False
    end = "".join(parts[-3:])
    if _PASSWORD.fullmatch(end) or parts[-1] == "PASS":
        return True
    if _SECRET.fullmatch(end):
        return _looks_random(value) or not _NAME.fullmatch(value)
    if parts[-1] not in {"KEY", "KEYS", "AUTH"} or _PUBLIC_KEYS.intersection(parts):  # the value decides
        return False
    return _looks_random(value) or (parts[-1] == "AUTH" and bool(_PAIR.fullmatch(value)))


def _says_it_is_none(value: str) -> bool:
    """Whether a value is plainly none: a flag, a number, a path, an address, a file's name, or to be filled in."""
    if _PATH.fullmatch(value):
        return bool(_FOLDERS.match(value)) or not _looks_random(value)
    return bool(_NUMBER.fullmatch(value) or _NO_SECRET.fullmatch(value))


def _looks_random(value: str) -> bool:
    """Whether letters and digits are mixed as in no word, number or version."""
    parts = re.split(r"[^A-Za-z0-9]+", value)
    return not re.search(r"\s", value) and any(len(part) >= 8 and not _WORD.fullmatch(part) for part in parts)


def is_reference(value: str) -> bool:
    """Whether a value in a command, or in a file that is read by one, is only known when it runs."""
    value = value.strip("\"'")
    return bool(_REFERENCE.search(value)) and not _CRYPTED.match(value)


def assignments(command: str) -> Iterator[tuple[str, str]]:
    """The variables and options that a command gives a secret as their value, with it."""
    for name, value in _ASSIGNMENT.findall(command):
        if is_secret(name, value) and not is_reference(value) and name != value:
            yield name, value


# How a token begins and goes on, as its issuer documents it (in brackets: where). Lengths are the least there were.
_TOKENS: Final = (
    # [docs.github.com: GitHub's token formats]
    ("the GitHub token", ("gho_", "ghp_", "ghr_", "ghs_", "ghu_"), r"[A-Za-z0-9]{20,}"),
    ("the GitHub token", ("github_pat_",), r"\w{22,}"),
    (  # [docs.gitlab.com: token prefixes]
        "the GitLab token",
        ("glagent-", "glcbt-", "gldt-", "gloas-", "glpat-", "glptt-", "glrt-", "glrtr-", "glsoat-"),
        r"[\w.-]{20,}",
    ),
    ("the npm token", ("npm_",), r"[A-Za-z0-9]{20,}"),  # [github.blog: npm's new access token format]
    ("the PyPI token", ("pypi-AgE",), r"[\w-]{16,}"),  # [docs.pypi.org: secret reporting; a macaroon begins so]
    ("the AWS access key", ("AKIA", "ASIA"), r"[A-Z0-9]{16}(?!\w)"),  # [docs.aws.amazon.com: unique identifiers]
    (  # [docs.slack.dev: tokens, incoming webhooks]
        "the Slack token",
        ("xapp-", "xoxa-", "xoxb-", "xoxe-", "xoxe.", "xoxo-", "xoxp-", "xoxr-", "xoxs-"),
        r"[\w.-]{10,}",
    ),
    ("the Slack webhook", ("hooks.slack.com/services/", "hooks.slack.com/triggers/"), r"[\w/+]{20,}"),
    ("the JSON Web Token", ("eyJ",), r"[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]{16,}"),  # [RFC 7519: base64 of {" and so on]
    ("the Docker Hub token", ("dckr_oat_", "dckr_pat_"), r"[\w-]{20,}"),  # [docs.docker.com: access tokens]
    ("the Hugging Face token", ("hf_",), r"[A-Za-z]{30,}"),  # [huggingface.co: user access tokens]
    # [docs.stripe.com: API keys]
    ("the Stripe key", ("rk_live_", "rk_test_", "sk_live_", "sk_test_"), r"[A-Za-z0-9]{16,}"),
)
# What it is, texts without any of which there is none, and how it is written: its group `value`, or all of it.
_FORMS: Final = (
    (
        PRIVATE_KEY,  # at the beginning of a line, or within a program with something of the key behind it
        ("-----BEGIN ",),
        re.compile(
            r"(?:^-----BEGIN (?:[A-Z0-9]{1,20} ){0,4}PRIVATE KEY(?: BLOCK)?-----"
            r"|-----BEGIN (?:[A-Z0-9]{1,20} ){0,4}PRIVATE KEY(?: BLOCK)?-----[\s\\nr\"']{1,20}[A-Za-z0-9+/=:,-]{16})",
            re.MULTILINE,
        ),
    ),
    *(
        (what, begins, re.compile(rf"(?:(?<![\w.])|(?<=\\n))(?:{'|'.join(map(re.escape, begins))}){rest}"))
        for what, begins, rest in _TOKENS
    ),
    (
        "the login in an address",
        ("://",),
        re.compile(r"://[^/\s:@\"'<>{}()\[\]]{0,100}:(?P<value>[^/\s@\"'<>{}()]{1,300})@(?!sha256:)"),
    ),
    (
        "the login of a .netrc",  # echo and printf write line ends as escapes
        ("password",),
        re.compile(
            r"\blogin(?:\s|\\n){1,20}[^\s\\]{1,200}(?:\s|\\n){1,20}password(?:\s|\\n){1,20}(?P<value>[^\s\"'\\;&|]{1,500})"
        ),
    ),
)


def credentials(text: str) -> Iterator[Found]:
    """Tokens in well-known formats, private keys and logins in addresses, each part of a text once."""
    spans: list[tuple[int, int]] = []
    for what, literals, pattern in _FORMS:
        for match in pattern.finditer(text) if any(literal in text for literal in literals) else ():
            (begin, end), value = match.span(), match.groupdict().get("value") or match[0]
            is_new = not any(begin < other_end and other < end for other, other_end in spans)
            if is_new and not is_reference(value) and not _NO_SECRET.fullmatch(value):
                spans.append((begin, end))
                yield Found(what, match[0], value)


@dataclass(frozen=True)
class Secret:
    """A secret that whoever has the image can read."""

    what: str  # such as `the variable API_TOKEN`
    where: str  # where it can be read, as the end of a sentence
    line: int | None  # of the instruction that put it there
    files: tuple[File, ...] = ()  # the files that hold it, if any do


def secrets(evidence: Evidence) -> Iterator[Secret]:
    """All that are found, each once."""
    found: dict[tuple[str, int | None], Secret] = {}
    for secret in (*_environment(evidence), *_history(evidence), *_files(evidence.image)):
        found.setdefault((secret.what, secret.line), secret)
    yield from found.values()


def build_arguments(evidence: Evidence) -> Iterator[tuple[str, int]]:
    """Names and lines of ARGs with a secret as their default, in stages that do not ship."""
    final = {each.line for each in evidence.instructions}
    for each in evidence.dockerfile.instructions:
        if each.keyword == "ARG" and each.line not in final:
            for word in each.arguments:
                name, _, value = word.partition("=")
                if _of_variable("build argument", name, value) and not is_reference(value):
                    yield name, each.line


def _of_variable(kind: str, name: str, value: str) -> str | None:
    """What a variable gives away: itself, a credential within its value, or nothing."""
    if is_secret(name, value):
        return f"the {kind} {name}"
    return next((f"{found.what} in the {kind} {name}" for found in credentials(value)), None)


def _environment(evidence: Evidence) -> Iterator[Secret]:
    inherited = set(_variables(evidence.image.base_config).items())
    for name, value in _variables(evidence.image.config).items():
        what = _of_variable("variable", name, value)
        if what and (name, value) not in inherited:
            line = _setting(evidence, name, value, "ENV")
            yield Secret(what, "in the image's environment, which `docker inspect` prints", line)


def _variables(config: Mapping[str, Any]) -> dict[str, str]:
    return dict(str(variable).partition("=")[::2] for variable in config.get("Env") or ())


def _setting(evidence: Evidence, name: str, value: str, keyword: str) -> int | None:
    """The line of the last instruction of the final image that sets a variable, to this value if one does."""
    word = re.compile(rf"(?<!\w){re.escape(name)}(?!\w)")
    found = [each for each in reversed(evidence.instructions) if each.keyword == keyword]
    found = [each for each in found if word.search(each.text)]
    found.sort(key=lambda each: value.strip("\"'") not in each.text)
    return found[0].line if found else None


def _history(evidence: Evidence) -> Iterator[Secret]:
    where = "in the image's history, which `docker history` prints"
    inherited = set(_variables(evidence.image.base_config).items())
    for entry in evidence.image.history:
        arguments = _BUILD_ARGUMENTS.match(entry)
        keyword, _, rest = entry.partition(" ")
        if arguments or keyword in {"ARG", "ENV"}:
            setter = "ENV" if keyword == "ENV" else "ARG"
            for name, value in _pairs(arguments[2] if arguments else rest):
                what = _of_variable("variable" if setter == "ENV" else "build argument", name, value)
                if what and (name, value) not in inherited:
                    yield Secret(what, where, _setting(evidence, name, value, setter))
        if arguments or keyword not in {"ARG", "ENV"}:
            text = _command(arguments[2], int(arguments[1])) if arguments else entry
            yield from _credentials_in(evidence, text, f"in {keyword if keyword.isupper() else 'RUN'}", where)


def _credentials_in(evidence: Evidence, command: str, instruction: str, where: str) -> Iterator[Secret]:
    values = []
    for name, value in islice(assignments(command), _MOST):
        values.append(value)
        yield Secret(f"the value of {name} {instruction}", where, _line_with(evidence, f"{name}="))
    for found in islice(credentials(command), _MOST):
        if not any(found.value in value for value in values):
            yield Secret(f"{found.what} {instruction}", where, _line_with(evidence, found.text, found.value))


def _line_with(evidence: Evidence, *texts: str) -> int | None:
    """The line of the last instruction of the final image that holds the first of these texts that any holds."""
    instructions = evidence.instructions
    return next((each.line for text in texts for each in reversed(instructions) if text in each.text), None)


def _pairs(text: str) -> Iterator[tuple[str, str]]:
    before_shell = re.split(r" /bin/\w+ -", text, maxsplit=1)[0]
    for found in re.finditer(r"""(?:^|\s)([A-Za-z_]\w*)=("[^"]*"|'[^']*'|\S*)""", before_shell):
        yield found[1], found[2]


def _command(text: str, arguments: int) -> str:
    """What a RUN ran, without its build arguments, and without the shell if there is one."""
    command = re.sub(r"^.*? /bin/\w+ (?:-\w+ )+", "", text, flags=re.DOTALL)
    return command if command != text else text.split(" ", arguments)[-1]


def _files(snapshot: Snapshot) -> Iterator[Secret]:
    packages = judging.package_folders(snapshot)
    for file in snapshot.files:
        if file.kind != "file" or not file.bytes:
            continue
        # A package may bring a key for its tests; what the build context brings is nobody's package.
        is_brought = snapshot.origins(file).kind == "context" if file.path.startswith(packages) else True
        what = _kind_of_file(snapshot, file) if is_brought else None
        if what:
            yield Secret(f"{what} {file.path}", "in the image's files", snapshot.line_of(file), (file,))


def _kind_of_file(snapshot: Snapshot, file: File) -> str | None:
    name = posixpath.basename(file.path)
    if _PACKAGED.search(file.path):
        return None
    if name in _LOGINS:
        return "the file of logins"
    is_read = file.bytes <= _LARGEST and not name.endswith(_PROGRAM)
    text = (snapshot.contents(file.layer, file.path) or b"").decode(errors="replace") if is_read else ""
    if found := next(credentials(text), None):
        return found.what if found.what == PRIVATE_KEY else f"{found.what} in"
    is_settings = _SETTINGS.search(file.path) or (name.startswith(".env.") and not name.endswith(_EXAMPLES))
    settings = _SETTING.findall(text) if is_settings else []
    has_secrets = any(is_secret(key, value) and not is_reference(value) for key, value in settings)
    return "the file of variables" if has_secrets else None
