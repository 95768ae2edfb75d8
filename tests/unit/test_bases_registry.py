"""What `layerlab.bases.registry` makes of names and of the engine's messages."""

import pytest

from layerlab.bases import registry
from layerlab.engine.symptoms import NoRegistry, not_pulled, why_not_pulled
from layerlab.errors import BaseImageError, RegistryRefused, UsageError

HUB = "https://registry-1.docker.io/v2/"
AUTH = "https://auth.docker.io/token?scope=repository%3Alibrary%2Fpython%3Apull&service=registry.docker.io"
RESOLVE = 'failed to resolve reference "docker.io/library/python:3.13": '
MANIFEST = f"{HUB}library/python/manifests/3.13"

# Engines 17 to 29 said these, in the classic image store and (those with "failed to resolve") in containerd's.
UNREACHABLE = [
    f'Get "{HUB}": dial tcp: lookup registry-1.docker.io on 10.255.255.53:53: no such host',
    f"Get {HUB}: dial tcp: lookup registry-1.docker.io on 192.168.65.1:53: server misbehaving",
    f"Get {HUB}: dial tcp: lookup registry-1.docker.io on 10.0.2.3:53: read udp 10.0.2.15:54567->10.0.2.3:53: "
    "i/o timeout",
    f"Get {HUB}: dial tcp: lookup registry-1.docker.io on [::1]:53: read udp [::1]:59801->[::1]:53: read: "
    "connection refused",
    f'Get "{HUB}": dial tcp: lookup registry-1.docker.io: Temporary failure in name resolution',
    'Get "http://127.0.0.1:39571/v2/": dial tcp 127.0.0.1:39571: connect: connection refused',
    f'Get "{HUB}": dial tcp 3.94.224.37:443: connect: no route to host',
    f'Get "{HUB}": dial tcp [2600:1f18:2148:bc02::1]:443: connect: network is unreachable',
    f'Get "{HUB}": dial tcp 3.94.224.37:443: i/o timeout',
    f"Get {HUB}: dial tcp 100.24.246.89:443: connectex: No connection could be made because the target machine "
    "actively refused it.",
    f'Get "{HUB}": net/http: request canceled while waiting for connection (Client.Timeout exceeded while awaiting '
    "headers)",
    f'Get "{HUB}": context deadline exceeded (Client.Timeout exceeded while awaiting headers)',
    f'Get "{HUB}": context deadline exceeded',
    f"Get {HUB}: net/http: TLS handshake timeout",
    f"Get {HUB}: EOF",
    f'Get "{HUB}": read tcp 10.0.2.15:41234->3.94.224.37:443: read: connection reset by peer',
    f"Get {HUB}: proxyconnect tcp: dial tcp :0: connect: connection refused",
    f"Get {HUB}: proxyconnect tcp: tls: first record does not look like a TLS handshake",
    f'Get "{HUB}": proxyconnect tcp: dial tcp: lookup proxy.example on 10.0.0.1:53: no such host',
    f'Get "{HUB}": Forbidden',
    f'Get "{HUB}": Proxy Authentication Required',
    f'Get "{HUB}": Bad Gateway',
    f'{RESOLVE}failed to do request: Head "{MANIFEST}": dial tcp: lookup registry-1.docker.io: no such host',
    f'{RESOLVE}failed to do request: Head "{MANIFEST}": Forbidden',
    f'{RESOLVE}failed to do request: Head "{MANIFEST}": net/http: TLS handshake timeout',
    f'{RESOLVE}failed to authorize: failed to fetch anonymous token: Get "{AUTH}": EOF',
    f'{RESOLVE}failed to authorize: failed to fetch anonymous token: Get "{AUTH}": dial tcp 199.59.149.230:443: '
    "connect: connection refused",
]
REFUSED = {
    "login": [
        "pull access denied for nobody/nothing, repository does not exist or may require 'docker login': denied: "
        "requested access to the resource is denied",
        "pull access denied, repository does not exist or may require authorization: server message: "
        "insufficient_scope: authorization failed",
        "Head \"https://registry.example/v2/python/manifests/3.13\": unauthorized: authentication required",
        'Head "https://registry.example/v2/python/manifests/3.13": no basic auth credentials',
        f"Get {HUB}: unauthorized: incorrect username or password",
        "error parsing HTTP 403 response body: invalid character '<' looking for beginning of value: "
        '"<html>\\r\\n<head><title>403 Forbidden</title></head>"',
        f"unknown: {RESOLVE}unexpected status from HEAD request to {MANIFEST}: 403 Forbidden",
        f"{RESOLVE}unexpected status code [manifests 3.13]: 401 Unauthorized",
        f"{RESOLVE}failed to authorize: failed to fetch anonymous token: unexpected status from GET request to "
        f"{AUTH}: 401 Unauthorized",
    ],
    "missing": [
        "manifest for python:3.99 not found: manifest unknown: manifest unknown",
        "manifest unknown",
        f"{RESOLVE}docker.io/library/python:3.99: not found",
        f"{RESOLVE}unexpected status from HEAD request to {MANIFEST}: 404 Not Found",
        "error parsing HTTP 404 response body: unexpected end of JSON input: \"\"",
        "unknown: <html><head><title>404 Not here</title></head></html>",
        "unknown: ",
    ],
    "rate": [
        "toomanyrequests: You have reached your pull rate limit. You may increase the limit by authenticating and "
        "upgrading: https://www.docker.com/increase-rate-limit",
        "toomanyrequests: You have reached your unauthenticated pull rate limit. "
        "https://www.docker.com/increase-rate-limit",
        "error pulling image configuration: toomanyrequests: Too Many Requests.",
        f"{RESOLVE}failed to authorize: failed to fetch oauth token: unexpected status from POST request to "
        "https://auth.docker.io/token: 429 Too Many Requests",
        f"failed to copy: httpReadSeeker: failed open: unexpected status code {HUB}library/python/manifests/sha256:"
        "de6e: 429 Too Many Requests - Server message: toomanyrequests: You have reached your pull rate limit.",
        "error parsing HTTP 429 response body: invalid character 'T' looking for beginning of value: "
        '"Too Many Requests (HAP429)"',
    ],
    "server": [
        "received unexpected HTTP status: 503 Service Unavailable",
        "received unexpected HTTP status: 500 Internal Server Error",
        f"{RESOLVE}unexpected status from HEAD request to {MANIFEST}: 502 Bad Gateway",
    ],
    "platform": ["no matching manifest for linux/riscv64 in the manifest list entries"],
}  # fmt: skip
OTHER = {
    "tls": [
        f"Get {HUB}: x509: certificate signed by unknown authority",
        f"Get {HUB}: x509: certificate is valid for FG3K6C3A15800021, not registry-1.docker.io",
        f'{RESOLVE}failed to do request: Head "{MANIFEST}": tls: failed to verify certificate: x509: certificate '
        "has expired or is not yet valid",
        f'Get "{HUB}": remote error: tls: handshake failure',
        'Get "https://registry.example:5000/v2/": http: server gave HTTP response to HTTPS client',
    ],
    "disk": [
        "failed to register layer: Error processing tar file(exit status 1): write /usr/lib/x.so: no space left on "
        "device",
        "write /var/lib/docker/tmp/GetImageBlob123: no space left on device",
    ],
    "unknown": ["invalid reference format", ""],
}


class TestClassify:
    @pytest.mark.parametrize("message", UNREACHABLE)
    def test_no_connection(self, message: str) -> None:
        """A failure of name resolution, of the network, or of a proxy in between is no connection."""
        assert why_not_pulled(message) == "unreachable"

    @pytest.mark.parametrize(
        ("kind", "message"), [(kind, text) for kind, texts in {**REFUSED, **OTHER}.items() for text in texts]
    )
    def test_an_answer(self, kind: str, message: str) -> None:
        """Whatever some server answered is told apart, and is never taken for no connection."""
        assert why_not_pulled(message) == kind


class TestExplain:
    @pytest.mark.parametrize("message", UNREACHABLE)
    def test_no_connection_lets_stand_ins_be_made(self, message: str) -> None:
        """Only where nothing can be connected to, the error is the one after which stand-ins are made."""
        assert isinstance(not_pulled("python:3.13", message), NoRegistry)

    @pytest.mark.parametrize(("kind", "message"), [(kind, text) for kind, texts in REFUSED.items() for text in texts])
    def test_a_refusal_is_one(self, kind: str, message: str) -> None:
        """What a registry refuses is a RegistryRefused that names the image and quotes the reason."""
        error = not_pulled("python:3.13", message)

        assert isinstance(error, RegistryRefused)
        assert "python:3.13" in str(error)
        assert " ".join(message.split())[:60] in str(error)

    @pytest.mark.parametrize(
        ("message", "advice"),
        [
            (REFUSED["login"][0], "docker login"),
            (REFUSED["missing"][0], "name and tag"),
            (REFUSED["rate"][0], "wait"),
            (REFUSED["server"][0], "later"),
            (REFUSED["platform"][0], "platform"),
            (OTHER["tls"][0], "certificate"),
            (OTHER["disk"][0], "make room"),
            (OTHER["unknown"][0], "docker pull"),
        ],
    )
    def test_each_kind_has_its_remedy(self, message: str, advice: str) -> None:
        """The remedy fits the reason."""
        assert advice in not_pulled("python:3.13", message).remedy

    @pytest.mark.parametrize("message", [text for kind in OTHER for text in OTHER[kind]])
    def test_the_rest_is_neither(self, message: str) -> None:
        """Trouble with TLS, the disk or anything unknown is no refusal, and makes no stand-ins either."""
        assert type(not_pulled("python:3.13", message)) is BaseImageError

    def test_a_download_that_broke_off(self) -> None:
        """A connection that is lost while layers arrive is no reason for stand-ins: the registry had answered."""
        error = not_pulled("python:3.13", "read: connection reset by peer", began=True)

        assert type(error) is BaseImageError
        assert "broke off" in str(error)
        assert "repeat" in error.remedy

    def test_messages_are_shown_in_one_line(self) -> None:
        """What a registry says cannot take over the terminal."""
        error = not_pulled("python:3.13", "denied: \x1b[2Jgo\naway " + "x" * 1000)

        assert "\x1b" not in str(error)
        assert "\n" not in str(error)
        assert len(str(error)) < 400


class TestRegistryOf:
    @pytest.mark.parametrize(
        ("name", "where"),
        [
            ("python:3.13", "docker.io"),
            ("library/python:3.13", "docker.io"),
            ("someone/python", "docker.io"),
            ("ghcr.io/astral-sh/uv:latest", "ghcr.io"),
            ("127.0.0.1:5000/python", "127.0.0.1:5000"),
            ("localhost/python", "localhost"),
        ],
    )
    def test_the_first_part_of_the_name(self, name: str, where: str) -> None:
        """A registry is a first part with a dot or a colon, as the docker client has it; else it is the Hub."""
        assert registry.registry_of(name) == where


class TestSourceOf:
    @pytest.mark.parametrize(
        ("mirror", "name", "source"),
        [
            ("", "python:3.13", "python:3.13"),
            ("mirror.example:5000", "python:3.13", "mirror.example:5000/library/python:3.13"),
            ("mirror.example/hub/", "python:3.13", "mirror.example/hub/library/python:3.13"),
            ("mirror.example", "someone/tool:1", "mirror.example/someone/tool:1"),
            ("mirror.example", "docker.io/library/python:3.13", "mirror.example/library/python:3.13"),
            ("mirror.example", "ghcr.io/astral-sh/uv:latest", "ghcr.io/astral-sh/uv:latest"),
        ],
    )
    def test_the_mirror_serves_the_hubs_images(
        self, mirror: str, name: str, source: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """LAB_REGISTRY stands in for Docker Hub, and for no other registry."""
        monkeypatch.setenv("LAB_REGISTRY", mirror)

        assert registry.source_of(name) == source

    @pytest.mark.parametrize("mirror", ["https://mirror.example", "a b", "mirror.example:port", "-x/../y?z"])
    def test_what_cannot_be_a_registry(self, mirror: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """A value that is no registry is refused with an example of one."""
        monkeypatch.setenv("LAB_REGISTRY", mirror)

        with pytest.raises(UsageError, match="LAB_REGISTRY") as caught:
            registry.source_of("python:3.13")

        assert "LAB_REGISTRY=mirror.example:5000/docker" in caught.value.remedy
