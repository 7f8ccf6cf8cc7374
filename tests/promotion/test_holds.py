"""Holds and marks in operations: a rollback stays, a deploy says why it is refused, a newer commit goes on."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from govma_core.deploy import deploy
from govma_core.errors import HeldError, PublishError, RefusedError
from govma_core.promotion import go_live, rollback
from govma_core.prune import prune
from govma_core.versions.history import History, Promotion, spans
from govma_core.versions.holds import HoldStore
from govma_core.versions.manifest import ManifestStore
from govma_core.versions.marks import Mark, MarkStore
from tests.support.histories import many_versions
from tests.support.sample import LEGACY_VERSION as LEGACY
from tests.support.sites import Site


def holds(site: Site) -> HoldStore:
    return HoldStore(site.settings.state_dir)


def marks(site: Site) -> dict[str, str]:
    return {name: mark.kind for name, mark in MarkStore(site.settings.state_dir).read().items()}


def held(site: Site) -> list[str]:
    return [hold.commit for hold in holds(site).read().commits]


def push(site: Site, name: str) -> str:
    return site.sample.commit({f"data/html/{name}.txt": name}, name)


@pytest.fixture(name="two")
def _two(site: Site) -> tuple[str, str]:
    """Put two versions live that hold nothing; give them, the live one last. Quicker than to deploy them."""
    state, directory = site.settings.state_dir, site.settings.versions_dir
    first, second = many_versions(directory, state, 2)
    link = directory / "current-version"
    link.unlink()
    link.symlink_to(second)
    for at, (new, old) in enumerate([(first, LEGACY), (second, first)]):
        History(state).append(Promotion(time.time() - 10 + at, new, old, "deploy", "ana", f"r{at}"))
    return first, second


@pytest.fixture(name="both")
def _both(site: Site) -> tuple[str, str]:
    """Deploy twice; give the versions, the live one last."""
    first = site.deploy().version
    push(site, "segundo")
    return first, site.deploy().version


def test_what_a_rollback_left_is_not_put_live_again_by_the_next_trigger(site: Site, both: tuple[str, str]) -> None:
    first, second = both
    outcome = site.rollback()
    assert (outcome.version, marks(site)) == (first, {second: "bad"})
    assert "are held from now on" in site.log("info")
    with pytest.raises(HeldError, match=rf"held by ana since .*rolled back to {first}.*newer commit.*--force"):
        site.deploy()
    assert site.current.name == first
    assert "workdir" not in site.stages()
    push(site, "terceiro")
    third = site.deploy()
    assert "no longer held: a newer commit is live" in site.log("info")
    assert (held(site), marks(site), site.current.name) == ([], {second: "bad"}, third.version)


def test_forced_it_goes_live_which_is_recorded_and_its_hold_ends(site: Site, both: tuple[str, str]) -> None:
    site.rollback()
    outcome = site.deploy(force=True)
    assert "Continuing anyway (--force)" in site.log("warning")
    manifest = ManifestStore(site.settings.state_dir).read(outcome.version)
    assert manifest is not None
    assert "rolled back to" in manifest.forced
    assert (site.current.name, held(site)) == (outcome.version, [])


def test_another_commit_that_is_not_newer_is_deployed_and_ends_no_hold(site: Site, both: tuple[str, str]) -> None:
    first, _ = both
    older = ManifestStore(site.settings.state_dir).read(first)
    assert older is not None
    site.rollback()
    before = held(site)
    site.deploy(ref=older.commit)
    assert held(site) == before


def test_a_second_rollback_holds_a_second_commit_and_passes_over_what_is_marked(
    site: Site, two: tuple[str, str]
) -> None:
    first, second = two
    assert site.rollback().version == first
    assert site.rollback().version == LEGACY
    assert set(held(site)) == {deployed(site, first), deployed(site, second)}
    with pytest.raises(
        RefusedError, match=f"{first} was live before, but is marked bad by ana: .*, {second} was .*Name"
    ):
        site.rollback()
    # Set by hand, it would lead back to a version that is marked.
    link = site.settings.versions_dir / "current-version"
    link.unlink()
    link.symlink_to(second)
    assert site.rollback().version == LEGACY


def deployed(site: Site, version: str) -> str:
    manifest = ManifestStore(site.settings.state_dir).read(version)
    assert manifest is not None
    return manifest.commit


def test_a_rollback_that_keeps_the_mark_away_holds_nothing(site: Site, two: tuple[str, str]) -> None:
    rollback.run(site.context(), keep_mark=True)
    assert (marks(site), held(site)) == ({}, [])


def test_a_rollback_from_a_version_without_a_commit_says_that_nothing_is_held(site: Site, two: tuple[str, str]) -> None:
    site.promote(LEGACY)
    site.rollback(two[0])
    assert (marks(site), held(site)) == ({LEGACY: "bad"}, [])
    assert "not recorded which commit" in site.log("warning")


def test_going_back_to_what_was_bad_or_promoting_it_makes_it_good_again(site: Site, two: tuple[str, str]) -> None:
    first, second = two
    for again in (site.promote, site.rollback):
        site.promote(second)
        site.rollback()
        again(second)
        assert second not in marks(site)
        assert held(site) == ([] if again == site.promote else [deployed(site, first)])


def test_a_rollback_that_does_not_happen_leaves_nothing_behind(
    site: Site, two: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*arguments: Any) -> None:
        assert held(site), "held before the switch, so that no deploy can come between"
        raise PublishError("no switch")

    monkeypatch.setattr(go_live, "make_live", broken)
    with pytest.raises(PublishError):
        site.rollback()
    assert (marks(site), held(site)) == ({}, [])
    assert "is still live; its mark and hold were removed" in site.log("warning")


def test_a_full_disk_does_not_keep_anybody_from_going_back(
    site: Site, two: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: Any, **more: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("govma_core.fs.jsonfile.replace", full)
    assert site.rollback().version == two[0]
    assert "could not be held: No space left" in site.log("warning")
    assert "could not be marked" in site.log("warning")


def test_held_by_hand_a_deploy_ends_at_once_and_a_promotion_goes_on(site: Site, both: tuple[str, str]) -> None:
    holds(site).hold("election night", "rui", time.time(), time.time() + 3600)
    for arguments in ({}, {"promote": False}):
        with pytest.raises(HeldError, match=r"held by rui .*election night"):
            site.deploy(**arguments)
        assert list(site.stages()) == ["preflight"]
    site.promote(both[0])
    assert "A promotion is made on purpose" in site.log("warning")
    site.deploy(force=True)
    holds(site).hold("", "rui", 1.0, time.time() - 1)
    site.deploy()


def test_a_hold_that_comes_during_a_deploy_keeps_it_from_going_live(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = deploy._publish

    def publish(*arguments: Any) -> None:
        real(*arguments)
        holds(site).hold("stop", "rui", time.time())

    monkeypatch.setattr(deploy, "_publish", publish)
    with pytest.raises(HeldError, match="is published, and not live: `govma-console promote data-build"):
        site.deploy()
    assert site.current.name == LEGACY
    holds(site).release()
    version = site.deploy(force=True).version
    manifest = ManifestStore(site.settings.state_dir).read(version)
    assert manifest is not None
    assert "held by rui" in manifest.forced


def test_a_hold_that_comes_during_the_last_hook_keeps_it_from_going_live(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hook(context: Any, moment: str, environment: Any) -> None:
        if moment == "pre-promote":
            holds(site).hold("stop", "rui", time.time())

    monkeypatch.setattr("govma_core.hooks.before", hook)
    with pytest.raises(HeldError, match="is published, and not live"):
        site.deploy()
    assert site.current.name == LEGACY


def test_a_held_commit_may_be_built_when_nothing_goes_live(site: Site, both: tuple[str, str]) -> None:
    site.rollback()
    site.deploy(promote=False)
    assert "This run makes nothing live" in site.log("info")
    assert held(site)


def test_prune_removes_what_is_marked_with_its_mark_and_says_why(site: Site, two: tuple[str, str]) -> None:
    first, second = two
    site.rollback()
    outcome = prune.run(site.context(), keep=5)
    assert outcome.details["removed"] == [second]
    assert f"not good: marked bad by ana: rolled back to {first}" in site.log()
    assert marks(site) == {}


def test_prune_keeps_the_aim_of_a_rollback_behind_marked_ones(site: Site, two: tuple[str, str]) -> None:
    first, _ = two
    MarkStore(site.settings.state_dir).write(Mark(first, "bad", "", "ana", 1.0, "r"))
    plan = prune.plan(site.context(), keep=1)
    assert "was live before" in {decision.name: decision.why for decision in plan.decisions if decision.keep}[LEGACY]
    assert rollback.previous(site.context(), site.current.name).name == LEGACY


def test_the_history_of_all_that(site: Site, two: tuple[str, str]) -> None:
    first, second = two
    site.rollback()
    history = spans(History(site.settings.state_dir).entries(), site.current.name)
    assert [(span.version, span.how) for span in history] == [
        (LEGACY, ""),
        (first, "deploy"),
        (second, "deploy"),
        (first, "rollback"),
    ]
    assert json.dumps(history[-1].until) == "null"
