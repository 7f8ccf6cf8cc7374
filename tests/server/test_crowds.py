"""Many clients at once: callers that share runs, clients that stall or never finish to ask, and plain load."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.calls import gather, get
from tests.support.crowds import HeldBuild, besiege, call_at_once, follow_together
from tests.support.server import Server


def test_callers_at_once_share_two_runs_and_each_gets_a_complete_log(tmp_path: Path) -> None:
    build = HeldBuild(tmp_path, 200)
    with Server(build.site, queue="coalesce") as server:
        runs, calls = call_at_once(server, build, 200)
        assert [run.state for run in runs] == ["ok", "ok"]
        assert [each for each in calls if not build.told_whole(each)] == []
        second, first = (run.id.encode() for run in runs)
        assert sum(each.body.startswith(b"run " + first) for each in calls) == 1
        assert sum(each.body.startswith(b"run " + second) for each in calls) == 199


def test_all_followers_of_a_run_get_its_complete_log(tmp_path: Path) -> None:
    build = HeldBuild(tmp_path, 2_000)
    with Server(build.site) as server:
        calls = follow_together(server, build, 100)
        assert [each for each in calls if not build.told_whole(each)] == []


@pytest.mark.slow
def test_clients_that_stall_or_never_finish_to_ask_harm_nobody_and_leave_nothing(tmp_path: Path) -> None:
    build = HeldBuild(tmp_path, 30_000)
    with Server(build.site) as server:
        siege = besiege(server, build, half_open=300, stalled=50)
        assert build.told_whole(siege.honest)
        assert siege.healthy == [200] * len(siege.healthy)
        assert [each for each in siege.late if not build.told_whole(each)] == []
        assert siege.descriptors_left == 0
        # Each of them has more coming than this: what one does not read is not kept for it.
        assert siege.memory_grown < 50 * 30_000 * 50 / (1 << 20) / 2
        assert {run.state for run in server.runs.records()} == {"ok"}


def test_more_followers_than_may_be_are_sent_away_and_the_others_are_not_harmed(tmp_path: Path) -> None:
    build = HeldBuild(tmp_path, 10)
    with Server(build.site, max_streams=3) as server:
        calls = [get(server, "/deploy") for _ in range(6)]
        gather(calls, until=lambda each: b"\nrun " in each.data)
        build.release()
        gather(calls)
        assert sorted(each.status for each in calls) == [200, 200, 200, 503, 503, 503]
        assert all(build.told_whole(each) for each in calls if each.status == 200)


@pytest.mark.skipif(shutil.which("wrk") is None, reason="wrk is not installed (apt-get install wrk)")
def test_under_load_every_answer_is_a_good_one(tmp_path: Path) -> None:
    build = HeldBuild(tmp_path, 10)
    with Server(build.site, requests_per_minute=1_000_000) as server:
        line = ["wrk", "--threads", "2", "--connections", "50", "--duration", "2s", f"{server.url}/healthz"]
        output = subprocess.run(line, capture_output=True, text=True, check=True).stdout
        requests = re.search(r"(\d+) requests in", output)
        assert requests is not None
        assert int(requests[1]) > 0
        assert "Non-2xx" not in output
        assert "Socket errors" not in output
