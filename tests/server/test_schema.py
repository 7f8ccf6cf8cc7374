"""The API is what its description says: schemathesis asks all that the description allows, and what it does not."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from govma_core.versions.holds import HoldStore
from tests.support.asking import bearer
from tests.support.gates import idle, make_token, shared_site
from tests.support.server import Server

pytestmark = pytest.mark.slow

_RUN = (sys.executable, "-c", "from schemathesis.cli import schemathesis; schemathesis()", "run")
_OPERATIONS = 14


@pytest.fixture(scope="module", name="server")
def _server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(shared_site(tmp_path_factory, "schema"), requests_per_minute=1_000_000) as server:
        yield server
        idle(server.runs)


_ACCEPTED = """
[checks.positive_data_acceptance]
expected-statuses = ["2xx", "401", "403", "404", "409", "423", "429", "5xx"]
"""
"""What a request that makes sense may be answered with: deploys are held now and then."""


def examined(server: Server, directory: Path, *arguments: str) -> str:
    """Have schemathesis examine the API, the same way each time; give what it says when it finds nothing wrong."""
    bounds = ("--max-examples", "8", "--seed", "1", "--generation-database", "none", "--no-color")
    # The same key for another request is refused, which no description can say; it has tests of its own.
    (directory / "schemathesis.toml").write_text(_ACCEPTED)
    line = [*_RUN, f"{server.url}/api/v1/openapi.json", *bounds, "-H", "Idempotency-Key: ", *arguments]
    completed = subprocess.run(
        line, cwd=directory, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False
    )
    assert completed.returncode == 0, completed.stdout + completed.stderr
    assert f"{_OPERATIONS} selected / {_OPERATIONS} total" in completed.stdout
    return completed.stdout


def test_with_a_token_every_operation_answers_as_described(server: Server, tmp_path: Path) -> None:
    report = examined(server, tmp_path, "-H", ": ".join(bearer(make_token(server))))
    assert "Stateful" in report
    # Which others meet a run that goes on and are sent away is a matter of time.
    operations = {record.operation for record in server.runs.records()}
    assert operations > {"deploy"}


def test_without_a_token_it_answers_as_described_and_nothing_but_deploys_is_done(
    server: Server, tmp_path: Path
) -> None:
    HoldStore(server.settings.state_dir).release()
    before = set(server.runs.ids())
    examined(server, tmp_path, "--phases", "coverage,fuzzing")
    runs = [server.runs.read(run_id) for run_id in set(server.runs.ids()) - before]
    plain = {"ref": None, "rebuild": False, "promote": True}
    assert runs
    assert all((run.operation, run.arguments) == ("deploy", plain) for run in runs)


def test_the_description_names_every_address_of_the_api(server: Server) -> None:
    document = json.loads(server.get("/api/v1/openapi.json").body)
    assert len(document["paths"]) == _OPERATIONS - 2
    for path, item in document["paths"].items():
        for method, operation in item.items():
            assert operation["summary"], (method, path)
            assert {"401", "403", "422", "429", "503"} <= operation["responses"].keys(), (method, path)
