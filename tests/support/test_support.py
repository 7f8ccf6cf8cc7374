"""The ground the other tests stand on: images that run, and an engine that leaves nothing behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.engine import (
    ENGINE_PREFIX,
    REPOSITORY,
    SYSTEM_PATH,
    Engine,
    EngineUnavailableError,
    private_engine,
    require_private_engine,
)
from tests.support.engine_traces import CGROUPS, HOST_FILES, IP_FORWARD
from tests.support.images import NODE_UID, busybox_image
from tests.support.waiting import wait_for


def output(*argv: str) -> str:
    return subprocess.run(argv, capture_output=True, text=True, check=True, env={"PATH": SYSTEM_PATH}).stdout


def traces_of(engine: Engine) -> dict[str, list[str]]:
    """What names the private engine on this machine, by where it was found."""
    directory = Path(engine.host.removeprefix("unix://")).parent
    name = directory.name.removeprefix(ENGINE_PREFIX)
    places = {
        "directories": "\n".join(map(str, directory.parent.iterdir())),
        "mounts": Path("/proc/mounts").read_text(),
        "cgroups": "\n".join(map(str, [*CGROUPS.glob("*"), *CGROUPS.glob("*/*")])),
        "links": output("ip", "link"),
        "nat": output("iptables", "-w", "-t", "nat", "-S"),
        "filter": output("iptables", "-w", "-S"),
        "processes": output("ps", "-eo", "args"),
    }
    found = {place: [line for line in text.splitlines() if name in line] for place, text in places.items()}
    return {place: lines for place, lines in found.items() if lines}


def shared_state() -> object:
    """What an engine changes under names that are not its own."""
    return [path for path in HOST_FILES if path.exists()], IP_FORWARD.read_text()


@pytest.fixture
def may_start_engine() -> None:
    try:
        require_private_engine()
    except EngineUnavailableError as error:
        pytest.skip(str(error))


def test_busybox_runs_as_the_user_node(docker_engine: Engine, busybox_image: str) -> None:
    with docker_engine.client() as client:
        out = client.containers.run(busybox_image, ["sh", "-c", "id -un; cd; pwd"], user="node", remove=True)
    assert out.decode().split() == ["node", "/home/node"]


def test_node_installs_a_package_into_a_bound_directory(docker_engine: Engine, node_image: str, tmp_path: Path) -> None:
    (tmp_path / "package.json").write_text('{"private": true, "dependencies": {"is-number": "7.0.0"}}')
    if os.geteuid() == 0:
        os.chown(tmp_path, NODE_UID, NODE_UID)
    with docker_engine.client() as client:
        client.containers.run(
            node_image,
            ["npm", "install"],
            user=str(NODE_UID),
            working_dir="/site",
            volumes={str(tmp_path): {"bind": "/site", "mode": "rw"}},
            remove=True,
        )
    installed = tmp_path / "node_modules" / "is-number" / "package.json"
    assert json.loads(installed.read_text())["version"] == "7.0.0"
    assert installed.stat().st_uid == NODE_UID


@pytest.mark.root
@pytest.mark.engine
@pytest.mark.usefixtures("may_start_engine")
def test_a_private_engine_works_and_leaves_nothing_behind() -> None:
    before = shared_state()
    with private_engine() as engine, busybox_image(engine) as tag, engine.client() as client:
        client.networks.create("side")
        client.containers.run(tag, ["sleep", "1000"], detach=True, network="side", publish_all_ports=True)
        assert client.containers.run(tag, ["echo", "hello"], remove=True) == b"hello\n"
        assert len(traces_of(engine)) == 7
    assert traces_of(engine) == {}
    assert shared_state() == before


@pytest.mark.root
@pytest.mark.engine
@pytest.mark.usefixtures("may_start_engine")
def test_a_private_engine_goes_when_its_session_is_killed() -> None:
    code = """
from tests.support.engine import private_engine
from tests.support.images import busybox_image
with private_engine() as engine, busybox_image(engine) as tag, engine.client() as client:
    client.containers.run(tag, ["sleep", "1000"], detach=True)
    print(engine.host, flush=True)
    input()
"""
    before = shared_state()
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as session:
        assert session.stdout is not None
        engine = Engine(session.stdout.readline().strip(), private=True)
        assert len(traces_of(engine)) == 7
        session.kill()
    wait_for(lambda: traces_of(engine) == {}, "the end of the engine and of all that names it")
    assert shared_state() == before


def test_without_the_programs_the_reason_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.support.engine.SYSTEM_PATH", "/nonexistent")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    with pytest.raises(EngineUnavailableError, match="dockerd, containerd"), private_engine():
        pass


@pytest.mark.parametrize(
    ("meanwhile", "after"),
    [
        ("true", "0"),
        ("ip link add first0 type veth peer name first1 && ip link set first1 master before", "1"),
        ("ip link add another type bridge", "1"),
        ("ip link add another type bridge && ip link delete another", "0"),
    ],
    ids=["alone", "containers", "a later engine", "a later engine that ended"],
)
def test_forwarding_is_put_back_unless_another_engine_relies_on_it(
    may_start_engine: None, meanwhile: str, after: str
) -> None:
    """It was: every container on the machine lost its network when the tests' engine ended."""
    script = (
        "import subprocess; from pathlib import Path\n"
        "from tests.support.engine_traces import IP_FORWARD, bridges, put_back_forwarding\n"
        "subprocess.run('ip link add before type bridge', shell=True, check=True)\n"
        "IP_FORWARD.write_text('0'); earlier = bridges(); IP_FORWARD.write_text('1')\n"
        f"subprocess.run({meanwhile!r}, shell=True, check=True)\n"
        "put_back_forwarding('0\\n', set(earlier)); print(IP_FORWARD.read_text())"
    )
    # A network namespace has a forwarding of its own; its bridges are shown by a /sys of its own.
    line = ["unshare", "--net", "--mount", "sh", "-c", 'mount -t sysfs sysfs /sys && exec "$@"', "sh"]
    line += [sys.executable, "-c", script]
    environment = {**os.environ, "PATH": SYSTEM_PATH}
    ended = subprocess.run(line, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == after
