"""Stopping and restarting the service while a deploy runs."""

from __future__ import annotations

import time
from concurrent.futures import Future

from tests.server.systemd.service import NAME, STATE, WAITING, Service
from tests.support.machine import Ended
from tests.support.waiting import wait_for

IMPATIENT = "TimeoutStopSec=1"
FIRST_EXTENSION = 15
"""Seconds that the server asks for at once; it has to ask again for more."""


def stopping(service: Service, verb: str = "stop") -> tuple[Future[Ended], dict[str, str], Future[Ended]]:
    """Begin a deploy, then stop the service: the deploy's answer, its record, and the end of systemctl."""
    answer = service.deploy()
    record = service.going_in("assets")
    stopped = service.machine.start("systemctl", verb, NAME)
    service.wait_for_property("StatusText", f"Stopping: waiting for deploy {record['id']}")
    return answer, record, stopped


def test_a_stop_lets_the_deploy_finish_far_beyond_the_time_that_systemd_gives(service: Service) -> None:
    """Guards EXTEND_TIMEOUT_USEC, also the second one: the deploy takes longer than any single extension."""
    service.configure(install_command=WAITING)
    service.install(drop_in=IMPATIENT)
    service.systemctl("start", NAME)
    before = service.version()
    began = time.monotonic()
    answer, record, stopped = stopping(service)
    wait_for(lambda: time.monotonic() > began + FIRST_EXTENSION + 3, "more time than was asked for at first")
    assert service.show("ActiveState") == "deactivating"
    assert service.record(record["id"])["state"] == "running"
    service.open_gate()
    assert stopped.result().code == 0
    assert f"run {record['id']}: ok" in answer.result().out
    assert service.record(record["id"])["state"] == "ok"
    assert service.version() != before
    assert service.show("Result") == "success"
    assert service.show("ActiveState") == "inactive"


def test_a_restart_lets_the_deploy_finish_and_its_caller_see_the_end(service: Service) -> None:
    service.configure(install_command=WAITING)
    service.install(drop_in=IMPATIENT)
    service.systemctl("start", NAME)
    former = service.show("MainPID")
    answer, record, restarted = stopping(service, "restart")
    began = time.monotonic()
    wait_for(lambda: time.monotonic() > began + 2, "more time than systemd gives")
    service.open_gate()
    assert restarted.result().code == 0
    assert f"run {record['id']}: ok" in answer.result().out
    assert service.show("MainPID") != former
    assert service.show("NRestarts") == "0"
    assert "successfully deployed" in service.deploy().result().out


def test_a_deploy_that_outlasts_the_drain_is_cancelled_and_leaves_nothing(service: Service) -> None:
    service.begin(install_command=WAITING, drain_timeout=1)
    before = service.version()
    answer, record, stopped = stopping(service)
    assert stopped.result().code == 0
    assert f"run {record['id']}: cancelled, exit code 130" in answer.result().out
    ended = service.record(record["id"])
    assert (ended["state"], ended["exit_code"]) == ("cancelled", 130)
    assert service.version() == before
    assert service.machine.run("pgrep", "-u", "1000").out == ""
    assert not service.machine.exists(f"{STATE}/holder.json")
    assert service.show("Result") == "success"
    service.open_gate()
    service.systemctl("start", NAME)
    assert "successfully deployed" in service.deploy().result().out


def test_waiting_deploys_are_drained_as_well(service: Service) -> None:
    """Guards those who wait for their turn when the stop comes: they were promised a deploy."""
    service.begin(install_command=WAITING, queue="each")
    first = service.deploy()
    service.going_in("assets")
    second = service.deploy()
    wait_for(lambda: [run for run in service.runs() if run["state"] == "waiting"], "a deploy that waits")
    stopped = service.machine.start("systemctl", "stop", NAME)
    service.wait_for_property("ActiveState", "deactivating")
    service.open_gate()
    assert stopped.result().code == 0
    for answer in (first, second):
        assert "successfully deployed" in answer.result().out
    assert [run["state"] for run in service.runs()] == ["ok", "ok"]


def test_a_deploy_that_restarts_the_service_itself_ends_well(service: Service) -> None:
    """Guards against the deadlock: the deploy waits for systemctl, that for the server's end, that for the deploy."""
    service.machine.write(
        "/etc/polkit-1/rules.d/test.rules",
        'polkit.addRule(function(action, subject) { if (subject.user == "node") return polkit.Result.YES; });\n',
    )
    service.begin(install_command=f"systemctl restart {NAME} && echo restarted")
    before, former = service.version(), service.show("MainPID")
    answer = service.deploy()
    wait_for(lambda: service.show("MainPID") not in ("0", former), "another server")
    wait_for(lambda: service.runs()[0]["state"] == "ok", "the deploy's end")
    (record,) = service.runs()
    assert service.version() == record["version"] != before
    assert "restarted" in service.command("log", record["id"])
    assert f"run {record['id']}" in answer.result().out
    assert service.show("NRestarts") == "0"
    assert service.show("Result") == "success"
    assert "successfully deployed" not in service.machine.out("systemctl", "list-units", "--failed")
    wait_for(
        lambda: "govma-run" not in service.machine.out("systemctl", "list-units", "--all", "--plain"),
        "the end of the scope",
    )
