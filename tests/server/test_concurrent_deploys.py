"""Whoever asks, hangs up or is killed: never two runs at once, and nobody's deploy is lost."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from govma_core.runs.store import RunRecord
from tests.support.command import Command
from tests.support.sample import SampleSite, create_sample
from tests.support.server import Answer, Server
from tests.support.waiting import wait_for

# Fails when another build of this site goes on; stays until it is let go.
_BUILD = (
    'mkdir "{folder}/building" || exit 99; while [ -e "{folder}/hold" ]; do sleep 0.02; done; rmdir "{folder}/building"'
)


class HeldSite:
    """A site whose builds wait until they are let go, and a server on it."""

    def __init__(self, sample: SampleSite, folder: Path) -> None:
        self.sample, self._hold = sample, folder / "hold"
        folder.mkdir(mode=0o777)
        folder.chmod(0o777)
        self._hold.touch()
        self.settings: dict[str, Any] = {
            "builder": "local",
            "install_command": _BUILD.format(folder=folder),
            "build_commands": [],
            "asset_inputs": [],
        }
        self.command = Command(sample.config_file, sample.state_dir)

    def release(self) -> None:
        self._hold.unlink(missing_ok=True)

    def record(self, run_id: str) -> RunRecord:
        return self.command.runs.read(run_id)

    def ended(self, *run_ids: str) -> list[RunRecord]:
        return [
            wait_for(lambda run_id=run_id: self.record(run_id).ended and self.record(run_id), f"the end of {run_id}")  # type: ignore[misc]
            for run_id in run_ids
        ]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[HeldSite]:
    tmp_path.chmod(0o755)
    sample = create_sample(tmp_path / "site")
    site = HeldSite(sample, tmp_path / "gate")
    yield site
    site.release()


def ask(server: Server) -> socket.socket:
    """Send a request for a deploy, and read its first line."""
    client = socket.create_connection(("127.0.0.1", server.port))
    client.sendall(b"GET /deploy HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
    return client


def run_of(client: socket.socket) -> str:
    """Return the id of the run that an answer is about."""
    head = b""
    while b"\r\n\r\n" not in head:
        head += client.recv(4096)
    return next(line for line in head.decode().splitlines() if line.startswith("x-run-id: ")).partition(": ")[2]


def rest_of(client: socket.socket) -> bytes:
    """Return the rest of an answer, to its end."""
    return b"".join(iter(lambda: client.recv(65536), b""))


def test_who_hangs_up_while_it_waits_changes_nothing_for_others(site: HeldSite) -> None:
    with Server(site.sample, **site.settings) as server:
        first, second, third = ask(server), ask(server), ask(server)
        going = run_of(first)
        waiting = {run_of(second), run_of(third)}
        assert len(waiting) == 1
        for client in (first, second):
            client.close()
        site.release()
        assert [run.state for run in site.ended(going, *waiting)] == ["ok", "ok"]
        with third:
            assert b"successfully deployed" in rest_of(third)


def test_a_killed_server_leaves_the_run_to_itself_and_the_next_one_knows_it(site: HeldSite) -> None:
    server = Server(site.sample, **site.settings)
    server.start()
    client = ask(server)
    going = run_of(client)
    site.command.wait_for_stage("assets")
    server.process.send_signal(signal.SIGKILL)
    server.process.wait()
    client.close()
    with Server(site.sample, **site.settings) as again:
        status = again.get("/api/v1/status").json
        assert status["holder"]["run"] == going
        with ask(again) as other:
            behind = run_of(other)
        assert behind != going
        site.release()
        assert [run.state for run in site.ended(going, behind)] == ["ok", "ok"]


def test_a_killed_run_is_interrupted_and_the_one_that_waits_goes_on(site: HeldSite) -> None:
    with Server(site.sample, **site.settings) as server, ask(server) as first, ask(server) as second:
        going, waiting = run_of(first), run_of(second)
        record = site.command.wait_for_stage("assets")
        assert record.id == going
        os.kill(record.pid, signal.SIGKILL)
        site.release()
        after, interrupted = site.ended(waiting, going)
        assert interrupted.state == "interrupted"
        # Whether it failed depends on when the killed one's build was ended: before or after it removed its directory.
        assert after.state in ("ok", "failed")
        assert after.started > interrupted.started
        assert b"deploy failed: The run was interrupted" in rest_of(first)


def test_console_and_server_never_build_at_the_same_time(site: HeldSite) -> None:
    with Server(site.sample, **site.settings) as server, ask(server) as client:
        going = run_of(client)
        site.command.wait_for_stage("assets")
        deploy = site.command.run("deploy")
        assert deploy.code == 4
        assert going in deploy.err
        site.release()
        site.ended(going)
    assert site.command.run("deploy").code == 0


def test_a_deploy_by_hand_is_waited_for(site: HeldSite) -> None:
    with Server(site.sample, **site.settings) as server:
        by_hand = site.command.start("deploy")
        record = site.command.wait_for_stage("assets")
        answers: list[Answer] = []
        asking = threading.Thread(target=lambda: answers.append(server.get("/deploy")))
        asking.start()
        wait_for(lambda: any(run.state == "waiting" for run in server.runs.active()), "the run that waits")
        site.release()
        asking.join()
        by_hand.communicate()
    first_line = answers[0].text.splitlines()[0]
    assert f"waits for deploy {record.id}" in first_line
    assert "successfully deployed" in answers[0].text
    assert by_hand.returncode == 0


def test_many_at_once_in_every_way_never_meet(site: HeldSite) -> None:
    site.release()
    with Server(site.sample, **site.settings | {"queue": "each", "max_waiting": 50}) as server:
        clients = [ask(server) for _ in range(8)]
        by_hand = [site.command.start("deploy", "--json") for _ in range(3)]
        ids = [run_of(client) for client in clients]
        # Half of them hang up.
        for client in clients[::2]:
            client.close()
        codes = []
        for process in by_hand:
            out, _ = process.communicate()
            codes.append(process.returncode)
            if process.returncode == 0:
                ids.append(json.loads(out)["id"])
        runs = site.ended(*ids)
        for client in clients[1::2]:
            client.close()
    assert len(set(ids)) == len(ids)
    assert {run.state for run in runs} == {"ok"}, [run.message for run in runs]
    assert set(codes) <= {0, 4}
    spans = sorted((run.started, run.finished) for run in runs)
    assert all(before[1] <= after[0] for before, after in pairwise(spans))
