"""What becomes of the service, and of a deploy, when the server hangs, crashes or is killed."""

from __future__ import annotations

from tests.server.systemd.service import CONFIG, COULD_NOT_CONNECT, NAME, SOCKET, STATE, WAITING, Service
from tests.support.machine import COMMAND
from tests.support.waiting import wait_for

QUICKLY = "RestartSec=100ms"


def wait_for_another_server(service: Service, former: str) -> None:
    """Wait until the service is there again, by another process."""
    wait_for(lambda: service.show("MainPID") not in ("0", former), "another server")
    service.wait_for_property("ActiveState", "active")
    assert service.curl("/healthz").out == "ok\n"


def test_a_server_that_hangs_is_replaced(service: Service) -> None:
    service.begin()
    assert service.show("WatchdogUSec") == "1min"
    service.install(drop_in=f"WatchdogSec=2\n{QUICKLY}")
    service.systemctl("restart", NAME)
    first = service.show("WatchdogTimestampMonotonic")
    wait_for(lambda: service.show("WatchdogTimestampMonotonic") != first, "a sign of life")
    assert service.show("NRestarts") == "0"
    former = service.show("MainPID")
    service.machine.out("kill", "-STOP", former)
    wait_for_another_server(service, former)
    service.wait_for_property("NRestarts", "1")
    assert service.machine.journal(f"UNIT={NAME}", "UNIT_RESULT=watchdog")


def test_a_server_that_crashes_comes_back_and_one_that_is_stopped_does_not(service: Service) -> None:
    service.configure()
    service.install(drop_in=QUICKLY)
    service.systemctl("start", NAME)
    former = service.show("MainPID")
    service.machine.out("kill", "-SEGV", former)
    wait_for_another_server(service, former)
    service.wait_for_property("NRestarts", "1")
    service.machine.out("kill", "-TERM", service.show("MainPID"))
    service.wait_for_property("ActiveState", "inactive")
    assert service.show("Result") == "success"


def test_after_kill_9_the_run_is_interrupted_and_the_next_deploy_works(service: Service) -> None:
    """systemd ends what a dead server left in its cgroup: the run is no more, and everybody can see that."""
    service.configure(install_command=WAITING)
    service.install(drop_in=QUICKLY)
    service.systemctl("start", NAME)
    answer = service.deploy()
    record = service.going_in("assets/install")
    former, before = service.show("MainPID"), service.version()
    service.machine.out("kill", "-KILL", former)
    wait_for_another_server(service, former)
    assert answer.result().code != 0
    (run,) = service.runs()
    assert (run["id"], run["state"]) == (record["id"], "interrupted")
    assert service.machine.run("pgrep", "-u", "1000").out == ""
    assert '"interrupted"' in service.curl(f"/api/v1/runs/{record['id']}").out
    service.wait_for_property("StatusText", "Waiting for requests")
    assert service.version() == before
    # Nobody holds the lock: the next deploy begins at once, and puts things in order.
    service.open_gate()
    next_deploy = service.deploy().result()
    assert "successfully deployed" in next_deploy.out
    assert f"Run {record['id']} (deploy) had been interrupted during assets/install." in next_deploy.out
    assert service.version() != before
    assert not service.machine.exists(f"{STATE}/holder.json")


def test_a_deploy_of_the_command_line_outlives_the_server_and_the_next_one_follows_it(service: Service) -> None:
    """Guards runs that others started: they outlive the server, and the new one follows them."""
    service.configure(install_command=WAITING)
    service.install(drop_in=QUICKLY)
    service.systemctl("start", NAME)
    deploy = service.machine.start(COMMAND, "--config", CONFIG, "deploy")
    record = service.going_in("assets/install")
    former = service.show("MainPID")
    service.machine.out("kill", "-KILL", former)
    wait_for_another_server(service, former)
    assert service.record(record["id"])["state"] == "running"
    service.wait_for_property("StatusText", f"deploy {record['id']}: assets/install")
    service.open_gate()
    assert deploy.result().code == 0


def test_a_service_that_cannot_start_is_given_up_and_its_sockets_refuse_callers(service: Service) -> None:
    """Guards callers against a server that never comes, as after an upgrade of Python: none of them is left hanging."""
    service.configure()
    service.install(socket=True, drop_in=f"{QUICKLY}\nExecStart=\nExecStart=/usr/bin/python3 -P -m no_such_module")
    service.systemctl("start", SOCKET)
    callers = [service.deploy() for _ in range(3)]
    service.wait_for_property("Result", "service-start-limit-hit", SOCKET)
    assert all(caller.result().code != 0 for caller in callers)
    assert 0 < int(service.show("NRestarts")) <= 10
    assert service.deploy().result().code == COULD_NOT_CONNECT
    service.install(socket=True, drop_in=QUICKLY)
    service.systemctl("reset-failed", NAME, SOCKET)
    service.systemctl("start", SOCKET)
    assert service.curl("/healthz").out == "ok\n"
    assert service.runs() == []
