"""An exchange of containers undone, by an engine that resists: what serves comes first, and nothing is lost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from docker.errors import APIError, NotFound

from govma_core.context import Context
from govma_core.errors import EngineError, RestartError
from govma_core.events import Event, LogLine
from govma_core.reporting import Reporter
from govma_core.services.compose import find_project
from govma_core.services.downtime_probe import Probe
from govma_core.services.replace_container import Change, Journal, exchange
from govma_core.services.restore import PutBack, put_back
from govma_core.services.up import Restart
from govma_core.settings import Settings

_TIMEOUT = 0.2


class _Engine:
    """An engine with containers by id; it fails at what `fails` names, and notes what it was asked."""

    def __init__(self, containers: dict[str, str], fails: set[tuple[str, str]], grace: int | None = 900) -> None:
        self.containers, self.fails, self.grace = containers, fails, grace
        self.asked: list[tuple[Any, ...]] = []
        self.api = self

    def inspect_container(self, container: str) -> dict[str, Any]:
        self._do("inspect", container)
        status = self.containers[container]
        state = {"Running": status == "running", "Status": status, "ExitCode": 3}
        return {"State": state, "RestartCount": 0, "Name": f"/{container}", "Config": {"StopTimeout": self.grace}}

    def start(self, container: str) -> None:
        self._do("start", container)
        # What ends at once is as an engine tells it: started, and not running.
        self.containers[container] = "exited" if ("run", container) in self.fails else "running"

    def restart(self, container: str) -> None:
        self._do("restart", container)

    def stop(self, container: str, timeout: int) -> None:
        self._do("stop", container, timeout)
        self.containers[container] = "exited"

    def remove_container(self, container: str, *, force: bool) -> None:
        self._do("remove", container, force)
        del self.containers[container]

    def rename(self, container: str, name: str) -> None:
        self._do("rename", container, name)

    def tag(self, image: str, *_: str) -> None:
        self._do("tag", image)

    def _do(self, verb: str, name: str, *more: Any) -> None:
        self.asked.append((verb, name, *more))
        if (verb, name) in self.fails:
            raise APIError("cannot: tried to")
        if name == "gone" or (verb != "tag" and name not in self.containers):
            raise NotFound("No such container")


def _undone(tmp_path: Path, engine: _Engine, *changes: Change, **tags: str) -> tuple[PutBack, list[Event]]:
    journal = Journal(tmp_path / "services-restart.json", "run", "p", tags=tags, changes=list(changes))
    events: list[Event] = []
    # What stands in for an engine has only what is asked of it here.
    client: Any = engine
    return put_back(client, journal, Reporter(events.append), _TIMEOUT), events


def _web(**more: Any) -> Change:
    known: dict[str, Any] = {"name": "p_web_1", "beside": True, "new": "new", "touched": True}
    return Change("web", former="old", **known | more)


def test_the_former_container_runs_again_though_the_new_one_does_not_stop(tmp_path: Path) -> None:
    """Guards the order: what serves comes first, what resists is told."""
    engine = _Engine({"old": "exited", "new": "running"}, {("stop", "new"), ("tag", "sha256:1")})
    done, _ = _undone(tmp_path, engine, _web(), site_web="sha256:1")
    assert ("start", "old") in engine.asked
    assert [problem.partition(":")[0] for problem in done.problems] == [
        "web",
        "The image site_web could not be put back",
    ]
    assert "does not stop" in done.problems[0]


@pytest.mark.parametrize("left", ["running", "exited", "created"])
def test_the_only_container_that_is_left_is_kept(tmp_path: Path, left: str) -> None:
    """Guards a service whose former container was pruned before anybody came to put it back."""
    engine = _Engine({"new": left}, set())
    done, _ = _undone(tmp_path, engine, _web())
    assert engine.containers == {"new": "running"}
    assert ("rename", "new", "p_web_1") in engine.asked
    assert not [asked for asked in engine.asked if asked[0] in ("stop", "remove")]
    # Told, and no reason to refuse what is asked for next.
    assert (len(done.final), done.problems, done.whole) == (1, [], False)
    assert "is not there any more; the new one is kept" in done.final[0]


def test_when_no_container_is_left_that_is_said(tmp_path: Path) -> None:
    done, _ = _undone(tmp_path, _Engine({}, set()), _web())
    assert "nor is a new one. `govma-console services up web`" in done.final[0]


def test_what_fails_of_one_service_keeps_nothing_of_the_others_from_being_put_back(tmp_path: Path) -> None:
    """Guards against an engine that fails once: what is left is undone all the same."""
    engine = _Engine({"old": "exited", "new": "running", "was": "exited", "now": "running"}, {("inspect", "was")})
    db = Change("db", former="was", name="p_db_1", beside=True, new="now", touched=True)
    done, _ = _undone(tmp_path, engine, _web(), db, site_web="sha256:1")
    assert engine.containers["old"] == "running"
    assert "new" not in engine.containers
    assert ("tag", "sha256:1") in engine.asked
    assert [problem.partition(":")[0] for problem in done.problems] == ["db"]


@pytest.mark.parametrize(("well", "told"), [(True, 1), (False, 0)])
def test_the_former_container_has_to_run_well_if_it_did_before(tmp_path: Path, well: bool, told: int) -> None:
    """Guards the words "are back": and what was broken before is no reason to call the rest so."""
    engine = _Engine({"old": "exited", "new": "running"}, {("run", "old")})
    done, _ = _undone(tmp_path, engine, _web(well=well))
    assert ("start", "old") in engine.asked
    assert len(done.final) == told
    assert done.whole is not well


def test_a_container_that_was_told_to_stop_and_still_runs_is_started_anew(tmp_path: Path) -> None:
    """Guards against one that ends after it was looked at: it had been told to, and took its time."""
    engine = _Engine({"old": "running", "new": "created"}, set())
    done, _ = _undone(tmp_path, engine, _web())
    assert ("restart", "old") in engine.asked
    assert done.whole


@pytest.mark.parametrize(("grace", "waited"), [(900, 900), (0, 0), (None, 10)])
def test_a_container_is_waited_for_as_long_as_it_may_take_to_stop(grace: int | None, waited: int) -> None:
    engine = _Engine({"old": "running", "new": "created"}, set(), grace)
    client: Any = engine
    exchange(client, _web())
    assert ("stop", "old", waited) in engine.asked


@pytest.mark.parametrize("resists", [True, False])
def test_that_containers_run_as_before_is_said_when_they_do(tmp_path: Path, resists: bool) -> None:
    (tmp_path / "docker-compose.yml").write_text("services: {}\n")
    (tmp_path / "state").mkdir()
    settings = Settings(services_compose_dir=tmp_path, state_dir=tmp_path / "state", services_up_timeout=1)
    client: Any = _Engine({"old": "running", "new": "created"}, {("remove", "new")} if resists else set())
    events: list[Event] = []
    restart = Restart(Context.for_reading(settings, Reporter(events.append)), client, find_project(settings))
    restart.journal.changes.append(_web(touched=False))
    restart.journal.write()
    with pytest.raises(EngineError), restart.put_back_if_it_fails():
        raise EngineError("not made")
    assert any(isinstance(e, LogLine) and "run as before" in e.text for e in events) is not resists


@pytest.mark.parametrize(
    ("answered", "told"),
    [(True, "are back, but the site does not answer as it did"), (False, "are back; the site did not")],
)
def test_a_site_that_answered_before_has_to_answer_when_all_is_back(tmp_path: Path, answered: bool, told: str) -> None:
    """Guards the words "are back": containers can run well, and nobody gets an answer."""
    (tmp_path / "docker-compose.yml").write_text("services: {}\n")
    settings = Settings(services_compose_dir=tmp_path, state_dir=tmp_path / "state", services_up_timeout=1)
    client: Any = _Engine({}, set())
    restart = Restart(Context.for_reading(settings), client, find_project(settings))
    restart._probe = Probe("http://127.0.0.1:1")
    restart._probe.answered = answered
    with pytest.raises(RestartError, match=f"web is not good. The former containers {told}"):
        restart._reverted("web is not good.")


def test_an_image_that_is_gone_is_told(tmp_path: Path) -> None:
    done, events = _undone(tmp_path, _Engine({}, set()), site_web="gone")
    assert any(isinstance(event, LogLine) and "site_web" in event.text for event in events)
    assert done.whole
