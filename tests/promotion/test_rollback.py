"""Back to an earlier version and forward again: what goes live, what is refused, and what browsers fetch again."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from govma_core.errors import PublishError, RefusedError
from govma_core.promotion import promote, rollback
from govma_core.versions.history import History
from govma_core.versions.manifest import ManifestStore
from govma_core.versions.marks import MarkStore
from tests.support.sample import LEGACY_VERSION as LEGACY
from tests.support.sites import Site


def test_promote_and_rollback(site: Site) -> None:
    first = site.deploy().version
    site.sample.commit({"data/html/second.php": "<?php"}, "Segundo")
    second = site.deploy().version
    assert site.rollback().version == first
    assert site.current.name == first
    assert site.rollback().version == LEGACY
    assert site.promote(second).version == second
    assert [promotion.how for promotion in History(site.settings.state_dir).read()] == [
        "deploy",
        "deploy",
        "rollback",
        "rollback",
        "promote",
    ]


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("current", "is live already"),
        ("missing", "There is no version '1999'"),
        ("incomplete", "2020-01-01-00h00m00s is incomplete"),
        ("no record", "No record in state_dir"),
    ],
)
def test_a_rollback_that_makes_no_sense_is_refused_with_the_list(site: Site, kind: str, words: str) -> None:
    version = site.deploy().version
    (site.settings.versions_dir / "data-build--2020-01-01-00h00m00s").mkdir()
    target: str | None = {"current": version, "missing": "1999", "incomplete": "2020-01-01"}.get(kind)
    if kind == "no record":
        (site.settings.state_dir / "history.jsonl").unlink()
    with pytest.raises(RefusedError) as raised:
        site.rollback(target)
    assert words in str(raised.value)
    assert LEGACY in str(raised.value)
    assert site.current.name == version


def test_a_rollback_freshens_css_and_js(site: Site) -> None:
    site.deploy()
    (css,) = list((site.settings.versions_dir / LEGACY / "system/user").rglob("*.css"))[:1]
    os.utime(css, (1, 1))
    site.rollback()
    assert css.stat().st_mtime > 1_000_000_000


def test_a_switch_that_was_confirmed_while_another_version_was_live_is_refused(site: Site) -> None:
    site.deploy()
    new = site.current.name
    for switch in (rollback, promote):
        with pytest.raises(RefusedError, match=f"{new} is live now, not {LEGACY}"):
            switch.run(site.context(), version=LEGACY, live_shown=LEGACY)
    assert site.current.name == new
    assert rollback.run(site.context(), version=LEGACY, live_shown=new).version == LEGACY


def commit_and_deploy(site: Site, name: str) -> str:
    site.sample.commit({f"data/html/{name}.php": "<?php"}, name)
    return site.deploy().version


def test_a_rollback_leads_to_another_content_and_not_to_the_same_again(site: Site) -> None:
    """Guards the way out of a bad commit that was deployed twice: the earlier deploy of it is no way back."""
    good = commit_and_deploy(site, "good")
    bad = commit_and_deploy(site, "bad")
    again = site.deploy().version
    assert f"nothing new: {bad} is live with " in site.log("info")
    assert site.rollback().version == good
    assert site.current.name == good
    assert set(MarkStore(site.settings.state_dir).read()) == {again}


def test_the_same_commit_with_another_env_file_is_another_content(site: Site) -> None:
    first = commit_and_deploy(site, "first")
    with site.sample.env_file.open("a") as file:
        file.write("BROKEN=1\n")
    site.deploy()
    assert "nothing new" not in site.log()
    assert site.rollback().version == first


def test_without_another_content_a_rollback_is_refused_and_a_named_one_warns(site: Site) -> None:
    first = site.deploy().version
    second = site.deploy().version
    shutil.rmtree(site.settings.versions_dir / LEGACY)
    with pytest.raises(RefusedError, match=f"{first} was live before, but is made from the same as the live one"):
        site.rollback()
    assert site.current.name == second
    assert site.rollback(first).version == first
    assert f"{first} was made from the same as {second}" in site.log("warning")


def test_manifests_of_the_code_before_are_read_as_they_are(site: Site) -> None:
    """What a manifest does not record counts as equal: the same commit is the same, until something is known."""
    good = commit_and_deploy(site, "good")
    versions = [commit_and_deploy(site, "bad"), site.deploy().version]
    for version, parts in zip(versions, (("commands_sha256",), ("commands_sha256", "env_sha256")), strict=True):
        path = site.settings.state_dir / "versions" / f"{version}.json"
        data = json.loads(path.read_text())
        path.write_text(json.dumps({name: value for name, value in data.items() if name not in parts}))
    site.deploy()
    assert f"nothing new: {versions[-1]} is live" in site.log("info")
    assert site.rollback().version == good


ENV = "system/user/config/.env"


def changed_env_file(site: Site) -> tuple[str, str, str]:
    """Deploy two contents, the second one with another env file; give both versions and the text of the second's."""
    first = commit_and_deploy(site, "first")
    with site.sample.env_file.open("a") as file:
        file.write("NEW_PASSWORD=geheim\n")
    return first, commit_and_deploy(site, "second"), site.sample.env_file.read_text()


def test_a_rollback_says_that_its_target_has_another_env_file_and_leaves_it(site: Site) -> None:
    first, _, present = changed_env_file(site)
    site.rollback()
    manifest = ManifestStore(site.settings.state_dir).read(first)
    assert manifest is not None
    said = f"{first} was made with another env_file (sha256 {manifest.env_sha256[:12]}) than the present one"
    assert said in site.log("warning")
    assert "--current-env" in site.log("warning")
    assert "geheim" not in site.log()
    assert (site.current / ENV).read_text() != present


def test_current_env_goes_into_the_target_and_into_no_other_version(site: Site) -> None:
    first, second, present = changed_env_file(site)
    former = site.settings.versions_dir / first / ENV
    twin = site.settings.versions_dir / LEGACY / ENV
    twin.unlink(missing_ok=True)
    twin.hardlink_to(former)
    content = former.read_text()
    site.sample.env_file.chmod(0o640)
    assert rollback.run(site.context(), current_env=True).version == first
    info = (site.current / ENV).stat()
    assert (site.current / ENV).read_text() == present
    assert (info.st_nlink, info.st_mode & 0o777) == (1, 0o640)
    assert os.geteuid() != 0 or (info.st_uid, info.st_gid) == (33, 33)
    assert twin.read_text() == content
    manifests = ManifestStore(site.settings.state_dir)
    versions = [manifests.read(name) for name in (first, second)]
    assert len({each.env_sha256 for each in versions if each}) == 1
    assert "geheim" not in site.log()
    assert "with another env_file" not in site.log()
    assert not [path for path in site.settings.versions_dir.iterdir() if path.name.startswith(".")]


def test_current_env_does_not_make_the_target_the_same_as_what_is_left(site: Site) -> None:
    first, second, _ = changed_env_file(site)
    with site.sample.env_file.open("a") as file:
        file.write("OTHER_PASSWORD=outra\n")
    third = site.deploy().version
    assert rollback.previous(site.context(), third).name == second
    assert rollback.run(site.context(), current_env=True).version == first
    assert "was made from the same as" not in site.log("warning")
    rollback.run(site.context(), version=third)
    rollback.run(site.context(), version=second, current_env=True)
    assert f"{second} was made from the same as {third}" in site.log("warning")


@pytest.mark.parametrize("fault", ["folder is a link", "rename fails", "no env file"])
def test_current_env_that_cannot_be_put_there_switches_nothing(
    site: Site, fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second, _ = changed_env_file(site)
    folder = (site.settings.versions_dir / first / ENV).parent
    content = (folder / ".env").read_text()
    if fault == "folder is a link":
        folder.rename(tmp_path / "config")
        folder.symlink_to(tmp_path / "config")
    elif fault == "no env file":
        site.sample.env_file.unlink()
    else:

        def fail(*args: Any, **more: Any) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "rename", fail)
    with pytest.raises(PublishError, match="Nothing was switched"):
        rollback.run(site.context(), current_env=True)
    assert site.current.name == second
    assert (folder / ".env").read_text() == content
    assert not [path for path in site.settings.versions_dir.iterdir() if path.name.startswith(".")]
    assert MarkStore(site.settings.state_dir).read() == {}


def test_a_run_cannot_be_cancelled_behind_its_switch(site: Site) -> None:
    """Guards what follows it: the history, the mark and the hold, and the proof."""
    for operation in (site.deploy, site.rollback):
        operation()
        site.cancellation.request()
        assert not site.cancellation.requested
