"""Restarts of containers that go wrong: what was before is back, or a sentence says what is not."""

from __future__ import annotations

import os
import signal
import socket

import pytest

from govma_core.errors import RestartError
from tests.support.images import busybox_tag
from tests.support.stack import Stack, dockerfile
from tests.support.waiting import wait_for

pytestmark = [pytest.mark.slow, pytest.mark.each_debian]

FAILING = "RUN echo 'sleep 0.2; exit 3' > /start"


def _shape(site: Stack) -> dict[str, object]:
    """Return what makes the web server's container what it is, its id and what follows from that left out."""
    with site.engine.client() as client:
        raw = client.containers.get(site.container()).attrs
        networks = {
            name: sorted(alias for alias in endpoint["Aliases"] if alias != raw["Id"][:12])
            for name, endpoint in raw["NetworkSettings"]["Networks"].items()
        }
        descriptions = client.containers.list(all=True, filters={"label": f"govma-console.former={site.project}"})
    assert descriptions == []
    config = {name: value for name, value in raw["Config"].items() if name != "Hostname"}
    # A volume that compose names in Mounts is in Binds of the container that is made again.
    host = {name: value for name, value in raw["HostConfig"].items() if value and name not in ("Binds", "Mounts")}
    keys = ("Destination", "Type", "Source", "RW")
    mounts = sorted([mount[key] for key in keys] for mount in raw["Mounts"])
    parts = {"networks": networks, "config": config, "host": host, "mounts": mounts}
    return {"name": raw["Name"], "image": raw["Image"], **parts}


def test_when_the_new_container_does_not_get_healthy_the_former_one_is_back(site: Stack) -> None:
    """Guards the undoing: the container as it was, its image's name, the commit of prod-env."""
    former, head, page = _shape(site), site.git("rev-parse", "HEAD"), site.page()
    image = site.image()
    with site.engine.client() as client:
        tagged = client.images.get(image).id
    site.change("three", "RUN printf '#!/bin/sh\\necho last $((1+1)) words\\nsleep 0.2\\nexit 3\\n' > /start")
    with pytest.raises(RestartError, match="The former containers are back; the site did not answer for"):
        site.up(sync=True)
    assert (site.page(), site.git("rev-parse", "HEAD")) == (page, head)
    assert _shape(site) == former
    assert site.answers()
    with site.engine.client() as client:
        assert client.images.get(image).id == tagged
    assert not (site.site.settings.state_dir / "services-restart.json").exists()
    # What containers print is not for everybody who may read the log of a run.
    last_words = site.site.settings.state_dir / "services-said.txt"
    mode = last_words.stat().st_mode & 0o777
    assert (set(last_words.read_text().splitlines()), mode) == ({"last 2 words"}, 0o600)
    assert f"What it said last is in {last_words}" in site.printed[-1]
    assert "last 2 words" not in site.printed[-1]
    assert site.leaked(*site.printed, site.written()) == []


def test_what_a_killed_restart_left_is_put_back_by_the_next_one(site: Stack) -> None:
    """Guards against a crash between the end of the former container and the health of the new one."""
    former, page = _shape(site), site.page()
    path = site.directory / "docker/apache/Dockerfile"
    original = path.read_text()
    path.write_text(dockerfile("five", "RUN echo 'trap exit TERM; sleep 600 & wait' > /start"))
    process = site.command.start("services", "up", "--yes")
    try:
        record = site.command.wait_for_stage("restart apache")
        wait_for(lambda: not site.answers(), "the end of the former container")
        os.kill(record.pid, signal.SIGKILL)
    finally:
        process.communicate()
    # What it takes to put it back is nowhere in state_dir.
    assert site.leaked(site.written()) == []
    path.write_text(original)
    assert any("was interrupted" in problem for problem in site.view().problems)
    site.up()
    assert "the former container" in site.printed[-1]
    assert (site.page(), _shape(site)["name"], site.answers()) == (page, former["name"], True)
    assert site.view().problems == ()


_BACK, _AS_BEFORE = "The former containers are back", "The containers run as before"
_PORT = ("ports:\n", 'ports:\n      - "127.0.0.1:@TAKEN@:80"\n')
_RESTART = "    restart: always\n"
_SAME = (_RESTART, _RESTART)


@pytest.mark.parametrize(
    ("before", "broken", "words"),
    [
        ((_RESTART, f"{_RESTART}    container_name: @PROJECT@-web\n"), _PORT, _BACK),
        (("volumes:\n", "volumes:\n      - /data\n"), (_RESTART, f"{_RESTART}    entrypoint: [/missing]\n"), _BACK),
        (_SAME, (_RESTART, f"{_RESTART}    command: [sh, -c, exit 5]\n"), _BACK),
        (_SAME, ("build: docker/apache\n", "image: govma-test/missing:1\n"), _AS_BEFORE),
    ],
    ids=("name and taken port", "anonymous volume and missing entrypoint", "command that fails", "missing image"),
)
def test_a_broken_compose_file_has_no_part_in_bringing_back_what_was_before(
    site: Stack, before: tuple[str, str], broken: tuple[str, str], words: str
) -> None:
    """Guards the words "are back": the compose file that broke it is still there when what was is put back."""
    compose = site.directory / "docker-compose.yml"
    original = compose.read_text()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        values = {"@PROJECT@": site.project, "@TAKEN@": str(taken.getsockname()[1])}

        def write(*changes: tuple[str, str]) -> None:
            text = original
            for old, new in (*changes, *values.items()):
                text = text.replace(old, new, 1)
            compose.write_text(text)

        try:
            write(before)
            site.up("apache")
            former, lives = _shape(site), _lives(site)
            write(before, broken)
            with pytest.raises(RestartError, match=words):
                site.up("apache")
            assert (_shape(site), site.answers()) == (former, True)
            # What compose stopped nothing of is not interrupted.
            assert (_lives(site) == lives) is (words == _AS_BEFORE)
            write(before)
            # Also for compose this is the container that it made.
            assert site.up("apache").message.startswith("Nothing to do")
        finally:
            compose.write_text(original)
            site.compose("up", "-d", "-t", "0", "apache")


def _lives(site: Stack) -> list[tuple[str, float]]:
    """Return each container with the moment of its start."""
    return sorted((row.container, row.started) for row in site.view().services)


def _volumes(site: Stack, service: str) -> dict[str, str]:
    """Return the volume of each running container of a service, by the container's name."""
    with site.engine.client() as client:
        containers = [client.containers.get(each) for each in site.containers(service)]
    return {str(each.name): each.attrs["Mounts"][0]["Name"] for each in containers if each.status == "running"}


def test_all_containers_of_a_service_are_brought_back_with_what_only_they_have(site: Stack) -> None:
    """Guards several containers of one service, and volumes without a name."""
    compose = site.directory / "docker-compose.yml"
    original = compose.read_text()
    many = f"  many:\n    image: {busybox_tag()}\n    command: [sleep, '600']\n    scale: 2\n    volumes: [/data]\n"
    many += "    stop_grace_period: 1s\n"
    try:
        compose.write_text(original.replace("networks:\n  cms:\n", f"{many}networks:\n  cms:\n"))
        site.up("many")
        former = _volumes(site, "many")
        assert len(former) == 2
        compose.write_text(compose.read_text().replace("[sleep, '600']", "['false']"))
        with pytest.raises(RestartError, match=r"exit code 1.*The former containers are back"):
            site.up("many")
        assert _volumes(site, "many") == former
    finally:
        compose.write_text(original)
        site.compose("up", "-d", "-t", "0", "--remove-orphans")


def test_a_service_that_ends_and_one_of_which_none_is_wanted_are_as_compose_has_them(site: Stack) -> None:
    """Guards against a restart that fails for a job that did its work, or starts what is turned off."""
    compose = site.directory / "docker-compose.yml"
    original = compose.read_text()
    idle = f"  idle:\n    image: {busybox_tag()}\n    command: [sleep, '600']\n    scale: 0\n"
    once = f"  once:\n    image: {busybox_tag()}\n    command: ['true']\n"
    try:
        compose.write_text(original.replace("networks:\n  cms:\n", f"{idle}{once}networks:\n  cms:\n"))
        result = site.up()
        assert result.details["services"] == ["once"]
        wait_for(lambda: site.states()["once"] == "exited", "its end")
        site.up("once")
        assert site.site.stages()["restart once"].remark == "it did its work and ended"
        assert site.containers("idle") == []
        # Turned off only now: what runs of it has to go.
        compose.write_text(compose.read_text().replace("scale: 0", "scale: 1"))
        site.up("idle")
        assert site.states()["idle"] == "running"
        compose.write_text(compose.read_text().replace("scale: 1", "scale: 0"))
        assert site.up("idle").details["services"] == ["idle"]
        assert site.containers("idle") == []
        assert site.up("idle").message.startswith("Nothing to do")
    finally:
        compose.write_text(original)
        site.compose("up", "-d", "-t", "0", "--remove-orphans")


def test_what_was_broken_before_is_put_back_broken_and_blocks_nothing(site: Stack) -> None:
    """Guards every later restart from a service that nobody could bring back in a better state than it was in."""
    compose = site.directory / "docker-compose.yml"
    original = compose.read_text()
    broken = f"  broken:\n    image: {busybox_tag()}\n    command: ['false']\n"
    try:
        compose.write_text(original.replace("networks:\n  cms:\n", f"{broken}networks:\n  cms:\n"))
        site.compose("up", "-d", "broken")
        wait_for(lambda: site.states()["broken"] == "exited", "its end")
        with pytest.raises(RestartError, match=r"exit code 1.*The former containers are back"):
            site.up("broken")
        assert not (site.site.settings.state_dir / "services-restart.json").exists()
        assert site.up("apache", "redis").message.startswith("Nothing to do")
    finally:
        compose.write_text(original)
        site.compose("up", "-d", "-t", "0", "--remove-orphans")


def test_notes_that_cannot_be_written_take_nothing_back(site: Stack) -> None:
    """Guards what went well already from what comes after it."""
    notes = site.site.settings.state_dir / "services-built.json"
    notes.unlink(missing_ok=True)
    notes.mkdir()
    try:
        site.change("noted")
        site.up(sync=True)
    finally:
        notes.rmdir()
    assert "could not be written down" in site.printed[-1]
    assert site.page() == "noted"
    assert site.answers()
