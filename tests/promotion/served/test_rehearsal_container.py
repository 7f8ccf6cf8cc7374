"""The rehearsal: a version is tried in a real Apache with PHP before anything leads to it."""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from govma_core.engine.containers import blanked
from govma_core.engine.throwaway import labels
from govma_core.errors import NotTriedError, RehearsalError, RunCancelled
from govma_core.events import LogLine
from govma_core.promotion import promote
from govma_core.promotion.rehearsal_copy import Stage
from govma_core.versions.marks import MarkStore
from tests.promotion.served.conftest import FIRST, SECOND
from tests.support.apache import containers_of, serving
from tests.support.engine import Engine
from tests.support.php_site import PhpSite
from tests.support.waiting import wait_for


def tried(site: PhpSite, image: str, *checks: dict[str, Any], **more: Any) -> None:
    site.flags |= {"rehearsal_image": image, "rehearsal_checks": list(checks), "rehearsal_timeout": 20} | more


def nothing_left(engine: Engine, site: PhpSite) -> bool:
    return containers_of(engine, site.directory) == [] and list((site.state / "rehearsal").iterdir()) == []


def test_a_good_version_passes_and_is_left_as_it_was(docker_engine: Engine, apache_image: str, site: PhpSite) -> None:
    """Guards that trying writes nothing into the version, publishes to this machine only, and leaves nothing."""
    page = '<?php file_put_contents(__DIR__."/../system/user/cache/x", "x") or die("cache"); '
    page += 'if (@file_put_contents(__DIR__."/y", "y")) die("wrote"); echo "fine ", is_dir("uploads/folder");'
    site.broken(SECOND, page)
    (site.uploads / "folder").mkdir()
    before = sorted((str(path), path.lstat().st_mtime_ns) for path in (site.directory / SECOND).rglob("*"))
    tried(site, apache_image, {"path": "/", "contains": "fine 1"}, {"path": "/static.txt", "contains": SECOND})
    site.flags["upload_dir"] = str(site.uploads)
    outcome = promote.check(site.context(), version=SECOND)
    assert outcome.version == SECOND
    assert site.stages()["rehearsal"].remark == "2 pages answer as they must"
    assert sorted((str(path), path.lstat().st_mtime_ns) for path in (site.directory / SECOND).rglob("*")) == before
    assert nothing_left(docker_engine, site)
    assert (site.state / "rehearsal").stat().st_mode & 0o777 == 0o700
    assert site.store.pointer().version == FIRST


@pytest.mark.parametrize(
    ("index", "checks", "message"),
    [
        ("<?php nosuch();", (), "answered 500, not 200"),
        ("<?php ini_set('display_errors', '1'); nosuch();", (), "with a PHP error: Fatal error: Uncaught Error"),
        ("<?php if (", (), "answered 500, not 200"),
        ("<?php http_response_code(500); echo 'sorry';", (), "answered 500, not 200"),
        ("<?php echo @file_get_contents(__DIR__ . '/../system/user/templates/gone.html');", (), "with an empty page"),
        ("<?php require __DIR__ . '/../system/user/templates/gone.html';", (), "answered 500, not 200"),
        ("<?php echo 'Site em manutenção';", ({"path": "/", "lacks": "manutenção"},), "contains 'manutenção'"),
        ("<?php echo 'Página';", ({"path": "/", "contains": "Notícias"},), "does not contain 'Notícias'"),
        ("<?php header('Location: /instalar'); echo 1;", (), r"answered 302 \(to /instalar\), not 200"),
        ("<?php echo 1;", ({"path": "/", "header": "X-Site: portal"},), "has no header X-Site"),
        ("<?php echo 1;", ({"path": "/nada", "status": 200},), "/nada answered 404"),
        ("<?php sleep(3); echo 1;", ({"path": "/static.txt"}, {"path": "/", "timeout": 1}), "within 1 s"),
    ],
)  # fmt: skip
def test_what_is_broken_never_goes_live(
    docker_engine: Engine,
    apache_image: str,
    site: PhpSite,
    index: str,
    checks: tuple[dict[str, Any], ...],
    message: str,
) -> None:
    """Guards the table of the rehearsal's purpose: fatal errors, a 500, a missing template, wrong texts and headers."""
    site.broken(FIRST, "<?php header('X-Site: portal'); echo 'Notícias';")
    (site.directory / FIRST / "html/nada").write_text("here")
    site.broken(SECOND, index)
    tried(site, apache_image, *checks)
    with pytest.raises(RehearsalError, match=message):
        promote.run(site.context(), version=SECOND)
    assert site.store.pointer().version == FIRST
    assert "The container said" in site.log()
    assert nothing_left(docker_engine, site)


def test_it_is_tried_like_the_container_that_serves(docker_engine: Engine, apache_image: str, site: PhpSite) -> None:
    """Guards image, environment, networks and mounts being the same, and that it is no part of the compose project."""
    site.broken(
        SECOND, '<?php sleep(1); echo getenv("BANCO"), " ", json_encode(is_writable("uploads")), " ", gethostname();'
    )
    with docker_engine.client() as client:
        network = client.networks.create(f"{site.root.parent.name}-internal", internal=True)
        try:
            options: dict[str, Any] = {"environment": {"BANCO": "db-7"}, "network": network.name}
            with serving(docker_engine, apache_image, site.directory, site.uploads, **options) as apache:
                site.flags |= {
                    "rehearsal_like": apache.service,
                    "rehearsal_checks": [{"path": "/", "contains": "db-7 false"}],
                }
                inspected: list[dict[str, Any]] = []

                def look() -> None:
                    names = wait_for(lambda: containers_of(docker_engine, site.directory), "the container")
                    inspected.append(client.containers.get(names[0]).attrs)

                watcher = threading.Thread(target=look)
                watcher.start()
                promote.check(site.context(), version=SECOND)
                watcher.join()
        finally:
            network.remove()
    (attrs,) = inspected
    assert attrs["Config"]["Labels"]["govma-console.site"] == str(site.directory)
    assert not any(attrs["Config"]["Labels"].get(f"com.docker.compose.{name}") for name in ("service", "project"))
    assert list(attrs["NetworkSettings"]["Networks"]) == [network.name]
    assert apache.service not in str(attrs["NetworkSettings"]["Networks"])
    writable = [mount["Destination"] for mount in attrs["Mounts"] if mount["RW"]]
    assert writable
    assert all(f"/{SECOND}/system/user/" in path for path in writable)
    assert nothing_left(docker_engine, site)


def test_labels_of_compose_are_undone() -> None:
    """Guards what an image built by compose v2 carries: a container of it would pass for a part of the project."""
    labels = {"com.docker.compose.project": "prod-env", "com.docker.compose.service": "apache", "maintainer": "x"}
    assert blanked(labels) == {"com.docker.compose.project": "", "com.docker.compose.service": ""}


def test_a_container_that_ends_or_never_answers(docker_engine: Engine, busybox_image: str, site: PhpSite) -> None:
    tried(site, busybox_image)
    with pytest.raises(NotTriedError, match=r"ended \(exit code 0\) before it answered"):
        promote.check(site.context(), version=SECOND)
    options: dict[str, Any] = {"command": ["sleep", "60"], "wait": False}
    with serving(docker_engine, busybox_image, site.directory, site.uploads, **options) as sleeper:
        site.flags = {"rehearsal_like": sleeper.service, "rehearsal_timeout": 1}
        with pytest.raises(NotTriedError, match=r"did not answer within 1 s \(rehearsal.timeout\)"):
            promote.check(site.context(), version=SECOND)
    assert nothing_left(docker_engine, site)
    assert MarkStore(site.state).read() == {}


def test_what_it_needs_is_looked_for_before_anything_is_built(docker_engine: Engine, site: PhpSite) -> None:
    from govma_core.promotion import rehearsal

    site.flags["rehearsal_image"] = "govma-test/nowhere"
    assert "has no image govma-test/nowhere" in rehearsal.preflight(site.settings)[0]
    site.flags = {"rehearsal_like": "nobody"}
    assert "mounted is called 'nobody'" in rehearsal.preflight(site.settings)[0]
    with pytest.raises(NotTriedError, match="nobody"):
        promote.run(site.context(), version=SECOND)
    assert site.store.pointer().version == FIRST


def test_what_is_put_in_the_place_of_the_version_is_not_tried(
    docker_engine: Engine, apache_image: str, site: PhpSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guards against the web server's user, who can make another directory pass for the version in the last moment."""
    real = Stage.in_place

    def exchanged(stage: Stage) -> bool:
        before = real(stage)
        (site.directory / SECOND).rename(site.root / "aside")
        (site.directory / SECOND).symlink_to(FIRST)
        return before

    monkeypatch.setattr(Stage, "in_place", exchanged)
    tried(site, apache_image)
    with pytest.raises(NotTriedError, match="Something else was put in the place of the version"):
        promote.check(site.context(), version=SECOND)
    assert nothing_left(docker_engine, site)
    assert MarkStore(site.state).read() == {}


@pytest.mark.parametrize("configured", [True, False])
def test_what_a_killed_rehearsal_left_goes_though_this_one_is_skipped(
    docker_engine: Engine, busybox_image: str, site: PhpSite, monkeypatch: pytest.MonkeyPatch, configured: bool
) -> None:
    copy = site.state / "rehearsal/copies/0"
    copy.mkdir(parents=True)
    if configured:
        tried(site, busybox_image)
    with docker_engine.client() as client:
        client.containers.create(busybox_image, ["sleep", "300"], labels=labels(site.directory, "killed"))
    with monkeypatch.context() as patch:
        patch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")
        promote.run(site.context(), version=SECOND, rehearse=False)
        assert "Leftovers of an earlier rehearsal could not be removed: Docker" in site.log("warning")
    promote.run(site.context(), version=FIRST, rehearse=False)
    assert containers_of(docker_engine, site.directory) == []
    assert not copy.parent.exists()
    assert copy.parents[1].exists() == configured


@pytest.mark.parametrize("rehearse", [True, False])
def test_an_engine_that_does_not_answer_holds_up_no_switch_before_which_nothing_is_tried(
    site: PhpSite, monkeypatch: pytest.MonkeyPatch, rehearse: bool
) -> None:
    (site.state / "rehearsal").mkdir()
    site.flags["rehearsal_command"] = "true"
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")
    promote.run(site.context(), version=SECOND, rehearse=rehearse)
    (warned,) = [e for e in site.events if isinstance(e, LogLine) and e.text.startswith("Leftovers of")]
    assert (site.events.index(warned) < site.events.index(site.stages()["promote"])) is rehearse


def test_cancelled_in_the_middle_nothing_is_left(docker_engine: Engine, apache_image: str, site: PhpSite) -> None:
    """Guards a version that is not ready (503) being waited for, and the waiting being given up on request."""
    site.broken(SECOND, "<?php http_response_code(503); echo 'wait';")
    tried(site, apache_image, rehearsal_timeout=60)
    context = site.context()

    def ask() -> None:
        wait_for(lambda: containers_of(docker_engine, site.directory), "the container")
        with suppress(RunCancelled):
            context.reporter.cancellation.request()

    asking = threading.Thread(target=ask)
    asking.start()
    with pytest.raises(RunCancelled):
        promote.run(context, version=SECOND)
    asking.join()
    assert nothing_left(docker_engine, site)
    assert site.store.pointer().version == FIRST


def test_a_command_decides(site: PhpSite) -> None:
    """Guards the way without Docker: the version's path in $1, the exit code, the time limit, the output in the log."""
    site.flags["rehearsal_command"] = 'echo "looking at $1"; grep -q "part 0" "$1/system/part0.php"'
    promote.run(site.context(), version=SECOND)
    assert f"looking at {site.directory / SECOND}" in site.log("output")
    assert site.store.pointer().version == SECOND
    site.flags["rehearsal_command"] = f'test "$GOVMA_VERSION" = {SECOND}'
    with pytest.raises(RehearsalError, match="ended with exit code 1"):
        promote.run(site.context(), version=FIRST)
    assert MarkStore(site.state).read()[FIRST].kind == "failed"
    site.flags |= {"rehearsal_command": "sleep 60", "rehearsal_timeout": 1}
    with pytest.raises(NotTriedError, match="did not end within 1 s"):
        promote.run(site.context(), version=FIRST)
    assert site.store.pointer().version == SECOND
    assert list(MarkStore(site.state).read()) == [FIRST]


def test_a_test_that_the_live_version_fails_too_speaks_against_no_version(site: PhpSite) -> None:
    """Guards a good version against the mark "failed" for a wrong test, or a database that is down for both."""
    site.flags["rehearsal_command"] = "false"
    with pytest.raises(NotTriedError, match=f"{FIRST}, which is live, fails the same test") as told:
        promote.run(site.context(), version=SECOND)
    assert f"{SECOND}: The new version is not good: rehearsal.command ended with exit code 1." in str(told.value)
    assert MarkStore(site.state).read() == {}
    assert site.store.pointer().version == FIRST


def test_a_live_version_that_cannot_be_tried_says_nothing_of_the_other(site: PhpSite) -> None:
    site.flags["rehearsal_command"] = f'test "$GOVMA_VERSION" != {FIRST} || exit 127; false'
    with pytest.raises(RehearsalError, match="ended with exit code 1"):
        promote.run(site.context(), version=SECOND)
    assert f"{FIRST} could not be tried: rehearsal.command could not do its work" in site.log("warning")
    assert MarkStore(site.state).read()[SECOND].kind == "failed"


def test_not_tried_is_said(site: PhpSite) -> None:
    promote.run(site.context(), version=SECOND)
    assert "not tested before the switch: [rehearsal] is not set" in site.log("info")
    site.flags["rehearsal_command"] = "false"
    promote.run(site.context(), version=FIRST, rehearse=False)
    assert "not tested before the switch (--no-rehearsal)" in site.log("warning")


def test_nothing_outside_is_tried_or_copied(site: PhpSite, tmp_path: Path, apache_image: str) -> None:
    """Guards the copies made as root: a link in the place of a folder of the CMS is not followed, nor a FIFO read."""
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "key").write_text("canary")
    cache = site.directory / SECOND / "system/user/cache"
    cache.rmdir()
    cache.symlink_to(secret)
    site.broken(SECOND, '<?php echo "found: ", @file_get_contents("../system/user/cache/key");')
    tried(site, apache_image, {"path": "/", "contains": "found: ", "lacks": "canary"})
    promote.check(site.context(), version=SECOND)
    os.mkfifo(site.directory / SECOND / "system/user/config/pipe")
    promote.check(site.context(), version=SECOND)
    assert list((site.state / "rehearsal").iterdir()) == []
