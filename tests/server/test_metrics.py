"""The numbers for Prometheus, read by its own parser, against what the runs tell."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from govma_core.runs.lock import lock_holder
from tests.support.asking import bearer, order
from tests.support.gates import Gate, at_gate, ended, make_token
from tests.support.sample import create_sample
from tests.support.server import Server
from tests.support.waiting import wait_for

Numbers = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def numbers(server: Server) -> Numbers:
    """Return every sample by its name and labels; each must be there once, in a family with a type and a text."""
    answer = server.get("/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    samples: Numbers = {}
    for family in text_string_to_metric_families(answer.text):
        assert family.type != "unknown", family.name
        assert family.documentation, family.name
        for sample in family.samples:
            at = sample.name, tuple(sorted(sample.labels.items()))
            assert at not in samples, at
            samples[at] = sample.value
    return samples


def _one(samples: Numbers, name: str, **labels: str) -> float:
    return samples[name, tuple(sorted(labels.items()))]


def test_the_numbers_are_those_of_the_runs(tmp_path: Path) -> None:
    site = create_sample(tmp_path / "site")
    gate = Gate(site)
    with Server(site, **gate.settings) as server:
        token = bearer(make_token(server))
        before = numbers(server)
        assert not [name for name, _ in before if name == "govma_runs_total"]
        orders: list[tuple[str, dict[str, Any]]] = [
            ("deploy", {}),
            ("rollback", {"keep_mark": True}),
            ("rollback", {"version": "none"}),
            ("deploy", {}),
        ]
        for operation, arguments in orders:
            ended(server.runs, order(server, operation, token, **arguments).json["run"]["id"])
        with gate.closed():
            going = order(server, "deploy").json["run"]["id"]
            at_gate(server.runs, going)
            order(server, "deploy")
            during = numbers(server)
            assert _one(during, "govma_runs_active") == 1
            assert _one(during, "govma_runs_waiting") == 1
        for record in server.runs.active():
            ended(server.runs, record.id)
        server.get("/api/v1/usage")
        after = numbers(server)
        records = list(server.runs.records())
        results = Counter((record.operation, record.state) for record in records)
        assert results["deploy", "ok"] == 4
        totals = {labels: value for (name, labels), value in after.items() if name == "govma_runs_total"}
        assert totals == {(("operation", op), ("result", result)): n for (op, result), n in results.items()}
        publish = {"operation": "deploy", "stage": "publish"}
        assert _one(after, "govma_stage_duration_seconds_count", **publish) == 4
        assert 0 < _one(after, "govma_stage_duration_seconds_sum", **publish) < 60
        assert _one(after, "govma_runs_active") == _one(after, "govma_runs_waiting") == 0
        last = records[0]
        assert _one(after, "govma_current_version_info", version=last.version, commit=last.commit) == 1
        assert _one(after, "govma_last_run_finished_seconds", operation="deploy", result="ok") == last.finished
        assert last.started < _one(after, "govma_current_version_since_seconds") <= last.finished
        versions = server.get("/api/v1/versions").json["versions"]
        assert _one(after, "govma_versions") == len(versions)
        for version in versions:
            assert _one(after, "govma_version_exclusive_bytes", version=version["name"]) == version["exclusive"]
        assert _one(after, "govma_versions_filesystem_free_bytes") > 0
        assert _one(after, "govma_streams") == 0


def test_a_site_without_any_version_or_run_has_numbers_too(tmp_path: Path) -> None:
    with Server(create_sample(tmp_path / "site", legacy_version=False)) as server:
        samples = numbers(server)
    assert _one(samples, "govma_current_version_info", version="", commit="") == 0
    assert not [name for name, _ in samples if name.startswith(("govma_runs_total", "govma_current_version_since"))]


def test_counters_go_on_when_records_of_old_runs_are_removed_and_the_server_starts_again(tmp_path: Path) -> None:
    site = create_sample(tmp_path / "site")
    server = Server(site, keep_runs=1)
    for _ in range(2):
        with server:
            ended(server.runs, order(server, "deploy").json["run"]["id"])
            # It is counted between the end of its record and that of the runner.
            wait_for(lambda: lock_holder(site.state_dir) is None, "the runner's end")
            samples = numbers(server)
    assert _one(samples, "govma_runs_total", operation="deploy", result="ok") == 2
    assert len(server.runs.ids()) == 1
