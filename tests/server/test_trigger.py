"""`govma-console trigger`: the exit code of the run, a line that breaks, and Ctrl-C that only detaches."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from govma_console.cli.trigger_client import ServerClient
from tests.support.command import Command, environment
from tests.support.sample import SampleSite, create_sample
from tests.support.server import Server
from tests.support.waiting import wait_for


@pytest.fixture
def site(tmp_path: Path) -> SampleSite:
    tmp_path.chmod(0o755)
    return create_sample(tmp_path / "site")


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Path]:
    """Yield a file that holds builds for as long as it is there."""
    path = tmp_path / "hold"
    path.touch()
    yield path
    path.unlink(missing_ok=True)


def waiting_at(gate: Path) -> dict[str, object]:
    build = f'echo before; while [ -e "{gate}" ]; do sleep 0.02; done; echo after'
    return {"install_command": build, "build_commands": [], "asset_inputs": []}


def command(server: Server) -> Command:
    return Command(server.site.config_file, server.site.state_dir)


def test_a_deploy_that_went_well_is_shown_and_exits_with_0(site: SampleSite) -> None:
    with Server(site) as server:
        trigger = command(server).run("trigger", server.url)
    assert trigger.code == 0, trigger.err
    assert "successfully deployed" in trigger.out
    assert trigger.out.splitlines()[-1].endswith("ok, exit code 0")


def test_a_failed_deploy_exits_as_the_run_did(site: SampleSite) -> None:
    (site.source_dir / "left by somebody").touch()
    with Server(site) as server:
        trigger = command(server).run("trigger", server.url)
        (run,) = server.runs.records()
    assert trigger.code == run.exit_code == 3
    assert "deploy failed: " in trigger.out


def test_a_failed_deploy_exits_so_when_the_reader_of_the_log_has_gone(site: SampleSite) -> None:
    (site.source_dir / "left by somebody").touch()
    with Server(site) as server:
        line = shlex.join(command(server).line("trigger", server.url))
        script = f"{{ sleep 0.2; {line}; }} | true; exit ${{PIPESTATUS[0]}}"
        trigger = subprocess.run(["bash", "-c", script], env=environment(), capture_output=True, check=False)
    assert (trigger.returncode, trigger.stderr) == (3, b"")


def test_without_a_url_the_settings_say_where_the_server_is(site: SampleSite) -> None:
    with Server(site) as server:
        trigger = command(server).run("trigger", LISTEN_ADDR=f"127.0.0.1:{server.port}")
    assert trigger.code == 0


def test_nobody_there_is_a_sentence(site: SampleSite) -> None:
    trigger = Command(site.config_file, site.state_dir).run("trigger", "http://127.0.0.1:1")
    assert trigger.code == 1
    assert "No server answers at 127.0.0.1:1" in trigger.err


def test_a_url_that_is_none_is_a_sentence(site: SampleSite) -> None:
    trigger = Command(site.config_file, site.state_dir).run("trigger", "https://[")
    assert trigger.code == 2
    assert "is not the address of a server" in trigger.err


def test_a_busy_server_that_sends_away_gives_exit_code_4(site: SampleSite, gate: Path) -> None:
    with Server(site, queue="reject", **waiting_at(gate)) as server:
        first = command(server).start("trigger", server.url)
        command(server).wait_for_stage("assets")
        trigger = command(server).run("trigger", server.url)
        gate.unlink()
        first.communicate()
    assert trigger.code == 4
    assert "has not ended" in trigger.err
    assert first.returncode == 0


def test_ctrl_c_leaves_the_run_to_itself(site: SampleSite, gate: Path) -> None:
    with Server(site, **waiting_at(gate)) as server:
        process = command(server).start("trigger", server.url)
        run = command(server).wait_for_stage("assets")
        assert process.stdout is not None
        # It shows the log: it is past its start.
        log = b""
        while b"before" not in log:
            log += os.read(process.stdout.fileno(), 4096)
        process.send_signal(signal.SIGINT)
        _, message = process.communicate()
        assert process.returncode == 130
        assert f"attach {run.id}" in message.decode()
        gate.unlink()
        wait_for(lambda: server.runs.read(run.id).state == "ok", "the run's end")


def test_a_server_that_is_killed_and_comes_back_is_taken_up_again_where_the_line_broke(
    site: SampleSite, gate: Path
) -> None:
    server = Server(site, **waiting_at(gate))
    server.start()
    process = command(server).start("trigger", server.url)
    command(server).wait_for_stage("assets")
    server.process.kill()
    server.process.wait()
    with Server(site, listen_addr=f"127.0.0.1:{server.port}", **waiting_at(gate)):
        gate.unlink()
        out, _ = process.communicate(timeout=60)
    lines = out.decode().splitlines()
    assert process.returncode == 0
    assert [lines.count(f"   {word}") for word in ("before", "after")] == [1, 1]
    assert lines[-1].endswith("ok, exit code 0")


@pytest.mark.parametrize(
    ("words", "address"),
    [
        (":50024", ("127.0.0.1", 50024)),
        ("0.0.0.0:50024", ("127.0.0.1", 50024)),
        ("[::]:50024", ("127.0.0.1", 50024)),
        ("[::1]:50024", ("::1", 50024)),
        ("localhost:http", ("localhost", 80)),
        ("http://[::1]:50024/deploy", ("::1", 50024)),
        ("deploy.example.org", ("deploy.example.org", 80)),
    ],
)
def test_an_address_is_asked_however_it_is_written(words: str, address: tuple[str, int]) -> None:
    assert ServerClient(words)._address == address
