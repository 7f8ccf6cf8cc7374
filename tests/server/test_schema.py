"""The API is what its description says: schemathesis asks it everything that the description allows, and more."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import schemathesis
from hypothesis import HealthCheck, settings

from tests.support.gates import make_token, shared_site
from tests.support.server import Server


@pytest.fixture(scope="module", name="server")
def _server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(shared_site(tmp_path_factory, "schema"), requests_per_minute=1_000_000) as server:
        yield server


@pytest.fixture(scope="module", name="token")
def _token(server: Server) -> str:
    return make_token(server)


@pytest.fixture(name="api")
def _api(server: Server) -> schemathesis.BaseSchema:
    return schemathesis.openapi.from_url(f"{server.url}/api/v1/openapi.json")


schema = schemathesis.pytest.from_fixture("api")


@schema.parametrize()
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
def test_every_operation_with_a_token(case: schemathesis.Case, token: str) -> None:
    case.call_and_validate(headers={"Authorization": f"Bearer {token}"})
