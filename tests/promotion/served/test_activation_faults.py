"""What goes wrong around a switch: disks, hanging programs, containers that are not meant, a site that is down."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from govma_core.context import Context
from govma_core.errors import RevertedError, UnprovedError
from govma_core.fs import safefs
from govma_core.promotion import go_live, promote, rollback, web_servers
from govma_core.promotion.go_live import make_live
from govma_core.versions.history import How
from govma_core.versions.marks import MarkStore
from govma_core.versions.switch import Switch
from tests.promotion.served.conftest import FIRST, SECOND
from tests.support.apache import Apache, serving
from tests.support.engine import Engine
from tests.support.php_site import PhpSite
from tests.support.waiting import PATIENCE


@pytest.fixture
def apache(docker_engine: Engine, apache_image: str, site: PhpSite) -> Iterator[Apache]:
    with serving(docker_engine, apache_image, site.directory, site.uploads) as server:
        site.flags |= {"activation_containers": [server.service], "activation_timeout": int(PATIENCE)}
        yield server


def test_a_disk_that_fails_in_the_switch_is_told_as_it_is(
    site: PhpSite, apache: Apache, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(fd: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(safefs, "syncfs", broken)
    with pytest.raises(OSError, match="Input/output error"):
        promote.run(site.context(), version=SECOND)
    assert site.store.pointer().version == FIRST
    assert "No probe" not in site.log()


def test_a_way_back_that_fails_is_told(site: PhpSite, apache: Apache, monkeypatch: pytest.MonkeyPatch) -> None:
    """Guards the worst moment: what is live is not good, and cannot be left."""
    site.broken(SECOND, "<?php http_response_code(500); echo 'sorry';")
    site.flags["activation_checks"] = [{"path": "/"}]

    def once(context: Context, version: str, how: How, *more: Callable[[], None]) -> Switch:
        if how == "revert":
            raise OSError(errno.EIO, "Input/output error")
        return make_live(context, version, how, *more)

    monkeypatch.setattr(go_live, "make_live", once)
    context = site.context()
    with pytest.raises(UnprovedError, match=r"answered 500.*and switching back failed: .*Input/output error"):
        promote.run(context, version=SECOND)
    assert (context.about.version, context.about.version_before) == (SECOND, FIRST)
    assert site.store.pointer().version == SECOND


def test_a_person_who_rolls_back_is_not_sent_back(site: PhpSite, apache: Apache) -> None:
    """Guards the way out: neither a site that is down nor a check that fails there undoes a rollback."""
    site.flags |= {
        "activation_on_unproved": "revert",
        "activation_timeout": 1,
        "activation_checks": [{"path": "/only-in-the-new-one"}],
    }
    apache.container.pause()
    began = time.monotonic()
    with pytest.raises(UnprovedError, match=f"{SECOND} is live, but it is not proved"):
        rollback.run(site.context(), version=SECOND)
    assert time.monotonic() - began < 60
    assert site.store.pointer().version == SECOND
    # Nor does it speak against a version that is promoted while nobody answers.
    site.flags["activation_checks"] = []
    with pytest.raises(UnprovedError, match=f"{FIRST} is live, but it is not proved"):
        promote.run(site.context(), version=FIRST)
    assert site.store.pointer().version == FIRST
    assert FIRST not in MarkStore(site.state).read()
    apache.container.unpause()


def test_the_way_back_does_not_wait_for_a_site_that_hangs(site: PhpSite, apache: Apache) -> None:
    site.broken(SECOND, "<?php sleep(4); echo 'slow';")
    site.flags["activation_checks"] = [{"path": "/", "timeout": 2}]
    with pytest.raises(RevertedError, match="no whole answer within 2 s") as error:
        promote.run(site.context(), version=SECOND)
    assert site.store.pointer().version == FIRST
    assert f"{SECOND} was live for" in str(error.value)


def test_a_reload_that_hangs_is_left_behind(site: PhpSite, apache: Apache) -> None:
    """Guards the lock, and everybody who waits for it, from a command that never ends."""
    site.flags |= {"activation_reload": "echo begun; sleep 300", "activation_timeout": 2}
    began = time.monotonic()
    # Whether it is proved then is a matter of what PHP had in its caches.
    with suppress(UnprovedError):
        promote.run(site.context(), version=SECOND)
    assert time.monotonic() - began < 60
    assert site.store.pointer().version == SECOND
    assert "begun" in site.log("output")
    assert "did not end within 2 s" in site.log("warning")


def test_only_what_serves_this_site_is_reloaded(
    site: PhpSite, apache: Apache, docker_engine: Engine, apache_image: str, tmp_path: Path
) -> None:
    """Guards what only looks like it: one-off containers of the service, and services of that name elsewhere."""
    with docker_engine.client() as client:
        labels = {"com.docker.compose.service": apache.service, "com.docker.compose.project": "prod-env"}
        volume = [f"{site.directory}:/var/www/versions"]
        aside = client.containers.create(
            apache_image, ["sleep", "300"], labels=labels | {"com.docker.compose.oneoff": "True"}, volumes=volume
        )
        other = client.containers.create(
            apache_image, ["sleep", "300"], labels=labels | {"com.docker.compose.project": "other"}
        )
        try:
            aside.start()
            other.start()
            servers, problems = web_servers.find(site.settings)
            assert [server.name for server in servers] == [apache.container.name]
            assert problems == []
            promote.run(site.context(), version=SECOND)
        finally:
            aside.remove(force=True)
            other.remove(force=True)


def test_one_that_is_missing_leaves_it_unproved_and_the_others_are_reloaded(site: PhpSite, apache: Apache) -> None:
    before = set(apache.workers())
    site.flags["activation_containers"] = ["gone", apache.service]
    with pytest.raises(UnprovedError, match="No running container is 'gone'"):
        promote.run(site.context(), version=SECOND)
    assert before.isdisjoint(apache.workers())
