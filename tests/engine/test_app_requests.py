"""The service, asked over HTTP: the same answers from each image and from Flask's development server.

Generated requests among them: whatever is sent, and however many at once, it goes on serving.
"""

from __future__ import annotations

import io
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from app import openapi, plots
from layerlab.engine import Engine
from layerlab.service import Service, run
from tests.engine.images import ENDPOINTS, built

BOUNDED = settings(
    deadline=None, max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
AT_ONCE = 8

bytes_in_a_line = st.binary(max_size=40).map(lambda b: bytes(c for c in b if c not in b"\r\n \x00"))
names = st.sampled_from([b"kind", b"seed", b"size", b"format", b"rows", b"by"])
words = st.one_of(
    st.sampled_from([b"walk", b"bars", b"png", b"svg", b"csv", b"json", b"city", b"1600", b"10000", b"%00", b"%ff"]),
    st.integers().map(lambda n: str(n).encode()),
    bytes_in_a_line,
)
queries = st.lists(st.tuples(st.one_of(names, bytes_in_a_line), words), max_size=4).map(
    lambda pairs: b"&".join(b"=".join(pair) for pair in pairs)
)
paths = st.one_of(st.sampled_from([path.encode() for path in openapi.describe()["paths"]]), bytes_in_a_line)
headers = st.dictionaries(
    st.sampled_from([b"Accept", b"Cookie", b"If-None-Match", b"If-Modified-Since", b"Range", b"X-Forwarded-For"]),
    bytes_in_a_line,
    max_size=3,
)
methods = st.sampled_from([b"GET", b"GET", b"GET", b"HEAD", b"OPTIONS", b"POST", b"PUT", b"TRACE", b"BREW"])


@st.composite
def raw_requests(draw: st.DrawFn) -> bytes:
    """One request as it goes over the wire, well-formed or nearly."""
    path, query = draw(paths), draw(queries)
    lines = [
        draw(methods) + b" /" + path.lstrip(b"/") + (b"?" + query if query else b"") + b" HTTP/1.1",
        b"Host: " + draw(st.one_of(st.just(b"localhost"), bytes_in_a_line)),
        b"Connection: close",
        *(name + b": " + value for name, value in draw(headers).items()),
    ]
    return b"\r\n".join(lines) + b"\r\n\r\n"


SERVERS = {
    "optimized": ("Dockerfile", None),
    "minimal": ("Dockerfile.minimal", None),
    "single": ("Dockerfile.single", None),
    "development server": ("Dockerfile", ["python", "-m", "app"]),
}
"""By what each is built, and the command where it is not the image's own."""


@pytest.fixture(
    scope="module",
    params=[pytest.param(name, marks=[] if name == "optimized" else [pytest.mark.long]) for name in SERVERS],
)
def server(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def service(engine: Engine, server: str) -> Iterator[Service]:
    """It runs on a read-only root, without capabilities; only /tmp can be written."""
    dockerfile, command = SERVERS[server]
    with built(engine, dockerfile) as image, run(engine, image.id, command=command) as running:
        yield running


@pytest.mark.parametrize(("path", "content_type"), ENDPOINTS.items())
def test_each_address_answers(service: Service, path: str, content_type: str) -> None:
    """With what it promises."""
    response = service.get(path)

    assert (response.status_code, response.headers["Content-Type"]) == (200, content_type)


@pytest.mark.parametrize("kind", plots.KINDS)
def test_the_same_seed_gives_the_same_pixels_everywhere(service: Service, kind: str) -> None:
    """What each server draws is what this process draws."""
    for seed in (1, 2, 2**32 - 1):
        served = service.get(f"/plot?kind={kind}&seed={seed}&size=500").content

        assert pixels(served) == pixels(plots.draw(kind, seed, 500, "png"))


def pixels(png: bytes) -> bytes:
    return Image.open(io.BytesIO(png)).tobytes()


# The unit tests go through all kinds of requests; here a few are enough.
few = schemathesis.Config.from_dict({"phases": {"coverage": {"enabled": False}}})
schema = schemathesis.openapi.from_dict(openapi.describe(), config=few)


@schema.parametrize()
@settings(deadline=None, max_examples=2)
def test_the_image_does_what_its_description_says(case: schemathesis.Case, service: Service) -> None:
    """Over HTTP, too, every generated request is answered as /openapi.json says."""
    case.call_and_validate(base_url=service.url)


def test_the_image_holds_this_description(service: Service) -> None:
    """What the image describes is what was tested."""
    assert service.get("/openapi.json").json() == openapi.describe()


@BOUNDED
@given(batch=st.lists(raw_requests(), min_size=1, max_size=AT_ONCE))
def test_no_bytes_on_the_wire_make_a_server_error(service: Service, batch: list[bytes]) -> None:
    """Requests of any bytes, several at once, are answered or refused: never a 5xx, never silence."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        statuses = list(pool.map(lambda request: status_of(service, request), batch))

    assert all(200 <= status < 500 for status in statuses), list(zip(batch, statuses, strict=True))


def test_many_at_once_get_each_their_own(service: Service) -> None:
    """Eight clients at once get byte for byte what one alone gets, from whichever worker and thread."""
    urls = [f"{service.url}/plot?kind={kind}&seed={seed}&size=320" for kind in ("walk", "bars") for seed in range(4)]
    urls += [f"{service.url}/data/summary?seed={seed}&rows=2000&by=product" for seed in range(4)]
    alone = [get(url) for url in urls]

    with ThreadPoolExecutor(AT_ONCE) as pool:
        together = list(pool.map(get, urls * 3))

    assert together == alone * 3


def test_it_still_serves_afterwards(service: Service, server: str) -> None:
    """After all that, its first workers still live, and every address answers."""
    assert {service.get(path).status_code for path in ENDPOINTS} == {200}
    assert service.logs().count("Booting worker") == (2 if server in {"optimized", "minimal"} else 0)
    assert "Traceback" not in service.logs()


def get(url: str) -> bytes:
    response = requests.get(url, timeout=30)
    response.raise_for_status()
    return response.content


def status_of(service: Service, request: bytes) -> int:
    """The status of the answer to these bytes."""
    address = urlsplit(service.url)
    with socket.create_connection((address.hostname, address.port), timeout=30) as connection:
        connection.sendall(request)
        answer = b""
        while b"\r\n" not in answer:
            received = connection.recv(65536)
            assert received, f"no answer to {request!r}"
            answer += received
    version, status, _ = answer.split(b" ", 2)
    assert version == b"HTTP/1.1"
    return int(status)
