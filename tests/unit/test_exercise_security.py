"""Task 6, security, judged from evidence that is written down."""

import base64
import hashlib
from dataclasses import replace

import pytest

from layerlab.errors import Failure
from layerlab.exercise.evidence.facts import Evidence
from layerlab.exercise.tasks.security import judge
from layerlab.exercise.verdict import Finding
from layerlab.service import Process, Running
from layerlab.xray.provenance.file_origins import Origin

from .checker_evidence import BASE_ENVIRONMENT, BUILT, GOOD, SITE, Made, good

ROOT = Process(0, "root", "gunicorn: master [app.wsgi:app]")
USER = Process(10001, "10001", "gunicorn: worker [app.wsgi:app]")
RUN = GOOD.replace("WORKDIR /srv\n", "WORKDIR /srv\nRUN {command}\n")  # line 11; the app is line 12
NPM = f"npm_{'0123456789abcdefghij' * 2}"  # put together here: no scanner takes it for a token of ours
KEY = b"-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQ\n"


def errors(evidence: Evidence) -> list[Finding]:
    result = judge(evidence)
    assert result.status == ("fail" if any(f.level == "error" for f in result.findings) else "pass")
    return [finding for finding in result.findings if finding.level == "error"]


def with_command(command: str) -> Made:
    return good(RUN.format(command=command), app=12)


def test_an_image_whose_user_may_only_read_passes_without_advice() -> None:
    """The worked example's shape has nothing that a finding could be about."""
    result = judge(good().evidence())
    assert (result.id, result.status, result.findings) == (6, "pass", ())


@pytest.mark.parametrize(
    ("text", "processes", "line"),
    [
        (GOOD.replace("USER 10001:10001\n", ""), (ROOT,), 7),
        (GOOD.replace("USER 10001:10001\n", ""), (ROOT, USER), 12),
        (GOOD.replace("10001:10001", "root"), (ROOT, USER), 12),
        (GOOD.replace("10001:10001", "0"), (ROOT, USER), 12),
        (GOOD, (ROOT, USER), 13),
        (GOOD.replace("CMD", 'ENTRYPOINT ["/start"]\nCMD'), (ROOT, USER), 13),
    ],
)
def test_a_process_of_root_fails_on_the_line_that_is_to_blame(
    text: str, processes: tuple[Process, ...], line: int
) -> None:
    """The USER if it says root, what is started if that undoes it or helps in part, the final FROM without a USER."""
    made = good(text)
    (finding,) = errors(made.evidence(made.running(processes=processes)))
    assert finding.line == line
    whose = "1 of 2 processes run" if len(processes) == 2 else "The only process runs"
    assert finding.message.startswith(f"{whose} as root (UID 0): gunicorn: master")


def test_an_entry_point_that_drops_privileges_passes_without_a_user() -> None:
    """What counts is the processes, not the word USER."""
    assert not errors(good(GOOD.replace("USER 10001:10001\n", "")).evidence())


def test_without_a_process_it_is_unknown_whatever_else_is_wrong() -> None:
    """A service that does not stay up cannot be looked at; what else was found is still told."""
    made = good(GOOD.replace("ENV ", 'ENV API_TOKEN="abc" '))
    down = Running(up=False, failure=Failure("dockerfile", "No module app.", 13))
    result = judge(made.evidence(down))
    assert result.status == "unknown"
    assert any("API_TOKEN" in finding.message for finding in result.findings)
    assert any("No process" in finding.message for finding in result.findings)


@pytest.mark.parametrize(
    ("path", "kind", "mode", "fails"),
    [
        ("/srv/app/wsgi.py", "file", 0o666, True),
        ("/srv/app/data", "directory", 0o777, True),
        ("/srv", "directory", 0o777, True),
        (f"{SITE}/flask/core.py", "file", 0o777, True),
        ("/opt/venv/bin/gunicorn", "file", 0o777, True),
        ("/etc/app.conf", "file", 0o646, True),
        ("/usr/local/lib/python3.13/site-packages/x.py", "file", 0o666, True),
        ("/srv/app/cache", "directory", 0o1777, False),
        ("/srv/app/link", "symlink", 0o777, False),
        ("/srv/app/wsgi.py", "file", 0o664, False),
        ("/var/cache/matplotlib", "directory", 0o777, False),
    ],
)
def test_what_everybody_may_change_fails_where_it_matters(path: str, kind: str, mode: int, *, fails: bool) -> None:
    """The app with the folder that holds it, its packages and /etc; no links, no sticky directories."""
    made = good()
    made.file(path, 11, kind=kind, mode=mode)
    found = errors(made.evidence())
    assert [finding.line for finding in found] == ([11] if fails else [])


def test_empty_and_hidden_files_and_the_bases_own_may_be_world_writable() -> None:
    """Nothing is changed by changing them, or the base is as it is."""
    made = good()
    made.file("/srv/app/empty", 11, size=0, mode=0o666)
    made.file("/srv/app/gone.py", 11, mode=0o666, visible=False)
    made.file("/etc/of-base", 0, mode=0o666)
    made.file("/etc/of-base", 11, mode=0o666)
    assert not errors(made.evidence())


def test_an_app_is_found_in_whatever_folder_it_lies() -> None:
    """A folder of another name that holds the app's modules is the app."""
    made = good(app=0)
    made.app(11, "/usr/src/service", mode=0o666)
    (finding,) = errors(made.evidence())
    assert finding.line == 11
    assert "and 3 more" in finding.message


@pytest.mark.parametrize(
    "name",
    [
        "API_TOKEN",
        "DB_PASSWORD",
        "PGPASSWORD",
        "SECRET_KEY",
        "APIKEY",
        "MY_CREDENTIALS",
        "AWS_ACCESS_KEY_ID",
        "apiKey",
    ],
)
def test_a_variable_named_like_a_secret_fails_on_its_line(name: str) -> None:
    """With a value that the image does not have from its base."""
    (finding,) = errors(good(GOOD.replace("ENV ", f'ENV {name}="abc" ')).evidence())
    assert finding.line == 9
    assert name in finding.message
    assert "abc" not in finding.message


@pytest.mark.parametrize(
    "setting",
    [
        "TOKENIZERS_PARALLELISM=false",
        "DB_PASSWORD_FILE=/run/secrets/db",
        "API_TOKEN=",
        'API_TOKEN=""',
        "GPG_KEY=ABCDEF",
        "PYTHONPATH=/srv",
        "MAX_TOKENS=4096",
        "DATABASE_URL=postgresql://db/plots",
    ],
)
def test_a_variable_that_is_no_secret_passes(setting: str) -> None:
    """Words that only hold such a word, files of secrets, and nothing as a value."""
    assert not errors(good(GOOD.replace("ENV ", f"ENV {setting} ")).evidence())


def test_a_variable_of_the_base_does_not_count_unless_it_is_changed() -> None:
    """The base's own GPG_KEY is not the learner's."""
    made = good()
    made.config["Env"] = [*BASE_ENVIRONMENT, "API_KEY=base"]
    evidence = made.evidence()
    assert evidence.image is not None
    kept = replace(evidence.image, base_config={"Env": ["API_KEY=base"]})
    changed = replace(evidence.image, base_config={"Env": ["API_KEY=other"]})
    assert not errors(replace(evidence, image=kept))
    assert errors(replace(evidence, image=changed))


def test_a_variable_that_is_emptied_later_is_still_in_the_history() -> None:
    """The finding is on the line that gave it its value."""
    text = GOOD.replace("WORKDIR /srv\n", "ENV API_TOKEN=abc\nENV API_TOKEN=\nWORKDIR /srv\n")
    made = good(text, app=13)
    made.config["Env"] = [*BASE_ENVIRONMENT, "API_TOKEN="]
    (finding,) = errors(made.evidence())
    assert finding.line == 10
    assert "history" in finding.message


def test_a_build_argument_of_the_final_stage_is_in_the_history() -> None:
    """BuildKit writes the arguments' values before each command that they are set for."""
    text = GOOD.replace("WORKDIR /srv\n", "ARG TOKEN=abc\nRUN curl example.org\nWORKDIR /srv\n")
    made = good(text, app=13)
    made.history = ["ARG TOKEN=abc", "RUN |1 TOKEN=abc /bin/sh -c curl example.org # buildkit"]
    (finding,) = errors(made.evidence())
    assert finding.line == 10
    assert "build argument TOKEN" in finding.message


@pytest.mark.parametrize(
    "command",
    [
        "API_TOKEN=abc curl example.org",
        "export db_password='abc' && ./migrate",
        "true && SECRET_KEY=abc ./setup",
        "echo 'API_TOKEN=abc' > /srv/settings",
        "pip install --index-url https://me:abc@example.org/simple flask",
        f"echo '//registry.example.com/:_authToken={NPM}' > ~/.npmrc && npm ci && rm ~/.npmrc",
        "printf 'machine example.org login me password abc' > ~/.netrc && ./get && rm ~/.netrc",
        "./setup --token=abc",
    ],
)
def test_a_secret_within_a_command_is_in_the_history(command: str) -> None:
    """Whoever has the image can read its commands."""
    (finding,) = errors(with_command(command).evidence())
    assert finding.line == 11


@pytest.mark.parametrize(
    ("instruction", "what"),
    [
        ("ENV CACHE=redis://:abc@redis:6379/0", "login in an address in the variable CACHE"),
        (f"ENV NPM={NPM}", "npm token in the variable NPM"),
        (f"LABEL made-with={NPM}", "npm token in LABEL"),
        ("HEALTHCHECK CMD curl http://me:abc@localhost:5000/status", "login in an address in HEALTHCHECK"),
        ('ENTRYPOINT ["env", "API_TOKEN=abc"]', "value of API_TOKEN in ENTRYPOINT"),
    ],
)
def test_a_credential_counts_whatever_holds_it(instruction: str, what: str) -> None:
    """Each instruction of the final image is in its history, and no name is needed to tell a token or a login."""
    (finding,) = errors(good(GOOD.replace("WORKDIR /srv", f"{instruction}\nWORKDIR /srv"), app=12).evidence())
    assert (finding.line, what in finding.message) == (10, True)
    assert "abc" not in finding.message
    assert NPM not in finding.message


def test_what_a_build_stages_history_holds_does_not_ship() -> None:
    """A token that a build stage uses and does not hand on."""
    text = GOOD.replace("WORKDIR /build", f"RUN NPM_TOKEN={NPM} npm ci")
    assert not errors(good(text).evidence())


@pytest.mark.parametrize(
    "command",
    [
        "API_TOKEN=$(cat /run/secrets/token) curl example.org",
        'API_TOKEN="$TOKEN" curl example.org',
        "python -c 'print(sorted([1], key=abs))'",
        "useradd --system --key UID_MIN=900 service",
        "TOKENIZERS_PARALLELISM=false python -m compileall .",
    ],
)
def test_a_command_that_reads_a_secret_elsewhere_passes(command: str) -> None:
    """A variable, a file, or a word that is no secret."""
    assert not errors(with_command(command).evidence())


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("/srv/.env", b"DEBUG=1\nAPI_TOKEN=abc\n"),
        ("/srv/app/.env.local", b"API_TOKEN=abc\n"),
        ("/srv/prod.env", b"API_TOKEN=abc\n"),
        ("/root/.ssh/id_rsa", KEY),
        ("/srv/app/signing.py", b'KEY = """' + KEY + b'"""\n'),
        ("/srv/app/one_line.py", b'KEY = "-----BEGIN EC PRIVATE KEY-----\\nMHcCAQEEIBvQtestonlytest\\n"\n'),
        ("/srv/app/certificate.txt", b"some text\n-----BEGIN PRIVATE KEY-----\nabc\n"),
        ("/root/.netrc", b"machine example.org login me password abc\n"),
        ("/srv/app/client.py", f"TOKEN = {NPM!r}\n".encode()),
        ("/srv/logins", b"machine example.org login me password abc\n"),
        ("/srv/app/settings.json", b'{"database": "postgresql://service:guess@db/plots"}'),
        ("/etc/pip.conf", b"[global]\nindex-url = https://me:abc@example.org/simple\n"),
        ("/home/app/.npmrc", b"_password = YWJj\n"),
    ],
)
def test_a_file_with_a_secret_fails_also_when_it_is_hidden(path: str, content: bytes) -> None:
    """Its layer stores it, whatever a later line removes."""
    made = with_command(f"rm {path}")
    made.file(path, 8, content=content, origin=Origin("context", "1", 8), removed=11)
    (finding,) = errors(made.evidence())
    assert finding.line == 8
    assert "Line 11 removes that later, but the layer of line 8 still stores it" in finding.message


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("/srv/.env", b"DEBUG=1\nAPI_TOKEN=\n"),
        ("/srv/.env.example", b"API_TOKEN=changeme\n"),
        ("/srv/README", b"postgresql://user:your_password@localhost/db, amqp://user:xxxx@mq, redis://user:dummy@r\n"),
        ("/srv/app/keys.py", b'HEAD = "-----BEGIN PRIVATE KEY-----"\n'),
        (f"{SITE}/tornado/test/test.key", KEY),
        ("/usr/local/lib/python3.13/test/certdata/keycert.pem", KEY),
        ("/usr/share/doc/ssl/key.pem", KEY),
        ("/srv/ca.pem", b"-----BEGIN CERTIFICATE-----\nabc\n"),
        ("/srv/app/empty.env", b""),
        ("/srv/limits.env", b"MAX_TOKENS=4096\nexport API_TOKEN=${TOKEN}\n"),
        ("/etc/pip.conf", b"[global]\nindex-url = https://example.org/simple\n"),
        (f"{SITE}/client/test_login.py", b"URL = 'https://me:abc@example.org'\n"),
    ],
)
def test_a_file_without_a_secret_of_ones_own_passes(path: str, content: bytes) -> None:
    """Examples, code, certificates, and the test data of packages and of Python."""
    made = good()
    made.file(path, 8, content=content, origin=BUILT)
    assert not errors(made.evidence())


def test_a_secret_as_the_default_of_a_build_stages_argument_is_advice() -> None:
    """It does not ship, but it is written down."""
    result = judge(good("ARG X=1\n" + GOOD.replace("WORKDIR /build", "ARG TOKEN=abc"), copied=9, app=12).evidence())
    assert (result.status, [(f.level, f.line) for f in result.findings]) == ("pass", [("advice", 3)])


@pytest.mark.parametrize(
    ("path", "mode", "uid", "fails"),
    [
        ("/usr/bin/sudo", 0o4755, 0, True),
        ("/srv/app/tool", 0o2755, 0, True),
        ("/usr/bin/su", 0o4755, 0, False),
        ("/usr/bin/su", 0o4711, 0, True),
        ("/usr/bin/tool", 0o4755, 10001, False),
        ("/srv/app/data", 0o4644, 0, False),
    ],
)
def test_a_program_that_becomes_root_fails_unless_the_base_has_it(
    path: str, mode: int, uid: int, *, fails: bool
) -> None:
    """Set-user-id or set-group-id root, and executable."""
    made = good()
    made.file("/usr/bin/su", 0, mode=0o4755)
    made.file(path, 8, mode=mode, uid=uid, gid=uid)
    assert [finding.line for finding in errors(made.evidence())] == ([8] if fails else [])


@pytest.mark.parametrize(
    ("path", "list_path", "row", "fails"),
    [
        ("/usr/bin/sudo", "/var/lib/dpkg/info/sudo.md5sums", "{md5}  usr/bin/sudo\n", False),
        ("/usr/bin/sudo", "/var/lib/dpkg/info/sudo.md5sums", "{md5}  bin/sudo\n", False),
        ("/usr/bin/sudo", "/var/lib/dpkg/info/sudo.md5sums", "0" * 32 + "  usr/bin/sudo\n", True),
        ("/usr/bin/tool", "/var/lib/dpkg/info/tool.md5sums", "{md5}  usr/bin/tool\n", True),
        ("/usr/bin/chsh", "/lib/apk/db/installed", "\nF:usr/bin\nR:chsh\na:0:0:4755\nZ:Q1{sha1}\n", False),
        ("/usr/bin/chsh", "/lib/apk/db/installed", "\nF:usr/bin\nR:chsh\nZ:Q1AAAA\n", True),
    ],
)
def test_a_package_may_bring_a_program_that_asks_who_may_become_root(
    path: str, list_path: str, row: str, *, fails: bool
) -> None:
    """Unless it is another than the package's, or one that asks nobody."""
    content = b"program"
    md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
    sha1 = base64.b64encode(hashlib.sha1(content, usedforsecurity=False).digest()).decode()
    made = good()
    made.file(path, 8, content=content, mode=0o4755)
    made.file(list_path, 8, content=row.format(md5=md5, sha1=sha1).encode())
    assert [finding.line for finding in errors(made.evidence())] == ([8] if fails else [])


ROOT = b"root:x:0:0::/root:/bin/sh\n"
SHADOW = b"root:*:20309:0:99999:7:::\n"
SU = b"# comment\nauth sufficient pam_rootok.so\n@include common-auth\n"


@pytest.mark.parametrize(
    ("path", "base", "content", "told"),
    [
        (
            "/etc/sudoers.d/service",
            b"",
            b"service ALL=(ALL) NOPASSWD: ALL\n",
            "the base's: 'service ALL",
        ),
        ("/etc/sudoers", b"Defaults env_reset\n", b"# more\nDefaults   env_reset\nx ALL=ALL\n", "'Defaults"),
        ("/etc/sudoers", b"root ALL=ALL\n", b"# a comment\n\nroot ALL=ALL\n", ""),
        ("/etc/doas.conf", b"", b"permit nopass service\n", "'permit nopass service'"),
        ("/etc/pam.d/su", SU, b"auth sufficient pam_permit.so\n" + SU, "'auth sufficient pam_permit.so'"),
        ("/etc/pam.d/su", SU, b"auth sufficient pam_rootok.so\n", "'@include common-auth'"),
        ("/etc/pam.d/su", SU, SU, ""),
        ("/etc/shadow", SHADOW, b"root::20309:0:99999:7:::\n", "leaves root's password empty"),
        ("/etc/shadow", SHADOW, b"root:$y$j9T$abc:20309:0:99999:7:::\n", "gives root a password"),
        ("/etc/shadow", SHADOW, b"root:!:20400:0:99999:7:::\nservice:!:20309::::::\n", ""),
        ("/etc/passwd", ROOT, b"root::0:0:root:/root:/bin/sh\n", "leaves root's password empty"),
        ("/etc/passwd", ROOT, ROOT + b"service:x:10001:0::/:/bin/false\n", ""),
        ("/etc/passwd", ROOT, ROOT + b"toor:x:0:0::/:/bin/sh\n", "makes toor a second root"),
        ("/etc/passwd", b"", ROOT, ""),
        ("/etc/group", b"sudo:x:27:\n", b"sudo:x:27:app\napp:x:10001:\n", "puts app into the group sudo"),
        ("/etc/group", b"users:x:100:\n", b"users:x:100:app\n", ""),
        ("/etc/ld.so.preload", b"", b"/tmp/evil.so\n", "'/tmp/evil.so'"),
        ("/etc/ld.so.conf.d/app.conf", b"", b"/opt/libraries\n", ""),
    ],
)
def test_what_decides_who_is_root_is_as_in_the_base(path: str, base: bytes, content: bytes, told: str) -> None:
    """But for added users and groups, comments, and folders of libraries that are root's alone."""
    made = good()
    made.file("/tmp", 0, kind="directory", mode=0o1777)
    made.file("/opt/libraries", 8, kind="directory", mode=0o755)
    if base:
        made.file(path, 0, content=base)
    made.file(path, 8, content=content)
    found = errors(made.evidence())
    assert [(finding.line, told in finding.message) for finding in found] == ([(8, True)] if told else [])


def test_the_settings_that_a_package_brings_are_its_own() -> None:
    """Debian's list of packages has their checksums."""
    content = b"%sudo ALL=(ALL:ALL) ALL\n"
    md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
    made = good()
    made.file("/etc/sudoers", 8, content=content)
    made.file("/var/lib/dpkg/status", 8, content=f"Package: sudo\nConffiles:\n /etc/sudoers {md5}\n".encode())
    assert not errors(made.evidence())


@pytest.mark.parametrize(("bits", "told"), [(1 << 7, "the capability cap_setuid"), (1 << 10 | 1 << 13, "")])
def test_a_capability_that_leads_back_to_root_fails(bits: int, told: str) -> None:
    """Ports below 1024 and raw sockets do not."""
    made = good()
    made.file("/usr/local/bin/python3.13", 8, mode=0o755)
    made.final.capabilities["/usr/local/bin/python3.13"] = bits
    found = errors(made.evidence())
    assert [(finding.line, told in finding.message) for finding in found] == ([(8, True)] if told else [])


@pytest.mark.parametrize(
    ("uid", "gid", "mode", "fails"),
    [
        (10001, 0, 0o644, True),
        (0, 10001, 0o664, True),
        (0, 0, 0o664, False),
        (10002, 0, 0o644, False),
        (10001, 0, 0o444, False),
    ],
)
def test_a_list_of_users_that_the_service_may_change_fails(uid: int, gid: int, mode: int, *, fails: bool) -> None:
    """As its owner, or as a member of its group, where a program such as `su` believes what it says."""
    made = good()
    made.file("/etc/passwd", 8, content=ROOT, mode=mode, uid=uid, gid=gid)
    assert [finding.line for finding in errors(made.evidence())] == ([8] if fails else [])
    made.final.base_files.clear()
    assert not errors(made.evidence())


def test_a_hardened_run_that_fails_and_files_of_the_services_user_are_advice() -> None:
    """Both are better style, and never a reason to fail."""
    made = good()
    made.file("/srv/app/own.py", 11, uid=10001)
    result = judge(made.evidence(made.running(hardened=False, hardened_why="Read-only file system: '/srv/x'")))
    assert result.status == "pass"
    assert [(finding.level, finding.line) for finding in result.findings] == [("advice", 11), ("advice", 13)]
    assert "Read-only file system" in result.findings[1].message
    silent = judge(made.evidence(made.running(seconds=None, hardened=False, hardened_why="port 5001")))
    assert "port 5001" not in " ".join(finding.message for finding in silent.findings)
