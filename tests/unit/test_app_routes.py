"""What the service answers, asked as a client asks."""

from __future__ import annotations

import io
from http import HTTPStatus

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.datastructures import MultiDict

from app import create_app, data, queries
from app.parameters import Parameter

PARAMETERS: dict[str, tuple[Parameter, ...]] = {
    "/": (),
    "/status": (),
    "/info": (),
    "/openapi.json": (),
    "/plot": queries.PLOT,
    "/data": queries.DATA,
    "/data/summary": queries.SUMMARY,
}
NAMES = sorted({parameter.name for parameters in PARAMETERS.values() for parameter in parameters})
CHOICES = ["walk", "bars", "png", "svg", "json", "csv", "city", "product", "7", "240", "1600", "0", "-1", "1e3"]
client = create_app().test_client()

values = st.one_of(st.sampled_from(CHOICES), st.integers().map(str), st.text(max_size=20))
pairs = st.tuples(st.one_of(st.sampled_from(NAMES), st.text(max_size=8)), values)


@pytest.mark.parametrize("path", PARAMETERS)
@given(query=st.lists(pairs, max_size=4))
def test_no_query_makes_a_server_error(path: str, query: list[tuple[str, str]]) -> None:
    """Any query is either answered or refused, and a refusal names one of the parameters and its limits."""
    response = client.get(path, query_string=MultiDict(query))

    assert response.status_code in {200, 400}
    if response.status_code == HTTPStatus.BAD_REQUEST:
        assert response.json is not None
        assert response.json["status"] == 400
        assert any(name.startswith(response.json["parameter"]) for name, _ in query)
        assert response.json["limits"]


@pytest.mark.parametrize("path", PARAMETERS)
@given(query=st.binary(max_size=30))
def test_no_bytes_make_a_server_error(path: str, query: bytes) -> None:
    """Bytes that are no text, or no query, are answered or refused as well."""
    response = client.open(path, environ_overrides={"QUERY_STRING": query.decode("latin-1")})

    assert response.status_code in {200, 400}


@given(path=st.text(max_size=20))
def test_no_path_makes_a_server_error(path: str) -> None:
    """Whatever else is asked for is not found, in JSON."""
    response = client.open(environ_overrides={"PATH_INFO": f"/{path}".encode().decode("latin-1")})

    assert response.status_code in {200, 404}
    if response.status_code == HTTPStatus.NOT_FOUND:
        assert response.json is not None
        assert response.json["status"] == 404


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ("rows=0", "rows"),
        ("rows=10001", "rows"),
        ("rows=%EF%BC%97", "rows"),  # a full-width 7
        ("rows=%00", "rows"),
        ("rows=%ff%fe", "rows"),
        ("seed=-1", "seed"),
        ("seed=4294967296", "seed"),
        ("seed=" + "9" * 4000, "seed"),
        ("seed=1&seed=1", "seed"),
        ("format=JSON", "format"),
        ("format=", "format"),
        ("sed=7", "sed"),
    ],
)
def test_a_bad_parameter_is_named_with_its_limits(query: str, parameter: str) -> None:
    """The body of the 400 says which parameter is wrong and what it may be."""
    response = client.get("/data", query_string=query)

    assert response.status_code == 400
    assert response.json is not None
    assert response.json["parameter"] == parameter
    assert parameter in response.json["error"]
    assert response.json["limits"]


@pytest.mark.parametrize("path", PARAMETERS)
def test_head_answers_like_get_without_a_body(path: str) -> None:
    """HEAD has the headers of GET and nothing after them."""
    query = {"seed": 1} if PARAMETERS[path] else {}
    get, head = client.get(path, query_string=query), client.head(path, query_string=query)

    assert (head.status_code, head.content_type, head.data) == (200, get.content_type, b"")


@pytest.mark.parametrize("path", PARAMETERS)
def test_options_tells_what_is_allowed(path: str) -> None:
    """OPTIONS names the methods, and no other method is taken."""
    options, post = client.options(path), client.post(path)

    assert set(options.allow) == {"GET", "HEAD", "OPTIONS"}
    assert (post.status_code, set(post.allow)) == (405, {"GET", "HEAD", "OPTIONS"})
    assert post.json is not None
    assert post.json["status"] == 405


def test_status_counts_what_was_served() -> None:
    """Each answer is counted once it is given, whatever its status."""
    before = client.get("/status").get_json()
    client.get("/info")
    client.get("/data?rows=none")

    after = client.get("/status").get_json()

    assert after["status"] == "ok"
    assert after["requests_served"] - before["requests_served"] == 3
    assert after["uptime_seconds"] >= before["uptime_seconds"]


@pytest.mark.parametrize("query", [{"rows": 1}, {"rows": 250}])
def test_csv_and_json_hold_the_same_table(query: dict[str, int]) -> None:
    """Read back by pandas, both are the table that the seed stands for, to the last digit."""
    asked = {"seed": 42, **query}
    expected = data.orders(42, query["rows"])

    csv = pd.read_csv(
        io.BytesIO(client.get("/data", query_string={**asked, "format": "csv"}).data), parse_dates=["day"]
    )
    body = client.get("/data", query_string=asked).get_json()
    json = pd.DataFrame(body["data"]).assign(day=lambda table: pd.to_datetime(table["day"]))

    assert (body["seed"], body["rows"]) == (42, query["rows"])
    pd.testing.assert_frame_equal(csv, expected, check_dtype=False)
    pd.testing.assert_frame_equal(json, expected, check_dtype=False)


@pytest.mark.parametrize("by", ["city", "product"])
def test_the_summary_is_pandas_own_group_by_of_the_table(by: str) -> None:
    """Grouping the table that /data sends gives what /data/summary sends."""
    query = {"seed": 5, "rows": 500}
    table = pd.DataFrame(client.get("/data", query_string=query).get_json()["data"])
    groups = table.assign(revenue=table["units"] * table["price"]).groupby(by)

    summary = pd.DataFrame(client.get("/data/summary", query_string={**query, "by": by}).get_json()["data"])

    summary = summary.set_index(by)
    pd.testing.assert_series_equal(summary["orders"], groups.size().rename("orders"))
    pd.testing.assert_series_equal(summary["units"], groups["units"].sum())
    pd.testing.assert_series_equal(summary["revenue"], groups["revenue"].sum().round(2))
    pd.testing.assert_series_equal(summary["mean_price"], groups["price"].mean().round(2).rename("mean_price"))


@pytest.mark.parametrize("path", ["/plot", "/plot?format=svg", "/data", "/data?format=csv", "/data/summary"])
def test_a_random_answer_can_be_had_again_by_its_seed(path: str) -> None:
    """Without a seed one is picked and told; with it the same bytes come, and only then may they be kept."""
    random = client.get(path)
    again = client.get(path + ("&" if "?" in path else "?") + f"seed={random.headers['X-Seed']}")

    assert again.data == random.data
    assert random.headers["Cache-Control"] == "no-store"
    assert again.headers["Cache-Control"] == "public, max-age=3600"
    assert again.headers["X-Seed"] == random.headers["X-Seed"]


def test_random_seeds_differ() -> None:
    """Two requests without a seed get two seeds."""
    assert client.get("/data?rows=1").headers["X-Seed"] != client.get("/data?rows=1").headers["X-Seed"]


def test_what_a_client_has_is_not_sent_again() -> None:
    """A client that tells the ETag of what it has gets a 304 without a body."""
    first = client.get("/plot?seed=1")

    second = client.get("/plot?seed=1", headers={"If-None-Match": first.headers["ETag"]})

    assert (second.status_code, second.data) == (304, b"")
    assert client.get("/plot?seed=2").headers["ETag"] != first.headers["ETag"]
