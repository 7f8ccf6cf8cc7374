"""The sockets: those that systemd holds while the server restarts, and the rights of the unix socket."""

from __future__ import annotations

import pytest

from tests.server.systemd.service import COULD_NOT_CONNECT, NAME, SOCKET, URL, WAITING, Service
from tests.support.waiting import wait_for

UNIX = "/run/govma-console.sock"
DEDUPE = (
    *("curl", "--silent", "--show-error", "--unix-socket", UNIX, "--header", "content-type: application/json"),
    *("--data", '{"operation": "dedupe"}', "--write-out", "%{http_code}", "--output", "/dev/null"),
    "http://localhost/api/v1/runs",
)
CALLS = """
n=0
until [ -e /run/enough ]; do
    answer=$(curl --silent --show-error --max-time 30 "$1") || exit 1
    case $answer in *"$2") n=$((n + 1)) ;; *) echo "$answer" >&2; exit 1 ;; esac
done
echo $n
"""
"""Calls one after the other, each on a connection of its own; each answer must end as it should. Gives their number."""


def begin(service: Service, **settings: object) -> None:
    """Configure, install with the sockets, and start."""
    service.configure(**settings)
    service.install(socket=True)
    service.systemctl("start", SOCKET)


def test_the_first_caller_starts_the_service(service: Service) -> None:
    begin(service)
    assert service.show("ActiveState") == "inactive"
    assert "successfully deployed" in service.deploy().result().out
    assert service.show("ActiveState") == "active"
    assert service.show("TriggeredBy") == SOCKET


def test_a_caller_who_comes_during_a_restart_is_answered_by_the_next_server(service: Service) -> None:
    begin(service, install_command=WAITING)
    going = service.deploy()
    service.going_in("assets")
    former = service.show("MainPID")
    restarted = service.machine.start("systemctl", "restart", NAME)
    service.wait_for_property("ActiveState", "deactivating")
    # The former server listens no more, so this one waits in the kernel's queue.
    wait_for(lambda: "closed" in listeners(service, former), "the end of its listening")
    late = service.deploy()
    wait_for(lambda: queued(service), "a caller in the queue")
    service.open_gate()
    assert restarted.result().code == 0
    for answer in (going, late):
        assert "successfully deployed" in answer.result().out
    assert len(service.runs()) == 2


def listeners(service: Service, pid: str) -> str:
    """Say whether a process still has listening sockets."""
    descriptors = service.machine.run("sh", "-c", f"readlink /proc/{pid}/fd/*").out.split()
    table = service.machine.out("cat", "/proc/net/tcp").splitlines()[1:]
    listening = {f"socket:[{line.split()[9]}]" for line in table if line.split()[3] == "0A"}
    return "open" if listening & set(descriptors) else "closed"


def queued(service: Service) -> bool:
    """Tell whether a connection waits to be accepted (rx_queue of a listening socket, proc_net(5))."""
    table = service.machine.out("cat", "/proc/net/tcp").splitlines()[1:]
    return any(int(line.split()[4].split(":")[1], 16) for line in table if line.split()[3] == "0A")


def test_restarts_lose_no_caller(service: Service) -> None:
    """Guards the moments of the hand-over: connections that were accepted but not answered yet, above all."""
    begin(service, requests_per_minute=1_000_000)
    service.systemctl("start", NAME)
    requests = [("/readyz", "ready")] * 3 + [("/deploy", "ok, exit code 0")] * 2
    callers = [service.machine.start("sh", "-c", CALLS, "sh", f"{URL}{path}", end) for path, end in requests]
    try:
        for _ in range(4):
            service.systemctl("reset-failed", NAME)
            service.systemctl("restart", NAME)
    finally:
        service.machine.out("touch", "/run/enough")
        ended = [caller.result() for caller in callers]
        service.machine.out("rm", "/run/enough")
    assert [call.err for call in ended] == [""] * len(ended)
    assert all(int(call.out) > 1 for call in ended)
    assert {run["state"] for run in service.runs()} == {"ok"}


@pytest.mark.parametrize("opened_by", ["the server", "systemd"])
def test_the_unix_socket_lets_its_group_change_everything_and_others_nothing(service: Service, opened_by: str) -> None:
    service.machine.shell(
        "getent group deployers || groupadd deployers;"
        "id deployer 2>/dev/null || useradd --groups deployers deployer; id stranger 2>/dev/null || useradd stranger"
    )
    if opened_by == "systemd":
        begin(service, unix_group="deployers")
    else:
        service.begin(unix_group="deployers")
    assert service.machine.out("stat", "-c", "%A %U:%G", UNIX).strip() == "srw-rw---- root:deployers"
    service.machine.out("curl", "--silent", "--unix-socket", UNIX, "http://localhost/healthz", user="deployer")
    assert service.machine.run(*DEDUPE, user="stranger").code == COULD_NOT_CONNECT
    assert service.machine.out(*DEDUPE, user="deployer") == "202"
    wait_for(lambda: service.runs()[0]["state"] == "ok", "the end of the run")
    assert service.runs()[0]["by"] == "deployer"


def test_without_a_group_the_unix_socket_is_root_s_alone(service: Service) -> None:
    service.begin()
    assert service.machine.out("stat", "-c", "%A %U:%G", UNIX).strip() == "srw------- root:root"
    assert service.machine.run(*DEDUPE, user="node").code == COULD_NOT_CONNECT
    assert service.machine.out(*DEDUPE) == "202"
    wait_for(lambda: service.runs()[0]["state"] == "ok", "the end of the run")
    service.systemctl("stop", NAME)
    assert not service.machine.exists(UNIX)


def test_callers_do_not_make_a_service_with_wrong_settings_start_again_and_again(service: Service) -> None:
    """Each caller has it tried, a few times; then systemd closes the sockets until somebody looks after it."""
    begin(service)
    service.configure(queue="sometimes")
    assert service.deploy().result().code != 0
    service.wait_for_property("Result", "service-start-limit-hit", SOCKET)
    assert service.show("ExecMainStatus") == "3"
    assert service.show("NRestarts") == "0"
    service.configure(queue="each")
    service.systemctl("reset-failed", NAME, SOCKET)
    service.systemctl("start", SOCKET)
    assert "successfully deployed" in service.deploy().result().out


def test_systemd_has_nothing_to_say_against_the_units(service: Service) -> None:
    begin(service, unix_group="root")
    service.systemctl("start", NAME)
    for unit in (NAME, SOCKET):
        invocation = service.show("InvocationID", unit)
        warnings = service.machine.journal(f"INVOCATION_ID={invocation}", "--priority=warning")
        assert [entry["MESSAGE"] for entry in warnings] == []
    verified = service.machine.run("systemd-analyze", "verify", NAME, SOCKET)
    assert (verified.code, verified.out, verified.err) == (0, "", "")
