"""The build in a throwaway container of a real engine, and that nothing of it stays."""

from __future__ import annotations

import gc
import io
import os
import re
import secrets
import shutil
import socket
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar, cast

import pytest
from docker import DockerClient
from docker.errors import ImageNotFound
from docker.models.containers import Container

from govma_core.building.build_script import BuildLog
from govma_core.building.docker_builder import Attachment
from govma_core.errors import BuildError, EngineError, RunCancelled
from govma_core.reporting import Cancellation, Reporter
from tests.support.builder_contract import BuilderContract
from tests.support.builds import Place, job_of
from tests.support.builds import place as made_place
from tests.support.cut_line import cut_line
from tests.support.engine import Engine
from tests.support.waiting import wait_for


@pytest.fixture
def place(busybox_image: str) -> Iterator[Place]:
    with made_place(builder="docker", builder_image=busybox_image) as place:
        yield place


@pytest.fixture
def containers(docker_engine: Engine, place: Place) -> Iterator[Callable[[], list[Container]]]:
    """Yield a function that lists this site's containers."""
    label = f"govma-console.site={place.settings.versions_dir}"
    with docker_engine.client() as client:

        def listed() -> list[Container]:
            return client.containers.list(all=True, ignore_removed=True, filters={"label": label})

        yield listed
        for container in listed():
            container.remove(force=True)


@pytest.fixture
def built_image(docker_engine: Engine, place: Place) -> Iterator[str]:
    """Have the place build an image with a tag of its own; all it made is removed afterwards."""
    tag = f"govma-test/builder-{secrets.token_hex(4)}:latest"
    place.set(builder_image=tag)
    yield tag
    label = f"govma-console.site={place.settings.versions_dir}"
    with docker_engine.client() as client:
        for image in client.images.list(filters={"label": label}):
            client.images.remove(str(image.id), force=True)
        with suppress(ImageNotFound):
            client.images.remove(tag, force=True)


def make_folder(place: Place, dockerfile: str, **files: str) -> Path:
    folder = place.root / "folder"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name, content in {"Dockerfile": dockerfile, **files}.items():
        (folder / name).write_text(content)
    return folder


def prepare(place: Place, dockerfile: str, **files: str) -> str:
    """Have the image made of a folder."""
    return place.builder.prepare(make_folder(place, dockerfile, **files), place.reporter)


class TestDockerBuilder(BuilderContract):
    """The common tests, and no container left after any of them."""

    @pytest.fixture(autouse=True)
    def _nothing_left(self, containers: Callable[[], list[Container]]) -> Iterator[None]:
        yield
        assert containers() == []


def test_the_build_has_no_rights_but_those_of_its_user(place: Place) -> None:
    place.build("id -u; id -g; pwd; echo $HOME; grep -E 'CapBnd|NoNewPrivs' /proc/self/status; umask")
    assert place.lines() == [
        "1000",
        "1000",
        "/src",
        "/home/node",
        "CapBnd:    0000000000000000",
        "NoNewPrivs:    1",
        "0022",
    ]


def test_a_user_whom_the_image_does_not_know_gets_a_home(place: Place) -> None:
    place.set(build_uid=54321, build_gid=54321)
    place.build("echo $HOME; touch $HOME/mine")
    assert place.lines() == ["/tmp"]


def test_node_modules_is_the_kept_directory(place: Place) -> None:
    place.build("echo made > node_modules/package")
    assert (place.cache / "package").read_text() == "made\n"
    if os.geteuid() == 0:
        assert place.cache.stat().st_uid == place.settings.build_uid
    place.build("cat node_modules/package")
    assert place.lines() == ["made"]
    assert list((place.work / "node_modules").iterdir()) == []


def test_a_link_called_node_modules_in_the_work_dir_never_reaches_the_host(place: Place) -> None:
    place.build("ln -s /etc trap; rm -rf node_modules 2>/dev/null; ln -s /etc node_modules || echo refused")
    # The mount point cannot be replaced from inside: a link lands in the kept directory, and stays a link.
    assert (place.work / "node_modules").is_dir()
    assert not (place.work / "node_modules").is_symlink()
    assert not place.cache.is_symlink()


def test_running_out_of_memory_is_told_as_that(place: Place) -> None:
    place.set(build_memory="32m")
    with pytest.raises(BuildError, match=r"the step step-2, `tail /dev/zero`, ran out .*32m \(build_memory\)"):
        place.build("echo begin", "tail /dev/zero")


def test_the_limits_reach_the_container(place: Place, containers: Callable[[], list[Container]]) -> None:
    place.set(build_memory="64m", build_cpus=0.5)
    host_config = {}

    def look() -> None:
        host_config.update(containers()[0].attrs["HostConfig"])
        (place.work / "go").touch()

    thread = place.when("ready", look)
    place.build("echo ready; until [ -e go ]; do sleep 0.1; done")
    thread.join()
    assert (host_config["Memory"], host_config["MemorySwap"], host_config["NanoCpus"]) == (
        64 << 20,
        64 << 20,
        500_000_000,
    )
    assert host_config["PidsLimit"] == 4096
    assert host_config["LogConfig"]["Type"] == "none"
    # Where the engine has userns-remap, uid 1000 of a container is another user, and cannot write the work dir.
    assert host_config["UsernsMode"] == "host"


def test_what_a_killed_run_left_is_removed_and_named(place: Place, containers: Callable[[], list[Container]]) -> None:
    with place.detached("echo ready; sleep 1000") as process:
        wait_for(lambda: process.stdout and process.stdout.readline() == "ready\n", "the build's line")
    (leftover,) = containers()
    assert leftover.status == "running"
    place.builder.remove_leftovers(place.reporter)
    assert containers() == []
    (line,) = place.lines("warning")
    assert str(leftover.name) in line
    assert leftover.labels["govma-console.run"] in line


def test_containers_of_other_sites_are_left_alone(place: Place, containers: Callable[[], list[Container]]) -> None:
    with place.detached("echo ready; sleep 1000") as process:
        wait_for(lambda: process.stdout and process.stdout.readline() == "ready\n", "the build's line")
    mine = place.settings
    place.set(versions_dir=place.root / "other")
    place.builder.remove_leftovers(place.reporter)
    place.settings = mine
    assert len(containers()) == 1
    assert place.lines("warning") == []


def test_the_image_is_made_from_the_folder_and_identified(place: Place, built_image: str, busybox_image: str) -> None:
    dockerfile = (
        f"FROM {busybox_image}\nCOPY said /said\nRUN : {secrets.token_hex()}; cat /said && printf '\\033[31mred\\n'\n"
    )
    first = prepare(place, dockerfile, said="words\n")
    assert first.startswith("sha256:")
    assert {"words", "red"} <= set(place.lines())
    assert prepare(place, dockerfile, said="words\n") == first
    assert place.builder.prepare(None, place.reporter) == first
    assert prepare(place, dockerfile, said="other\n") != first
    place.build("cat /said")
    assert place.lines()[-1] == "other"


def test_a_build_runs_in_the_image_it_was_prepared_with(
    place: Place, built_image: str, busybox_image: str, docker_engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guards what is recorded of a build: another site, or deploy.sh, may give the name to another image meanwhile."""
    builder = place.builder
    monkeypatch.setattr("tests.support.builds.make_builder", lambda settings: builder)
    prepare(place, f"FROM {busybox_image}\nRUN echo mine > /said\n")
    with docker_engine.client() as client:
        client.images.get(busybox_image).tag(*built_image.split(":"))
    place.build("cat /said")
    assert place.lines()[-1] == "mine"


def test_an_image_that_prints_much_is_made(place: Place, built_image: str, busybox_image: str) -> None:
    # BuildKit keeps no more than 200 KiB a second; and says nothing again of what it knows.
    commands = f": {secrets.token_hex()}; yes line | head -n 15000; head -c 50000 /dev/zero | tr '\\0' x; echo"
    dockerfile = f"FROM {busybox_image}\nRUN {commands}\n"
    prepare(place, dockerfile)
    assert place.lines().count("line") == 15_000
    assert any("more bytes of this line are not kept" in line for line in place.lines())


def test_the_image_is_that_of_docker_build(
    place: Place, built_image: str, busybox_image: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guards .dockerignore; and that a program for credentials matters only where credentials are needed."""
    (place.root / "config.json").write_text('{"credsStore": "absent", "credHelpers": {"registry.test": "absent"}}')
    monkeypatch.setenv("DOCKER_CONFIG", str(place.root))
    dockerfile = f"FROM {busybox_image}\nCOPY . /all/\n"
    prepare(place, dockerfile, **{".dockerignore": "*.log\n!kept.log\n", "a.log": "", "kept.log": "", "b": ""})
    place.build("cd /all && ls")
    assert {"b", "kept.log"} <= set(place.lines())
    assert "a.log" not in place.lines()


def test_no_image_lacks_what_its_dockerfile_asks_for(place: Place, built_image: str, busybox_image: str) -> None:
    """Guards what a classic builder leaves out without a word: it is made, or refused by name."""
    refusal = ""
    try:
        prepare(place, f"FROM {busybox_image}\nRUN <<EOF\necho words > /said\nEOF\n")
        place.build("cat /said")
    except BuildError as error:
        refusal = str(error)
    assert place.lines()[-1] == "words" or re.search("ignores <<EOF .* use BuildKit: |unknown instruction", refusal)


FAILING = {
    "RUN exit 3": "exit 3.* code: 3",
    "RUN echo 'No space left on device' && exit 4": r" code: 4\. Docker's disk is full: `docker system df`",
    "COPY absent /": "absent.* not found|not found in build context or excluded by .dockerignore",
    "RUN --mount=type=nonsense true": "the --mount option requires BuildKit.*docker-buildx|nonsense",
    "FROM 127.0.0.1:1/absent": r"connection refused\. Look whether the base image .* registry .*\(docker login\)",
}


@pytest.mark.parametrize("instruction", FAILING)
def test_why_an_image_cannot_be_made_is_a_sentence(
    place: Place, built_image: str, busybox_image: str, instruction: str
) -> None:
    with pytest.raises(BuildError, match=rf"could not be made from docker/builder: .*{FAILING[instruction]}") as caught:
        prepare(place, f"FROM {busybox_image}\n{instruction}\n")
    assert ("registry" in str(caught.value)) == instruction.startswith("FROM")


@pytest.mark.parametrize("dockerfile", ["", "NONSENSE\n"])
def test_a_dockerfile_that_is_none_is_a_sentence(place: Place, built_image: str, dockerfile: str) -> None:
    with pytest.raises(BuildError, match="docker/builder"):
        prepare(place, dockerfile)


def test_neither_folder_nor_image_is_a_sentence(place: Place, built_image: str) -> None:
    with pytest.raises(BuildError, match=rf"no docker/builder .* no image {built_image} \(builder_image\)"):
        place.builder.prepare(None, place.reporter)


def test_a_build_without_its_image_is_a_sentence(place: Place, built_image: str) -> None:
    with pytest.raises(EngineError, match=rf"Docker could not make a container of the image {built_image}"):
        place.build("true")


def test_an_image_without_a_shell_is_a_sentence(place: Place, built_image: str, docker_engine: Engine) -> None:
    tar = io.BytesIO()
    tarfile.open(fileobj=tar, mode="w").close()
    with docker_engine.client() as client:
        client.api.import_image_from_data(tar.getvalue(), repository=built_image.partition(":")[0], tag="latest")
    with pytest.raises(EngineError, match=r"Docker could not start the build's container: .*sh"):
        place.build("true")


@pytest.mark.parametrize("way", ["cancelled", "out of time", "killed"])
def test_the_making_of_an_image_ends_with_its_run(
    place: Place, built_image: str, busybox_image: str, docker_engine: Engine, way: str
) -> None:
    dockerfile = f"FROM {busybox_image}\nRUN echo waiting; exec sleep 998877\n"
    if way == "cancelled":
        with place.cancelled_by_signal("waiting"), pytest.raises(RunCancelled):
            prepare(place, dockerfile)
    elif way == "out of time":
        place.set(build_timeout=1)
        with pytest.raises(BuildError, match=r"within 1 s \(build_timeout\)"):
            prepare(place, dockerfile)
    else:
        with place.detached(folder=make_folder(place, dockerfile)) as process:
            wait_for(lambda: process.stdout and process.stdout.readline() == "waiting\n", "the step")

    def is_gone(client: DockerClient) -> bool:
        processes = subprocess.run(["pgrep", "-f", f"998877|{built_image}"], stdout=subprocess.DEVNULL, check=False)
        containers = client.containers.list(all=True, ignore_removed=True)
        return processes.returncode == 1 and not any("998877" in str(each.attrs) for each in containers)

    # The engine notices that nobody listens any more, and ends the step.
    with docker_engine.client() as client:
        wait_for(lambda: is_gone(client), "the end of the step and of docker build")


def test_an_engine_that_is_not_there_is_a_sentence(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{place.root}/no.sock")
    (problem,) = place.builder.preflight()
    assert problem == (
        f"Docker does not answer at unix://{place.root}/no.sock: No such file or directory. "
        "Start it (systemctl start docker), or build without it: GOVMA_BUILDER=local."
    )
    for call in (
        lambda: place.builder.remove_leftovers(place.reporter),
        lambda: place.builder.prepare(None, place.reporter),
        lambda: place.build("true"),
    ):
        with pytest.raises(EngineError, match="Docker does not answer"):
            call()


@pytest.mark.parametrize("host", ["tcp://127.0.0.1:1", "nonsense://x"])
def test_an_address_without_engine_is_a_sentence(place: Place, monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    monkeypatch.setenv("DOCKER_HOST", host)
    (problem,) = place.builder.preflight()
    assert problem.startswith(f"Docker does not answer at {host}: ")
    assert "\n" not in problem
    assert "Connection" not in problem.replace("Connection refused", "")


def test_an_engine_that_answers_has_no_problem_but_a_missing_docker_build(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert place.builder.preflight() == []
    monkeypatch.setenv("PATH", str(place.root))
    (problem,) = place.builder.preflight()
    assert problem.startswith("The program docker, which makes the builder image, is not installed")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_engine_that_dies_in_a_build_is_a_sentence(
    place: Place,
    docker_engine: Engine,
    monkeypatch: pytest.MonkeyPatch,
    containers: Callable[[], list[Container]],
) -> None:
    path = Path(place.root, "cut.sock")
    with cut_line(path, docker_engine) as line:
        monkeypatch.setenv("DOCKER_HOST", line.host)
        thread = place.when("ready", line.cut)
        with pytest.raises(BuildError, match=r"stopped answering during the build .*the step step-1, `echo ready"):
            place.build("echo ready; sleep 1000")
        thread.join()
    assert any("could not be removed" in text for text in place.lines("warning"))
    # The SDK leaves the sockets that it could not connect to the garbage collector, which warns.
    gc.collect()
    monkeypatch.setenv("DOCKER_HOST", docker_engine.host)
    place.builder.remove_leftovers(place.reporter)
    assert containers() == []


class StalledContainer:
    """Stands in for a container that has ended; what its engine sends comes through a socket of the test."""

    attrs: ClassVar[dict[str, Any]] = {"State": {"Running": False}}

    def __init__(self, stream: socket.socket) -> None:
        self._stream = stream

    def attach_socket(self, params: dict[str, int]) -> socket.socket:
        return self._stream

    def reload(self) -> None:
        """Have nothing to look up."""


def test_output_that_stops_in_the_middle_is_waited_for_no_longer_than_a_moment() -> None:
    """Guards build_timeout where the engine stops while it sends: the rest of its piece may never come."""
    ours, engines = socket.socketpair()
    cancellation = Cancellation()
    log = BuildLog(job_of("make"), Reporter(lambda event: None, cancellation))
    with ours, engines:
        attachment = Attachment(cast(Container, StalledContainer(ours)), cancellation, log)
        ours.settimeout(0.05)
        engines.sendall(b"\1\0\0\0\0\0\0\5first\2\0\0\0\0\0\0\6sec")
        assert [attachment.receive(), attachment.receive()] == [b"first", None]
        engines.sendall(b"ond\1\0\0\0\0")
        assert [attachment.receive(), attachment.receive()] == [b"second", None]
        engines.shutdown(socket.SHUT_WR)
        assert [attachment.receive(), attachment.receive()] == [b"", b""]
