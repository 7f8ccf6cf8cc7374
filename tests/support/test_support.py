"""The ground the other tests stand on: images that run, and an engine that leaves nothing behind."""

from __future__ import annotations

import dataclasses
import json
import os
import secrets
import subprocess
import sys
import tarfile
from contextlib import AbstractContextManager
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
from tests.support.engine_traces import CGROUPS
from tests.support.images import NODE_UID, busybox_image, imported
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


def test_images_of_two_recipes_do_not_replace_each_other_and_left_ones_go(
    docker_engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two checkouts on one engine: with one tag for both, a test ran in the image of the other's recipe."""
    monkeypatch.setattr("tests.support.images.LOCKS", tmp_path / "locks")
    # A private engine goes as a whole, and its images with it.
    engine = dataclasses.replace(docker_engine, private=False)
    name = f"govma-test/recipes-{secrets.token_hex(4)}"
    content = tmp_path / "content.tar"
    with tarfile.open(content, "w") as tar:
        tar.add(__file__, "file")

    def tags() -> set[str]:
        return {tag for image in client.images.list(name) for tag in image.tags}

    def image(recipe: str) -> AbstractContextManager[str]:
        return imported(engine, name, recipe, lambda: content, ())

    with docker_engine.client() as client:
        client.api.import_image_from_file(str(content), repository=name, tag="left")
        with image("one") as one:
            assert tags() == {one}
            with image("two") as two, image("one"):
                assert tags() == {one, two}
            assert tags() == {one}
        assert tags() == set()


@pytest.mark.root
@pytest.mark.engine
@pytest.mark.usefixtures("may_start_engine")
def test_a_private_engine_works_and_leaves_nothing_behind() -> None:
    with private_engine() as engine, busybox_image(engine) as tag, engine.client() as client:
        client.networks.create("side")
        client.containers.run(tag, ["sleep", "1000"], detach=True, network="side", publish_all_ports=True)
        assert client.containers.run(tag, ["echo", "hello"], remove=True) == b"hello\n"
        assert len(traces_of(engine)) == 7
    assert traces_of(engine) == {}


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
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as session:
        assert session.stdout is not None
        engine = Engine(session.stdout.readline().strip(), private=True)
        assert len(traces_of(engine)) == 7
        session.kill()
    wait_for(lambda: traces_of(engine) == {}, "the end of the engine and of all that names it")


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
    assert in_a_network_of_its_own(script) == [after]


def test_private_engines_at_once_have_networks_of_their_own_and_the_last_puts_back(
    may_start_engine: None, tmp_path: Path
) -> None:
    """They chose the same addresses, and the end of the first left, or cut off, those that came later."""
    script = f"""
import threading; from contextlib import ExitStack, suppress; from pathlib import Path
from tests.support import engine_traces as traces
here, routes, both = Path({str(tmp_path)!r}), traces._routes, threading.Barrier(2)
def slow_routes():
    with suppress(threading.BrokenBarrierError):
        both.wait(0.5)
    return routes()
traces.LOCKS, traces.HOST_FILES, traces._routes = here / "locks", (here / "key",), slow_routes
traces.IP_FORWARD.write_text("0")
undo, networks = {{"one": ExitStack(), "two": ExitStack()}}, {{}}
def start(name):
    networks[name] = traces.join(undo[name], name)
    traces.HOST_FILES[0].touch()
threads = [threading.Thread(target=start, args=(name,)) for name in undo]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(len(set(networks.values())), len({{pool for _, pool in networks.values()}}))
for stack in undo.values():
    stack.close()
    print(traces.IP_FORWARD.read_text().strip(), traces.HOST_FILES[0].exists(), *traces.bridges())
"""
    assert in_a_network_of_its_own(script) == ["2 2", "1 True gvttwo", "0 False"]


def in_a_network_of_its_own(script: str) -> list[str]:
    """Run Python in a network namespace, which has a forwarding of its own; return the lines that it prints."""
    # Its bridges are shown by a /sys of its own.
    line = ["unshare", "--net", "--mount", "sh", "-c", 'mount -t sysfs sysfs /sys && exec "$@"', "sh"]
    line += [sys.executable, "-c", script]
    environment = {**os.environ, "PATH": SYSTEM_PATH}
    ended = subprocess.run(line, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=True)
    return ended.stdout.strip().splitlines()
