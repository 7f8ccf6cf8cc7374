"""An exchange of containers undone, by an engine that resists: what serves comes first, and nothing is lost."""

from __future__ import annotations

import itertools
import json
import os
from contextlib import ExitStack, nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from docker.errors import APIError, NotFound

from govma_core.context import Context
from govma_core.errors import EngineError, RestartError
from govma_core.events import Event, LogLine, StageFinished
from govma_core.reporting import Reporter
from govma_core.services.compose import find_project
from govma_core.services.downtime_probe import Probe
from govma_core.services.former_containers import make_again
from govma_core.services.health import LONG_STEADY, wait_until_good
from govma_core.services.restore import Change, Journal, Restoration, read_journal
from govma_core.services.up import Restart
from govma_core.settings import Settings
from tests.support.engine import Engine

_SETTINGS = Settings(services_up_timeout=1)


class _Engine:
    """An engine with containers by id; it fails at what `fails` names, and keeps what it was asked.

    `kept` are the former containers whose descriptions it has. All containers but `db-…` are of the service web.
    """

    def __init__(
        self, containers: dict[str, str], fails: set[tuple[str, str]], described: tuple[str, ...] = ()
    ) -> None:
        self.states, self.fails = containers, fails
        self.names: dict[str, str] = {}
        self.requests: list[tuple[Any, ...]] = []
        self.configs: list[dict[str, Any]] = []
        self.api = self
        for container in described:
            text = f"GOVMA_CONSOLE_FORMER={json.dumps(self._description(container))}"
            self.notes = {f"govma-former-{container}": {"Config": {"Env": ["PATH=/bin", text]}}}
        self.notes = self.notes if described else {}

    def ping(self) -> bool:
        return True

    def images(self, _: str) -> list[dict[str, Any]]:
        return []

    def containers(self, *, filters: dict[str, Any], **_: Any) -> list[dict[str, str]]:
        if isinstance(filters["label"], str):
            return []
        service = str(filters["label"][1]).rpartition("=")[2]
        return [{"Id": each} for each in self.states if each.startswith("db-") is (service == "db")]

    def inspect_container(self, container: str) -> dict[str, Any]:
        if container in self.notes:
            return self.notes[container]
        self._do("inspect", container)
        return self._description(container)

    def _description(self, container: str) -> dict[str, Any]:
        status = self.states.get(container, "exited")
        config = {"Image": "site_web", "Hostname": container, "Env": ["PASSWORD=secret"], "Volumes": {"/data": {}}}
        endpoints = {
            "p_cms": {"NetworkID": "1", "Aliases": ["web", container], "IPAMConfig": {"IPv4Address": "10.0.0.7"}},
            "p_cache": {"NetworkID": "2", "Aliases": ["web", container], "IPAMConfig": None},
        }
        return {
            "Id": container,
            "Name": f"/{self.names.get(container, container)}",
            "Image": "sha256:1",
            "State": {"Running": status == "running", "Status": status, "ExitCode": 3},
            "RestartCount": 0,
            "Config": config,
            "HostConfig": {"NetworkMode": "p_cms", "Binds": ["/srv/www:/var/www:rw"]},
            "Mounts": [
                {"Type": "bind", "Source": "/srv/www", "Destination": "/var/www", "RW": True},
                {"Type": "volume", "Name": "f" * 64, "Destination": "/data", "RW": True},
            ],
            "NetworkSettings": {"Networks": endpoints},
        }

    def inspect_image(self, name: str) -> dict[str, str]:
        return {"Id": "sha256:1" if name == "site_web" else "sha256:other"}

    def create_container_from_config(self, config: dict[str, Any], name: str) -> dict[str, str]:
        self._do("create", "site_web" if config["Image"] == "site_web" else "other image", name)
        self.configs.append(config)
        self.states["again"] = "created"
        return {"Id": "again"}

    def connect_container_to_network(self, container: str, network: str, **options: Any) -> None:
        self._do("connect", container, network, options["aliases"])

    def start(self, container: str) -> None:
        self._do("start", container)
        self.states[container] = "running"

    def restart(self, container: str) -> None:
        self._do("restart", container)
        # What ends at once is as an engine tells it: started, and not running.
        self.states[container] = "exited" if ("run", container) in self.fails else "running"

    def stop(self, container: str, timeout: int) -> None:
        self._do("stop", container, timeout)
        self.states[container] = "exited"

    def remove_container(self, container: str, *, force: bool, v: bool = False) -> None:
        self._do("remove", container, force)
        del self.states[container]

    def rename(self, container: str, name: str) -> None:
        self._do("rename", container, name)
        self.names[container] = name

    def tag(self, image: str, *_: str) -> None:
        self._do("tag", image)

    def _do(self, verb: str, name: str, *more: Any) -> None:
        self.requests.append((verb, name, *more))
        if (verb, name) in self.fails:
            raise APIError("cannot: tried to")
        if name == "gone" or (verb not in ("tag", "create") and name not in self.states):
            raise NotFound("No such container")


def _put_back(tmp_path: Path, engine: _Engine, *changes: Change, **tags: str) -> tuple[Restoration, list[Event]]:
    journal = Journal(tmp_path / "services-restart.json", "run", "p", tags=tags, changes=list(changes))
    events: list[Event] = []
    # What stands in for an engine has only what is asked of it here.
    client: Any = engine
    restoration = Restoration(client, journal, Reporter(events.append), _SETTINGS, interrupted=True)
    restoration.carry_out()
    return restoration, events


def _web(**more: Any) -> Change:
    fields: dict[str, Any] = {"former": "old", "name": "p_web_1"}
    return Change("web", **fields | more)


def test_the_former_container_runs_again_though_the_new_one_does_not_stop(tmp_path: Path) -> None:
    """Guards the order: what serves comes first, what resists is told."""
    engine = _Engine({"old": "exited", "new": "running"}, {("stop", "new"), ("tag", "sha256:1")})
    result, _ = _put_back(tmp_path, engine, _web(), site_web="sha256:1")
    assert ("restart", "old") in engine.requests
    # Compose calls what it replaces by another name.
    assert engine.names["old"] == "p_web_1"
    assert "new" not in engine.states
    assert [problem.partition(":")[0] for problem in result.problems] == [
        "The image site_web could not be put back",
        "web",
    ]
    assert "does not stop" in result.problems[1]


def test_a_container_that_compose_removed_is_made_again_as_it_was(tmp_path: Path) -> None:
    """Guards the way back that needs neither compose nor its files: image, environment, volumes, networks, name."""
    engine = _Engine({"new": "exited"}, set(), described=("old",))
    change = _web()
    result, _ = _put_back(tmp_path, engine, change, site_web="sha256:1")
    assert result.whole
    assert engine.states == {"again": "running"}
    assert engine.names["again"] == change.name
    verbs = [request[:2] for request in engine.requests]
    # Whatever fails before leaves the new one as it is.
    assert verbs.index(("create", "site_web")) < verbs.index(("stop", "new"))
    config = engine.configs[0]
    assert (config["Image"], config["Env"], config["Hostname"]) == ("site_web", ["PASSWORD=secret"], "")
    # A volume without a name goes from container to container.
    assert config["HostConfig"]["Binds"] == ["/srv/www:/var/www:rw", f"{'f' * 64}:/data:rw"]
    first = config["NetworkingConfig"]["EndpointsConfig"]["p_cms"]
    assert (first["Aliases"], first["IPAMConfig"]) == (["web"], {"IPv4Address": "10.0.0.7"})
    assert ("connect", "again", "p_cache", ["web"]) in engine.requests
    # For the next attempt it stands for the former one; what it was made of is in no file.
    text = (tmp_path / "services-restart.json").read_text()
    assert change.former == "again"
    assert "again" in text
    assert "secret" not in text


def test_links_and_volumes_without_a_name_are_as_they_were(docker_engine: Engine, busybox_image: str) -> None:
    """Guards against an end in the midst of putting back: of the second network the links are told in another form."""
    with docker_engine.client() as client, ExitStack() as stack:
        first, second = (f"govma-{os.urandom(4).hex()}" for _ in range(2))
        for name in (first, second):
            stack.callback(client.networks.create(name).remove)
        other = client.containers.create(busybox_image, network=first)
        stack.callback(other.remove, force=True)
        client.networks.get(second).connect(other)
        config = {"Image": busybox_image, "HostConfig": {"NetworkMode": first, "Binds": ["/data"]}}
        endpoints = {first: {"Links": [f"{other.name}:db"]}}
        api: Any = client.api
        former = api.create_container_from_config(config | {"NetworkingConfig": {"EndpointsConfig": endpoints}})["Id"]
        stack.callback(lambda: api.remove_container(container, v=True))
        container = former
        api.connect_container_to_network(former, second, links=[(other.name, "cache")])

        def linked(description: dict[str, Any]) -> list[Any]:
            networks = description["NetworkSettings"]["Networks"]
            volumes = [(mount["Name"], mount["Destination"]) for mount in description["Mounts"]]
            return [networks[first]["Links"], networks[second]["Links"], volumes]

        before = api.inspect_container(former)
        assert linked(before)[:2] == [[f"{other.name}:db"], [f"{other.name}:cache"]]
        api.remove_container(former)
        container = make_again(client, before, {})
        assert linked(api.inspect_container(container)) == linked(before)


def test_a_container_that_cannot_be_made_again_leaves_the_new_one_as_it_is(tmp_path: Path) -> None:
    engine = _Engine({"new": "running"}, {("create", "site_web")}, described=("old",))
    result, _ = _put_back(tmp_path, engine, _web())
    assert engine.states == {"new": "running"}
    assert "could not be brought back" in result.problems[0]


@pytest.mark.parametrize("state", ["running", "exited", "created"])
def test_the_only_container_is_kept(tmp_path: Path, state: str) -> None:
    """Guards a service whose former container was pruned, with what was known of it, before it could be put back."""
    engine = _Engine({"new": state}, set())
    result, _ = _put_back(tmp_path, engine, _web())
    assert engine.states == {"new": "running"}
    assert ("rename", "new", "p_web_1") in engine.requests
    assert not [request for request in engine.requests if request[0] in ("stop", "remove")]
    # Told, and no reason to refuse what is asked for next.
    assert (len(result.final), result.problems, result.whole) == (1, [], False)
    assert "is not there any more; the new one is kept" in result.final[0]


def test_when_there_is_no_container_at_all_that_is_said(tmp_path: Path) -> None:
    result, _ = _put_back(tmp_path, _Engine({}, set()), _web())
    assert "nor is a new one. `govma-console services up web`" in result.final[0]


def test_a_new_container_of_a_service_that_had_none_is_removed(tmp_path: Path) -> None:
    engine = _Engine({"new": "running"}, set())
    result, _ = _put_back(tmp_path, engine, _web(former="", name=""))
    assert (engine.states, result.whole) == ({}, True)


def test_what_fails_of_one_service_keeps_nothing_of_the_others_from_being_put_back(tmp_path: Path) -> None:
    """Guards against an engine that fails once: the rest is undone all the same."""
    containers = {"old": "exited", "new": "running", "db-old": "exited", "db-new": "running"}
    engine = _Engine(containers, {("inspect", "db-old")})
    db = Change("db", former="db-old", name="p_db_1")
    result, _ = _put_back(tmp_path, engine, db, _web(), site_web="sha256:1")
    assert engine.states["old"] == "running"
    assert "new" not in engine.states
    assert ("tag", "sha256:1") in engine.requests
    assert [problem.partition(":")[0] for problem in result.problems] == ["db"]


@pytest.mark.parametrize(("well", "sentences"), [(True, 1), (False, 0)])
def test_the_former_container_has_to_run_well_if_it_did_before(tmp_path: Path, well: bool, sentences: int) -> None:
    """Guards the words "are back": and what was broken before is no reason to call the rest so."""
    engine = _Engine({"old": "exited", "new": "running"}, {("run", "old")})
    result, _ = _put_back(tmp_path, engine, _web(well=well))
    assert ("restart", "old") in engine.requests
    assert len(result.final) == sentences
    assert result.whole is not well


def test_a_container_that_was_told_to_stop_and_still_runs_is_started_anew(tmp_path: Path) -> None:
    """Guards against one that ends after it was looked at: it had been told to, and took its time."""
    engine = _Engine({"old": "running", "new": "created"}, set())
    result, _ = _put_back(tmp_path, engine, _web())
    assert ("restart", "old") in engine.requests
    assert result.whole


def test_what_the_version_before_wrote_down_is_put_back_too(tmp_path: Path) -> None:
    """Guards an upgrade after a restart that was killed: it had made the new container beside the former one."""
    path = tmp_path / "services-restart.json"
    entry = {"service": "web", "former": "old", "name": "p_web_1", "beside": True, "new": "new", "touched": True}
    # It wrote down all that it was about to do, and that it was done with it.
    later = {"service": "db", "former": "db-old", "name": "p_db_1", "touched": False, "well": True}
    data = {"run": "r", "project": "p", "head": "", "tags": {"site_web": "sha256:1"}, "changes": [entry, later]}
    path.write_text(json.dumps(data | {"done": True}))
    assert read_journal(tmp_path) is None
    path.write_text(json.dumps(data | {"done": False}))
    journal = read_journal(tmp_path)
    assert journal is not None
    assert journal.services == ["web"]
    engine = _Engine({"old": "exited", "new": "running"}, set())
    client: Any = engine
    restoration = Restoration(client, journal, Reporter(lambda _: None), _SETTINGS, interrupted=True)
    restoration.carry_out()
    assert restoration.whole
    assert engine.states == {"old": "running"}


@pytest.mark.parametrize("resists", [True, False])
def test_that_containers_run_as_before_is_said_when_they_do(tmp_path: Path, resists: bool) -> None:
    (tmp_path / "docker-compose.yml").write_text("services: {}\n")
    (tmp_path / "state").mkdir()
    settings = Settings(services_compose_dir=tmp_path, state_dir=tmp_path / "state", services_up_timeout=1)
    client: Any = _Engine({"old": "running", "new": "created"}, {("remove", "new")} if resists else set())
    events: list[Event] = []
    restart = Restart(Context.for_reading(settings, Reporter(events.append)), client, find_project(settings))
    restart.journal.changes.append(_web())
    restart.journal.write()
    with pytest.raises(EngineError), restart.put_back_if_it_fails():
        raise EngineError("not made")
    assert any(isinstance(e, LogLine) and "run as before" in e.text for e in events) is not resists


@pytest.mark.parametrize(("ages", "good"), [((4, 0), False), ((4, 11), True)])
def test_a_container_that_ran_for_some_seconds_only_is_not_steady(ages: tuple[int, ...], good: bool) -> None:
    """Guards the last look at what has no health check: it ran when it was looked at first."""
    engine, restarts = _Engine({"new": "running"}, set()), itertools.count(1)
    described, moments = engine.inspect_container("new"), iter(ages)

    def inspect_container(_: str) -> dict[str, Any]:
        age = next(moments)
        started = (datetime.now(UTC) - timedelta(seconds=age)).isoformat()
        state = described["State"] | {"StartedAt": started}
        return described | {"State": state, "RestartCount": 1 if good else next(restarts)}

    engine.inspect_container = inspect_container  # type: ignore[assignment]
    client: Any = engine
    with nullcontext() if good else pytest.raises(EngineError, match="web keeps restarting"):
        assert wait_until_good(client, "web", "new", 60, steady=LONG_STEADY) == "it runs"


_SILENT = r"the site still does not answer, for [0-9.]+ s by now\. `govma-console services log web`"
_ANSWERING = r"the site did not answer at http://127\.0\.0\.1:1 before, either\.$"


@pytest.mark.parametrize(
    ("site_answered", "state", "fails", "words", "outcome"),
    [
        (True, "exited", "", f"The former containers are back, but the site does not.*; {_SILENT}", "failed"),
        (True, "exited", "restart", "Not all of what was before is back.*still does not.*first.$", "failed"),
        (True, "exited", "run", f"Not all of what was before is back; see the log; {_SILENT}", "failed"),
        (False, "exited", "", f"The former containers are back; {_ANSWERING}", "ok"),
        (False, "running", "", f"The containers run as before; {_ANSWERING}", "ok"),
    ],
)
def test_what_is_said_of_containers_that_were_put_back_is_what_is(
    tmp_path: Path, site_answered: bool, state: str, fails: str, words: str, outcome: str
) -> None:
    """Guards the words "are back": containers can run well, and nobody gets an answer."""
    (tmp_path / "docker-compose.yml").write_text("services: {}\n")
    (tmp_path / "state").mkdir()
    settings = Settings(services_compose_dir=tmp_path, state_dir=tmp_path / "state", services_up_timeout=1)
    client: Any = _Engine({"old": state}, {(fails, "old")})
    events: list[Event] = []
    restart = Restart(Context.for_reading(settings, Reporter(events.append)), client, find_project(settings))
    restart.journal.changes.append(_web())
    restart._probe = Probe("http://127.0.0.1:1")
    restart._probe.answered = site_answered
    with pytest.raises(RestartError, match=f"web is not good. {words}"):
        restart._revert("web", "web is not good.")
    assert [event.outcome for event in events if isinstance(event, StageFinished)] == [outcome]
    # What runs, and was not told to stop, goes on without an interruption.
    assert (("restart", "old") in client.requests) is (state == "exited")


def test_an_engine_that_is_gone_is_waited_for_and_then_all_is_put_back(tmp_path: Path) -> None:
    """Guards a site that stays down because the engine was away for a moment when all was to be put back."""
    engine = _Engine({"old": "exited", "new": "running"}, set())
    answers = iter((FileNotFoundError(2, "No such file or directory"), True))
    engine.ping = lambda: _given(next(answers))  # type: ignore[method-assign]
    result, events = _put_back(tmp_path, engine, _web(), site_web="sha256:1")
    assert (engine.states, result.whole) == ({"old": "running"}, True)
    lines = [event.text for event in events if isinstance(event, LogLine)]
    assert "Docker does not answer at" in lines[0]
    assert "It is waited for, 1 s at most" in lines[0]


def test_an_engine_that_stays_away_is_told_once_and_nothing_is_lost(tmp_path: Path) -> None:
    engine = _Engine({"old": "exited", "new": "running"}, set())
    engine.ping = lambda: _given(FileNotFoundError(2, "No such file or directory"))  # type: ignore[method-assign]
    result, _ = _put_back(tmp_path, engine, _web(), site_web="sha256:1")
    assert len(result.problems) == 1
    assert "No such file or directory. Start it (systemctl start docker)." in result.problems[0]
    assert engine.requests == []


def _given(answer: BaseException | bool) -> bool:
    if isinstance(answer, BaseException):
        raise answer
    return answer


def test_an_image_that_is_gone_is_told(tmp_path: Path) -> None:
    result, events = _put_back(tmp_path, _Engine({}, set()), site_web="gone")
    assert any(isinstance(event, LogLine) and "site_web" in event.text for event in events)
    assert result.whole
