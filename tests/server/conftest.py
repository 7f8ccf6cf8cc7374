"""A server on a sample site whose builds wait at a gate, for the tests of a module that need no other."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.gates import Gate, make_token, shared_site
from tests.support.sample import SampleSite
from tests.support.server import Server


@pytest.fixture(scope="module", name="site")
def _site(tmp_path_factory: pytest.TempPathFactory) -> SampleSite:
    return shared_site(tmp_path_factory, "site")


@pytest.fixture(scope="module", name="server")
def _server(site: SampleSite) -> Iterator[Server]:
    with Server(site, requests_per_minute=100_000, **Gate(site).settings) as server:
        yield server


@pytest.fixture(scope="module", name="token")
def _token(server: Server) -> str:
    return make_token(server)
