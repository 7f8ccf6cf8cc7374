"""A site whose builds stand still for as long as a test wants."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from govma_console.server.tokens import Tokens
from govma_core.runs.store import RunRecord, RunStore
from tests.support.asking import order
from tests.support.rights import passable
from tests.support.sample import SampleSite, create_sample
from tests.support.server import Server
from tests.support.waiting import wait_for


class Gate:
    """Closed, it holds every build of a site: runs go on until it opens."""

    def __init__(self, site: SampleSite) -> None:
        self._path = site.root / "closed"

    @property
    def settings(self) -> dict[str, Any]:
        """Return the settings that a site with a gate needs."""
        wait = f"echo at the gate; while [ -e {shlex.quote(str(self._path))} ]; do sleep 0.02; done; echo through it"
        return {
            "asset_inputs": [],
            "install_command": "sh tools/build.sh install",
            "build_commands": [wait, "sh tools/build.sh docs", "sh tools/build.sh prod"],
        }

    @contextmanager
    def closed(self) -> Iterator[None]:
        """Keep it closed for the block."""
        self._path.touch()
        try:
            yield
        finally:
            self._path.unlink()


def shared_site(factory: pytest.TempPathFactory, name: str) -> SampleSite:
    """Return a sample site for the tests of a module, with the way to it open to the build's user."""
    return create_sample(passable(factory.mktemp(name)) / "site")


def make_token(server: Server, name: str = "ci") -> str:
    """Return a token of the server."""
    return Tokens(server.settings.token_file).add(name)


@contextmanager
def held_deploy(site: SampleSite, **settings: Any) -> Iterator[tuple[Server, str]]:
    """Yield a server and the id of its deploy, which waits in its build until the end of the block."""
    gate = Gate(site)
    with Server(site, **settings, **gate.settings) as server, gate.closed():
        run_id = str(order(server, "deploy").json["run"]["id"])
        at_gate(server.runs, run_id)
        yield server, run_id


def ended(runs: RunStore, run_id: str) -> RunRecord:
    """Wait for the end of a run, and give its record."""
    return wait_for(lambda: ((found := runs.read(run_id)).ended and found) or None, f"the end of run {run_id}")


def at_gate(runs: RunStore, run_id: str) -> RunRecord:
    """Wait until a run stands at the gate, and give its record."""

    def there() -> RunRecord | None:
        events = runs.path(run_id) / "events.jsonl"
        return runs.read(run_id) if events.exists() and "at the gate" in events.read_text() else None

    return wait_for(there, f"run {run_id} at the gate")


def idle(runs: RunStore) -> None:
    """Wait until no run goes on or waits."""
    wait_for(lambda: not runs.active(), "the end of all runs")
