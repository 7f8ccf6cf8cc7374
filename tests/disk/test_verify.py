"""Verify: every kind of difference from what was published is named, and nothing else."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from govma_core.disk.verify import Verified, verify
from govma_core.versions.contents import ContentsStore
from tests.support.leased import leased
from tests.support.sites import Site, make_site


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return make_site(tmp_path / "site", files=120)


def verified(site: Site, version: str | None = None) -> dict[str, Verified]:
    return {result.name: result for result in verify(site.context(), version=version)}


def kinds(result: Verified) -> dict[str, str]:
    assert result.changes is not None
    return {change.path: change.kind for change in result.changes}


def test_a_fresh_version_is_as_published_and_a_legacy_one_has_no_record(site: Site) -> None:
    version = site.deploy().version
    results = verified(site)
    assert results.pop(version) == Verified(version, [], [], [])
    (legacy,) = results.values()
    assert legacy.changes is None
    assert legacy.sound


def test_every_kind_of_difference_is_named(site: Site) -> None:
    version = site.deploy().version
    root = site.current
    (root / "html/index.php").write_text("edited live")
    (root / "html/new.php").write_text("added")
    (root / "html/uploads").unlink()
    (root / "html/uploads").symlink_to("elsewhere")
    some = next(path for path in sorted((root / "system/ee").rglob("*.php")))
    some.chmod(0o600)
    gone = next(path for path in sorted((root / "html/themes").rglob("*")) if path.is_file())
    gone.unlink()
    (root / "system/user/config/config.php").write_text("saved by the CMS")
    (root / "system/user/cache").mkdir(exist_ok=True)
    (root / "system/user/cache/page").write_text("cached")
    os.mkfifo(root / "html/pipe")
    result = verified(site, version)[version]
    assert kinds(result) == {
        "html/index.php": "changed",
        "html/new.php": "added",
        "html/pipe": "added",
        "html/uploads": "changed",
        str(some.relative_to(root)): "mode",
        str(gone.relative_to(root)): "missing",
    }
    assert not result.sound
    assert result.written is not None
    assert {change.path: change.kind for change in result.written} == {
        "system/user/config/config.php": "changed",
        "system/user/cache/page": "added",
    }


def test_a_file_that_its_owner_holds_for_writing_is_named_and_the_rest_is_verified(site: Site) -> None:
    version = site.deploy().version
    with leased(site.current / "html/index.php"):
        result = verified(site, version)[version]
    assert kinds(result) == {"html/index.php": "held"}


def test_a_leak_through_a_link_is_named_in_each_version(site: Site) -> None:
    first = site.deploy().version
    site.sample.commit({"data/html/other.php": "x"}, "Outra página")
    second = site.deploy().version
    page = site.settings.versions_dir / first / "html/index.php"
    assert page.samefile(site.current / "html/index.php"), "linked by the deploy"
    with page.open("r+") as file:
        file.write("leak")
    results = verified(site)
    assert kinds(results[first]) == kinds(results[second]) == {"html/index.php": "changed"}


def test_shared_files_of_the_live_version_are_named(site: Site) -> None:
    first = site.deploy().version
    second = site.deploy().version
    path = "system/user/config/config.php"
    live = site.settings.versions_dir / second / path
    live.unlink()
    os.link(site.settings.versions_dir / first / path, live)
    results = verified(site)
    assert results[second].shared == [path]
    assert not results[second].sound
    assert results[first].shared == []
    outcome = site.promote(second)
    assert "1 files got inodes of their own" in outcome.message
    assert verified(site)[second].sound


def test_a_damaged_record_counts_as_none(site: Site) -> None:
    version = site.deploy().version
    store = ContentsStore(site.settings.state_dir)
    (site.settings.state_dir / "contents" / f"{version}.json.z").write_bytes(b"damaged")
    assert store.read(version) is None
    assert verified(site, version)[version].changes is None
