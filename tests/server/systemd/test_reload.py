"""`systemctl reload`: settings are read again, and wrong ones change nothing."""

from __future__ import annotations

import json
from typing import Any

from tests.server.systemd.service import NAME, WAITING, Service
from tests.support.waiting import wait_for


def said(service: Service, text: str) -> list[dict[str, Any]]:
    """Wait until this service's journal has a line with this text, and give those."""
    invocation = service.show("InvocationID")
    return wait_for(
        lambda: [
            entry
            for entry in service.machine.journal(f"_SYSTEMD_INVOCATION_ID={invocation}")
            if text in entry["MESSAGE"]
        ],
        f"{text!r} in the journal",
    )


def test_a_reload_takes_the_settings_as_they_are_now_and_drops_nobody(service: Service) -> None:
    service.begin(install_command=WAITING)
    former = service.show("MainPID")
    answer = service.deploy()
    service.going_in("assets")
    service.configure(install_command="echo the new command")
    service.systemctl("reload", NAME)
    said(service, "The settings were read again.")
    service.wait_for_property("ActiveState", "active")
    service.open_gate()
    assert "successfully deployed" in answer.result().out
    assert "the new command" not in answer.result().out
    assert "the new command" in service.deploy().result().out
    assert service.show("MainPID") == former


def test_wrong_settings_are_told_of_and_the_former_ones_kept(service: Service) -> None:
    service.begin(install_command="echo the former command")
    former = service.show("MainPID")
    service.configure(queue="sometimes", install_command="echo the new command")
    service.systemctl("reload", NAME)
    (entry,) = said(service, "The settings are wrong, keeping the previous ones: ")
    assert entry["PRIORITY"] == "3"
    assert "queue" in entry["MESSAGE"]
    assert service.show("StatusText") == "The settings are wrong; the previous ones are kept"
    assert service.show("ActiveState") == "active"
    assert service.show("MainPID") == former
    assert "the former command" in service.deploy().result().out
    service.configure(queue="each")
    service.systemctl("reload", NAME)
    said(service, "The settings were read again.")
    service.wait_for_property("StatusText", "Waiting for requests")
    assert "the new command" in service.deploy().result().out


def test_a_reload_in_the_middle_of_a_deploy_keeps_the_stage_in_the_status(service: Service) -> None:
    service.begin(install_command=WAITING)
    answer = service.deploy()
    record = service.going_in("assets/install")
    status = f"deploy {record['id']}: assets/install"
    service.wait_for_property("StatusText", status)
    service.systemctl("reload", NAME)
    said(service, "The settings were read again.")
    assert service.show("StatusText") == status
    service.open_gate()
    answer.result()


def test_a_reload_says_which_changes_take_a_restart(service: Service) -> None:
    service.begin()
    service.configure(listen_addr="127.0.0.1:50025")
    service.systemctl("reload", NAME)
    (entry,) = said(service, "listen_addr was changed; that takes a restart.")
    assert entry["PRIORITY"] == "4"
    assert json.loads(service.curl("/api/v1/status").out)
