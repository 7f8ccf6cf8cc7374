"""Configured paths that others than root can exchange: told, refused where a build could, and not opened."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import pytest

from govma_core.deploy import exposed_paths, tarball
from govma_core.deploy.doctor import Finding, examine
from govma_core.errors import PreflightError, UnsafeTreeError, VendorError
from govma_core.fs.permissions import above, open_file
from govma_core.versions import env_file
from tests.support.rights import as_root
from tests.support.sample import LEGACY_VERSION as LEGACY
from tests.support.sites import Site

BUILD, OTHER = 1000, 54321
pytestmark = [as_root, pytest.mark.root]


def findings(site: Site) -> list[Finding]:
    return [finding for finding in examine(site.context()) if finding.what == "paths"]


def test_where_only_root_can_write_there_is_nothing_to_tell(site: Site) -> None:
    site.deploy()
    assert "can replace what the settings name" not in site.log("warning")
    (finding,) = findings(site)
    assert finding.state == "ok"


def test_a_home_of_somebody_is_told_and_deployed_from(site: Site) -> None:
    """Guards the way from deploy.sh: nothing has to be moved, or given to root, before the first deploy."""
    os.chown(site.sample.root, OTHER, OTHER)
    os.chown(site.sample.vendor_dir, 0, OTHER)
    site.sample.vendor_dir.chmod(0o775)
    site.deploy()
    (line,) = [line for line in site.log("warning").splitlines() if "can replace what the settings name" in line]
    assert str(site.sample.root) in line
    home, vendors = findings(site)
    assert (home.state, home.command) == ("note", f"chown root {site.sample.root}")
    assert f"uid {OTHER}" in home.said
    assert "env_file" in home.said
    assert (vendors.state, vendors.command) == ("note", f"chmod g-w,o-w {site.sample.vendor_dir}")
    assert "ee_tarball, themes_tarball" in vendors.said
    assert not home.safe, "--fix would take a home from its owner"


@pytest.mark.parametrize("place", ["root", "vendor_dir", "env_file"])
@pytest.mark.parametrize("by", ["owner", "group", "mode"])
def test_what_a_build_on_this_machine_could_exchange_is_refused(site: Site, place: str, by: str) -> None:
    path = getattr(site.sample, place)
    os.chown(path, BUILD if by == "owner" else 0, site.settings.build_gid if by == "group" else 0)
    path.chmod({"owner": 0o755, "group": 0o775, "mode": 0o757}[by])
    with pytest.raises(PreflightError) as raised:
        site.deploy()
    (problem,) = raised.value.problems
    assert problem.startswith(f"{path} can be written by uid {BUILD}")
    assert "GOVMA_BUILDER=docker" in problem
    assert site.current.name == LEGACY
    assert [finding.state for finding in findings(site)] == ["wrong"]
    settings = dataclasses.replace(site.settings, builder="docker")
    assert exposed_paths.refusals(settings, exposed_paths.find(settings)) == []


def test_a_sticky_directory_of_all_is_no_way(tmp_path: Path, site: Site) -> None:
    tmp_path.chmod(0o1777)
    assert exposed_paths.find(site.settings) == []


@pytest.mark.parametrize("first", ["{root}/theirs/current", "../theirs/../theirs/current"])
def test_a_directory_that_links_lead_through_is_a_way(tmp_path: Path, first: str) -> None:
    for name in ("conf", "theirs", "real"):
        (tmp_path / name).mkdir()
    (tmp_path / "conf/link").symlink_to(first.format(root=tmp_path))
    (tmp_path / "theirs/current").symlink_to(tmp_path / "real")
    (tmp_path / "conf/loop").symlink_to("loop")
    upper = {tmp_path, *tmp_path.parents}
    passed = {place for place, _ in above(tmp_path / "conf/link/file")}
    assert passed - upper == {tmp_path / name for name in ("conf", "conf/link", "theirs", "real")}
    assert {place for place, _ in above(tmp_path / "conf/loop/file")} - upper == {tmp_path / "conf"}


def content(path: Path) -> bytes:
    fd, info = open_file(path)
    try:
        return os.read(fd, info.st_size)
    finally:
        os.close(fd)


def test_a_link_is_followed_where_only_root_can_have_made_it(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (tmp_path / "secret").write_text("root's")
    (tmp_path / "link").symlink_to("secret")
    (tmp_path / "through").symlink_to("home/theirs")
    (home / "theirs").symlink_to("../secret")
    (home / "roots").symlink_to("../secret")
    os.chown(home / "theirs", OTHER, OTHER, follow_symlinks=False)
    assert content(tmp_path / "link") == b"root's"
    assert content(home / "roots") == b"root's"
    for path in (home / "theirs", tmp_path / "through"):
        with pytest.raises(UnsafeTreeError, match="home/theirs is a link that users other than root"):
            open_file(path)
    os.chown(home, OTHER, OTHER)
    with pytest.raises(UnsafeTreeError, match="home/roots is a link that users other than root"):
        open_file(home / "roots")
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(OSError, match="Too many levels"):
        open_file(tmp_path / "loop")


@pytest.mark.parametrize("kind", ["fifo", "directory", "link"])
def test_neither_env_file_nor_tarball_is_taken_from_what_is_no_file(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "configured"
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "directory":
        path.mkdir()
    else:
        path.symlink_to("/etc/shadow")
        os.chown(path, OTHER, OTHER, follow_symlinks=False)
    for (problem,) in (env_file.preflight(path), tarball.preflight(path, "ee_tarball")):
        assert str(path) in problem
    with pytest.raises(UnsafeTreeError):
        env_file.install(path, -1)
    with pytest.raises(VendorError, match=str(path)):
        tarball.open_tarball(path)
