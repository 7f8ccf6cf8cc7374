"""The whole deploy on the sample site, with the local builder: what a version holds."""

from __future__ import annotations

import gzip
import hashlib
import os
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from govma_core.building import work_dir
from govma_core.building.local_builder import LocalBuilder
from govma_core.errors import RefusedError
from govma_core.events import StageStarted
from govma_core.process.workers import Forked
from govma_core.versions.manifest import ManifestStore
from tests.support.pictures import entries
from tests.support.rights import as_root
from tests.support.sample import LEGACY_VERSION as LEGACY
from tests.support.sites import STAGES, Site


def test_a_deploy_makes_a_whole_version_and_puts_it_live(site: Site) -> None:
    outcome = site.deploy()
    assert [event.stage for event in site.events if isinstance(event, StageStarted)] == STAGES
    version = site.current
    assert version.name == outcome.version
    assert outcome.version_before == LEGACY
    assert os.readlink(site.settings.versions_dir / "current-version") == outcome.version
    for part in ("html/index.php", "html/docs", "html/themes/ee", "system/ee", "system/user/config/.env"):
        assert (version / part).exists(), part
    assert os.readlink(version / "html/uploads") == "../../../uploads"
    assert os.readlink(version / "html/images") == "../../../images"
    assert (version / "system/user/config/.env").read_text() == site.sample.env_file.read_text()
    assert list(site.sample.work_dir.glob("data")) == []
    assert "successfully deployed" in site.log()


def test_the_manifest_says_where_a_version_comes_from_and_no_secret(site: Site) -> None:
    outcome = site.deploy()
    manifest = ManifestStore(site.settings.state_dir).read(outcome.version)
    assert manifest is not None
    assert (manifest.commit, manifest.by, manifest.origin, manifest.ref) == (outcome.commit, "ana", "test", "main")
    counted = [path for path in site.current.rglob("*") if path.is_file() and not path.is_symlink()]
    assert manifest.files >= len(counted) > 0
    assert len(manifest.ee_sha256) == len(manifest.themes_sha256) == len(manifest.env_sha256) == 64
    secret = next(line.split("=", 1)[1] for line in site.sample.env_file.read_text().splitlines() if "PASSWORD" in line)
    everything = str(site.events) + "".join(
        path.read_text(errors="replace") for path in site.settings.state_dir.rglob("*") if path.is_file()
    )
    assert len(secret.strip("\"'")) > 4
    assert secret.strip("\"'") not in everything


@as_root
@pytest.mark.root
def test_owners_are_the_operators(site: Site) -> None:
    site.sample.env_file.chmod(0o600)
    site.deploy()
    owners = {(p.lstat().st_uid, p.lstat().st_gid) for p in [site.current, *site.current.rglob("*")]}
    assert owners == {(33, 33)}
    assert (site.current / ENV).stat().st_mode & 0o7777 == 0o600
    link = (site.settings.versions_dir / "current-version").lstat()
    assert (link.st_uid, link.st_gid) == (33, 33)
    assert {p.lstat().st_uid for p in site.settings.upload_dir.rglob("*")} == {33}


def test_a_commit_that_nobody_confirmed_is_not_built(site: Site) -> None:
    live = site.current
    with pytest.raises(RefusedError, match=r"abcdef012 was to be deployed, but [0-9a-f]{9} .* has been pushed since"):
        site.deploy(commit_shown="abcdef012" + "0" * 31)
    assert site.current == live
    assert list(site.stages()) == ["preflight", "source"]
    sha = site.deploy().commit
    assert site.deploy(commit_shown=sha).commit == sha


def test_without_promotion_the_link_stays(site: Site) -> None:
    outcome = site.deploy(promote=False)
    assert site.current.name == LEGACY
    assert (site.settings.versions_dir / outcome.version / "html/index.php").exists()


def test_another_ref_is_deployed_and_the_checkout_is_back_on_its_branch(site: Site) -> None:
    older = subprocess.check_output(["git", "rev-parse", "HEAD~2"], cwd=site.sample.source_dir, text=True).strip()
    assert site.deploy(ref=older[:12]).commit == older
    branch = subprocess.check_output(["git", "symbolic-ref", "--short", "HEAD"], cwd=site.sample.source_dir, text=True)
    assert branch.strip() == "main"


def test_unchanged_inputs_take_the_recorded_assets(site: Site) -> None:
    site.deploy()
    built = {str(p.relative_to(site.current)): p.read_bytes() for p in site.current.rglob("*.css") if p.is_file()}
    assert "$ sh tools/build.sh install" in site.log()
    site.sample.commit({"data/html/other.php": "<?php"}, "Nada dos assets")
    site.deploy()
    assert "$ sh tools/build.sh" not in site.log()
    assert "files reused from run run-" in site.stages()["assets/prod"].remark
    reused = {str(p.relative_to(site.current)): p.read_bytes() for p in site.current.rglob("*.css") if p.is_file()}
    assert reused == built
    assert (site.current / "html/docs").is_dir()
    site.deploy(rebuild=True)
    assert "$ sh tools/build.sh install" in site.log()
    site.sample.commit({"resources/new.scss": "a{color:red}"}, "Assets novos")
    site.deploy()
    assert "install runs: the names in resources/ changed" in site.log()
    assert "prod runs: the names in resources/ changed" in site.log()


def test_a_damaged_record_is_built_again(site: Site) -> None:
    site.deploy()
    for entry in (site.settings.state_dir / "assets").iterdir():
        for path in entry.iterdir():
            if path.name != "index.json":
                path.write_text("tampered")
    site.deploy()
    assert "is damaged" in site.log("warning")
    assert "$ sh tools/build.sh docs" in site.log()
    assert "$ sh tools/build.sh prod" in site.log()


def test_the_asset_cache_is_off_without_inputs(site: Site) -> None:
    site.flags["asset_inputs"] = []
    site.deploy()
    site.deploy()
    assert "$ sh tools/build.sh install" in site.log()
    assert not (site.settings.state_dir / "assets").exists()


def test_a_file_that_people_replaced_is_kept_and_named(site: Site) -> None:
    before = (site.settings.upload_dir / "portal/logo.svg").read_bytes()
    site.deploy()
    assert (site.settings.upload_dir / "portal/logo.svg").read_bytes() == before
    assert "portal/logo.svg" in site.log("warning")


def test_an_overwritten_upload_is_kept_below_the_state_dir(site: Site) -> None:
    before = (site.settings.upload_dir / "portal/logo.svg").read_bytes()
    site.flags["uploads_policy"] = "overwrite"
    site.deploy()
    assert (site.settings.upload_dir / "portal/logo.svg").read_bytes() != before
    (replaced,) = (site.settings.state_dir / "replaced").rglob("logo.svg")
    assert replaced.read_bytes() == before


def test_without_an_image_dir_images_stay_in_the_version(site: Site) -> None:
    shutil.rmtree(site.settings.image_dir or "")
    site.deploy()
    assert (site.current / "html/images").is_dir()
    assert not (site.current / "html/images").is_symlink()


ENV = "system/user/config/.env"


def is_timed(path: Path) -> bool:
    """Tell whether a deploy leaves the time as it was: css and js are touched at the end, the env file is made anew."""
    return path.is_file() and path.suffix not in (".css", ".js") and path.name != ".env"


def test_a_work_dir_on_another_file_system_is_copied(site: Site) -> None:
    """Guards owners, modes and times there, the manifest, and the links to what is equal."""
    work = Path("/dev/shm") / f"govma-work-{os.getpid()}"
    site.sample.env_file.chmod(0o600)
    site.deploy()
    moved = entries(site.current, is_timed)
    site.flags["work_dir"] = str(work)
    try:
        version = site.deploy().version
        assert "another file system" in site.stages()["publish"].remark
        assert entries(site.current, is_timed) == moved
        manifest = ManifestStore(site.settings.state_dir).read(version)
        assert manifest is not None
        assert manifest.files == len([path for path in site.current.rglob("*") if path.is_file()])
        assert "files linked to identical ones" in site.log()
        assert not (work / "data").exists()
    finally:
        shutil.rmtree(work, ignore_errors=True)


def test_what_a_killed_run_left_is_removed(site: Site) -> None:
    leftover = site.settings.versions_dir / ".govma-incoming-0123456789abcdef"
    work = site.sample.work_dir
    staging, theirs = (work.with_name(work_dir.staging_name("vendor", work)) for _ in range(2))
    other_sites = work.with_name(work_dir.staging_name("steps", work.with_name("other-work")))
    for path in (leftover, staging, theirs, other_sites):
        (path / "ee").mkdir(parents=True)
    for path in (leftover, staging, other_sites):
        path.chmod(0o1700)
    (site.settings.versions_dir / "symlink_new_link").symlink_to(LEGACY)
    site.sample.work_dir.mkdir(exist_ok=True)
    (site.sample.work_dir / "half").write_text("x")
    (site.sample.work_dir / "data").mkdir()
    version = site.deploy().version
    assert not leftover.exists()
    assert not staging.exists()
    assert (theirs / "ee").is_dir(), "only its name is like ours"
    assert (other_sites / "ee").is_dir(), "that site may be building"
    assert f"{theirs} is named like a leftover" in site.log("warning")
    assert site.current.name == version
    assert not (site.sample.work_dir / "half").exists()


@as_root
@pytest.mark.root
def test_what_resists_of_the_unpacking_of_a_killed_run_is_told(site: Site) -> None:
    work = site.sample.work_dir
    staging = work.with_name(work_dir.staging_name("vendor", work))
    (staging / "mounted").mkdir(parents=True)
    staging.chmod(0o1700)
    subprocess.run(["mount", "--bind", site.sample.vendor_dir, staging / "mounted"], check=True)
    try:
        site.deploy()
    finally:
        subprocess.run(["umount", staging / "mounted"], check=True)
    assert f"{staging.name} (vendor tarballs that an interrupted run was unpacking) cannot be" in site.log("warning")
    assert any(site.sample.vendor_dir.iterdir())


def test_if_new_makes_nothing_when_the_live_version_was_made_from_the_same(site: Site) -> None:
    first = site.deploy(if_new=True)
    assert first.state == "ok", "the version of deploy.sh has no fingerprint"
    inode = site.current.stat().st_ino
    again = site.deploy(if_new=True)
    assert (again.state, again.version, again.version_before) == ("unchanged", first.version, first.version)
    assert again.message == f"nothing new: {first.version} is live with {first.commit[:9]}"
    assert list(site.stages()) == ["preflight", "source", "compare"]
    assert "docker/builder of the repository is not used" in site.log()
    assert (site.current.name, site.current.stat().st_ino) == (first.version, inode)
    assert len(site.store.versions()) == 2
    assert site.deploy(if_new=True, rebuild=True).state == "ok"


@pytest.mark.parametrize("part", ["commit", "env_file", "ee_tarball", "build_commands"])
def test_if_new_makes_a_version_when_anything_is_new(site: Site, part: str) -> None:
    first = site.deploy()
    if part == "commit":
        site.sample.commit({"data/html/new.php": "<?php"}, "Novo")
    elif part == "build_commands":
        site.flags[part] = ["sh tools/build.sh docs"]
    else:
        path = site.settings.env_file if part == "env_file" else site.settings.ee_path
        with path.open("ab") as file:
            # A second member of a .gz, as long as none.
            file.write(b"# new\n" if part == "env_file" else gzip.compress(b""))
    second = site.deploy(if_new=True)
    assert (second.state, second.version != first.version) == ("ok", True)
    assert part == "commit" or site.stages()["compare"].remark == f"{first.version} was made with another {part}"
    assert "nothing new" not in site.log()
    manifest = ManifestStore(site.settings.state_dir).read(second.version)
    assert manifest is not None
    # What was recorded of tarballs that are not used any more does not pile up.
    records = {path.name for path in (site.settings.state_dir / "tarballs").iterdir()}
    assert records == {f"{sha256}.json.z" for sha256 in (manifest.ee_sha256, manifest.themes_sha256)}


@pytest.mark.parametrize("if_new", [True, False])
def test_a_run_that_is_killed_while_the_builder_is_prepared_leaves_nothing(
    site: Site, monkeypatch: pytest.MonkeyPatch, *, if_new: bool
) -> None:
    """Guards against a second place beside the work dir, which no recovery knows, for the builder's folder."""
    site.deploy()
    before = sorted(site.settings.state_dir.iterdir())

    def deploy(_: int) -> None:
        site.deploy(if_new=if_new)

    monkeypatch.setattr(LocalBuilder, "prepare", lambda *_: os.kill(os.getpid(), signal.SIGKILL))
    assert not Forked(deploy).read_all()
    assert (site.settings.work_dir / "docker/builder/Dockerfile").exists()
    assert sorted(site.settings.state_dir.iterdir()) == before


def test_the_hash_of_the_env_file_is_of_what_the_version_has(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Guards what a rollback says of another env file against one that is edited during the deploy."""
    digest = hashlib.file_digest

    def digest_of_edited(file: Any, algorithm: str) -> Any:
        if os.path.sameopenfile(file.fileno(), edited.fileno()):
            edited.write("# edited meanwhile\n")
            edited.flush()
        return digest(file, algorithm)

    monkeypatch.setattr(hashlib, "file_digest", digest_of_edited)
    with site.settings.env_file.open("a") as edited:
        manifest = ManifestStore(site.settings.state_dir).read(site.deploy().version)
    assert manifest is not None
    content = (site.current / "system/user/config/.env").read_bytes()
    assert manifest.env_sha256 == hashlib.sha256(content).hexdigest()
