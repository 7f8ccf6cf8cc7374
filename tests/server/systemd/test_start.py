"""From the start of the service to its first deploy: readiness, status, journal, hardening, wrong settings."""

from __future__ import annotations

from tests.server.systemd.service import NAME, SITE, SOCKET, STATE, WAITING, Service
from tests.support.waiting import wait_for

INFORMATIONAL, ERROR = "6", "3"


def test_the_service_counts_as_started_when_it_answers(service: Service) -> None:
    """Guards Type=notify: `systemctl start` returns, and the very next request is answered."""
    service.begin()
    answer = service.curl("/healthz")
    assert (answer.code, answer.out) == (0, "ok\n")
    assert service.show("Type") == "notify"
    assert service.show("StatusText") == "Waiting for requests"


def test_what_the_installation_prints_starts_the_service_now_and_at_each_boot(service: Service) -> None:
    service.machine.shell(service.command("units", "--install", "--socket"))
    assert service.show("ActiveState") == "active"
    for unit in (NAME, SOCKET):
        assert service.systemctl("is-enabled", unit) == "enabled\n"
    assert service.curl("/healthz").out == "ok\n"


def test_the_status_names_the_stage_while_a_deploy_runs(service: Service) -> None:
    service.begin(install_command=WAITING)
    answer = service.deploy()
    record = service.going_in("assets/install")
    service.wait_for_property("StatusText", f"deploy {record['id']}: assets/install")
    service.open_gate()
    assert "successfully deployed" in answer.result().out
    service.wait_for_property("StatusText", "Waiting for requests")


def test_a_deploy_works_within_the_hardening(service: Service) -> None:
    """Guards what the unit forbids: owners are changed, and the build is another user's, all the same."""
    before = service.version()
    service.begin(
        install_command="id -u >built-by; test -w .",
        build_commands=["echo by $(cat built-by)", "grep -E 'NoNewPrivs|^Seccomp:' /proc/self/status"],
    )
    answer = service.deploy().result()
    assert "successfully deployed" in answer.out, answer
    assert "by 1000\n" in answer.out
    assert "NoNewPrivs:\t1\n" in answer.out.replace("    ", "\t")
    assert "Seccomp:\t2\n" in answer.out.replace("    ", "\t")
    assert service.version() != before
    owners = service.machine.out("find", f"{SITE}/www_versions/{service.version()}/", "-printf", "%U:%G\n")
    assert set(owners.split()) == {"33:33"}


def test_a_service_that_may_not_write_where_a_deploy_does_is_not_ready(service: Service) -> None:
    service.configure()
    service.install(drop_in="ProtectSystem=strict")
    service.systemctl("start", NAME)
    readiness = service.curl("/readyz").out
    assert f"versions_dir ({SITE}/www_versions) is mounted read-only" in readiness
    assert readiness.strip() in service.deploy().result().out


def test_the_journal_knows_priorities_and_the_run_of_each_line(service: Service) -> None:
    service.begin(install_command="echo first >&2; exit 7")
    answer = service.deploy().result()
    assert "deploy failed" in answer.out
    run_id = service.runs()[0]["id"]
    wait_for(lambda: service.machine.journal(f"RUN_ID={run_id}", f"PRIORITY={ERROR}"), "the end in the journal")
    entries = service.machine.journal(f"RUN_ID={run_id}")
    assert {entry["_SYSTEMD_UNIT"] for entry in entries} == {NAME}
    assert {entry["SYSLOG_IDENTIFIER"] for entry in entries} == {"govma-console"}
    priorities = {entry["MESSAGE"]: entry["PRIORITY"] for entry in entries}
    stages = [text.removeprefix("stage ") for text in priorities if text.startswith("stage ")]
    assert stages == ["preflight", "source", "workdir", "assets", "assets/install"]
    assert priorities["stage assets"] == INFORMATIONAL
    assert entries[0]["MESSAGE"].startswith("deploy, asked for by root")
    assert [priority for text, priority in priorities.items() if text.startswith("failed: ")] == [ERROR]


def test_the_state_directory_is_made_by_the_service_manager(service: Service) -> None:
    service.configure()
    service.install()
    assert not service.machine.exists(STATE)
    service.systemctl("start", NAME)
    assert service.show("StateDirectory") == "govma-console"
    assert service.machine.out("stat", "-c", "%A %U", STATE).strip() == "drwx------ root"
    assert service.machine.exists(f"{STATE}/runs")


def test_wrong_settings_end_the_service_for_good_and_the_journal_says_why(service: Service) -> None:
    service.configure()
    service.install()
    service.configure(queue="sometimes")
    assert service.machine.run("systemctl", "start", NAME).code != 0
    assert service.show("ActiveState") == "failed"
    assert service.show("SubState") == "failed"
    assert service.show("ExecMainStatus") == "3"
    assert service.show("NRestarts") == "0"
    invocation = service.show("InvocationID")
    entries = service.machine.journal(f"_SYSTEMD_INVOCATION_ID={invocation}")
    (entry,) = [entry for entry in entries if "queue" in entry["MESSAGE"]]
    assert entry["PRIORITY"] == ERROR
    service.configure(queue="each")
    service.systemctl("start", NAME)
