"""A killed prune, which the next run finishes; and a prune after a deploy, whose failure is no failed deploy."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest

from govma_core.errors import GovmaError, RefusedError
from govma_core.prune import prune
from govma_core.runs import launch
from govma_core.runs.store import RunStore
from tests.support.releases import NAMES, Releases
from tests.support.sample import LEGACY_VERSION
from tests.support.sites import Site
from tests.support.waiting import wait_for


def kill_when_a_version_is_renamed(releases: Releases, run: int) -> None:
    deadline = time.monotonic() + 60
    while not releases.hidden():
        # Without a pause: the hidden name exists for some milliseconds only.
        assert time.monotonic() < deadline
    os.kill(run, signal.SIGKILL)


def kill_after_the_first_removal(releases: Releases, run: int) -> None:
    wait_for(lambda: NAMES[0] not in os.listdir(releases.directory) and not releases.hidden(), "the first to be gone")
    os.kill(run, signal.SIGKILL)


def kill_at_a_random_time(releases: Releases, run: int) -> None:
    time.sleep(random.uniform(0.0, 0.3))
    os.kill(run, signal.SIGKILL)


PRUNING = (
    "import sys, time; from pathlib import Path\n"
    "from govma_core.prune import prune\n"
    "from govma_core.context import Context\n"
    "from govma_core.reporting import Reporter\n"
    "from govma_core.settings import load\n"
    "settings = load({}, file=Path(sys.argv[1])).settings\n"
    "context = Context(settings, Reporter(lambda event: None), 'run', 'ana', 'test', time.time())\n"
    "print('ready', flush=True)\n"
    "prune.run(context, keep=1)"
)


@pytest.mark.parametrize(
    "kill",
    [kill_when_a_version_is_renamed, kill_after_the_first_removal, *[kill_at_a_random_time] * 6],
    ids=lambda kill: kill.__name__,
)
def test_a_prune_that_is_killed_is_finished_by_the_next_one(
    releases: Releases, kill: Callable[[Releases, int], None]
) -> None:
    for name in NAMES[:8]:
        releases.record(name)
        for number in range(300):
            (releases.directory / name / "html/assets" / f"more{number}").write_bytes(b"x" * 100)
    # The last word is that of a real runner: processes that it forked may outlive it for a moment, and are no use.
    line = [sys.executable, "-c", PRUNING, str(releases.config), "govma_core.runs.runner"]
    with subprocess.Popen(line, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        kill(releases, process.pid)
    assert releases.whole(NAMES[7])
    prune.run(releases.context(), keep=1)
    assert releases.there() == NAMES[6:8]
    assert all(releases.whole(name) for name in NAMES[6:8])
    assert releases.hidden() == []
    assert [name for name in NAMES[:8] if releases.manifests.read(name)] == NAMES[6:8]
    assert not (releases.state / "removal.json").exists()


def test_the_next_deploy_sweeps_what_a_killed_prune_left(site: Site) -> None:
    version = site.deploy().version
    leftover = site.settings.versions_dir / ".govma-removed-0123456789abcdef"
    unmarked = site.settings.versions_dir / ".govma-staging-0123456789abcdef"
    for path in (leftover, unmarked):
        (path / "html").mkdir(parents=True)
    leftover.chmod(0o1700)
    site.deploy()
    assert not leftover.exists()
    assert "what was left of a version that was being removed" in site.log()
    assert (unmarked / "html").is_dir()
    assert f"{unmarked} is named like a leftover" in site.log("warning")
    assert version in [existing.name for existing in site.store.versions()]


def test_what_a_killed_run_left_is_not_touched_before_the_preflight(releases: Releases) -> None:
    """Guards that a prune that is refused has removed nothing."""
    leftover = releases.directory / ".govma-removed-0123456789abcdef"
    leftover.mkdir(mode=0o1700)
    leftover.chmod(0o1700)
    settings = releases.context().settings
    for arguments, is_there in (({"older_than": "soon"}, True), ({"keep": 8}, False)):
        run = launch.start(settings, "prune", arguments, launch.Requester("ana", "test"))
        run.process.wait()
        assert RunStore(settings.state_dir).read(run.record.id).ended
        assert leftover.exists() is is_there


def test_leftovers_are_not_swept_while_the_link_leads_to_nothing(releases: Releases) -> None:
    """Guards a live version under a hidden name without a note: after a full disk, a kill and a switch by hand."""
    aside = releases.directory / ".govma-removed-0123456789abcdef"
    (releases.directory / NAMES[7]).rename(aside)
    with pytest.raises(RefusedError):
        prune.run(releases.context())
    assert (aside / "html").is_dir()


def test_a_deploy_prunes_when_the_settings_say_so(site: Site) -> None:
    site.flags |= {"prune_after_deploy": True, "keep_versions": 1}
    first = site.deploy().version
    assert [v.name for v in site.store.versions()] == [first, LEGACY_VERSION], "the one before is kept"
    site.sample.commit({"data/html/second.php": "<?php"}, "Segundo")
    outcome = site.deploy()
    assert [v.name for v in site.store.versions()] == [outcome.version, first]
    assert list(site.stages())[-1] == "prune"
    assert outcome.details["prune"]["removed"] == [LEGACY_VERSION]


def test_a_deploy_does_not_prune_by_itself(site: Site) -> None:
    site.flags["keep_versions"] = 1
    site.deploy()
    site.deploy()
    assert len(site.store.versions()) == 3
    assert "prune" not in site.stages()


@pytest.mark.parametrize("error", [OSError(5, "Input/output error"), GovmaError("no"), TypeError("a fault of ours")])
def test_a_prune_that_fails_leaves_the_deploy_a_success(
    site: Site, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*args: Any) -> None:
        raise error

    site.flags |= {"prune_after_deploy": True, "keep_versions": 1}
    site.deploy()
    monkeypatch.setattr(prune, "carry_out", fail)
    outcome = site.deploy()
    assert outcome.version == site.current.name
    assert "The new version is live, but prune after it failed" in site.log("warning")
    assert site.stages()["prune"].outcome == "failed"
