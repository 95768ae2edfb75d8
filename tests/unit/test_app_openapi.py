"""The service's description of itself, and whether the service does what it says."""

from __future__ import annotations

import pytest
import schemathesis

from app import create_app, openapi, queries

schema = schemathesis.openapi.from_wsgi("/openapi.json", create_app())


@pytest.mark.slow
@schema.parametrize()
def test_the_service_does_what_its_description_says(case: schemathesis.Case) -> None:
    """Whatever is sent, right or wrong, is answered with a status, type and body that the description names."""
    case.call_and_validate()


def test_every_route_is_described() -> None:
    """Nothing is served that the description leaves out, and nothing is described that is not served."""
    served = {rule.rule for rule in create_app().url_map.iter_rules()}

    assert served == set(openapi.describe()["paths"])


@pytest.mark.slow
def test_limits_in_the_description_are_those_that_hold() -> None:
    """Just inside the described limits is accepted, just outside is refused."""
    client = create_app().test_client()
    for path, parameters in {"/plot": queries.PLOT, "/data": queries.DATA, "/data/summary": queries.SUMMARY}.items():
        described = {p["name"]: p["schema"] for p in openapi.describe()["paths"][path]["get"]["parameters"]}
        assert list(described) == [parameter.name for parameter in parameters]
        for name, limits in described.items():
            if limits["type"] == "integer":
                good = [limits["minimum"], limits["maximum"]]
                bad = [limits["minimum"] - 1, limits["maximum"] + 1]
            else:
                good, bad = limits["enum"], [limits["enum"][0].upper()]
            assert {client.get(path, query_string={name: value}).status_code for value in good} == {200}
            assert {client.get(path, query_string={name: value}).status_code for value in bad} == {400}


def test_defaults_in_the_description_are_those_that_hold() -> None:
    """Leaving a parameter out gives the same bytes as giving its described default."""
    client = create_app().test_client()
    for path in ("/plot", "/data", "/data/summary"):
        described = openapi.describe()["paths"][path]["get"]["parameters"]
        defaults = {p["name"]: p["schema"]["default"] for p in described if p["name"] != "seed"}

        explicit = client.get(path, query_string={"seed": 7, **defaults})

        assert client.get(path, query_string={"seed": 7}).data == explicit.data
