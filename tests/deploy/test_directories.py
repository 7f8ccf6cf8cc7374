"""The directories of the settings: the doctor and a deploy look at them once, and say the same."""

from __future__ import annotations

import dataclasses
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from govma_core.deploy import directories
from govma_core.deploy.directories import Finding
from govma_core.deploy.doctor import examine
from govma_core.errors import PreflightError
from tests.support.rights import as_root
from tests.support.sites import Site


def no_versions(site: Site) -> Path:
    (site.settings.versions_dir).rename(site.sample.root / "elsewhere")
    return site.settings.versions_dir


def a_file_for_uploads(site: Site) -> Path:
    shutil.rmtree(site.settings.upload_dir)
    site.settings.upload_dir.touch()
    return site.settings.upload_dir


def images_not_mounted(site: Site) -> Path:
    images = site.sample.root / "images-linked"
    images.symlink_to("not-mounted")
    site.flags["image_dir"] = str(images)
    return images


def nowhere_for_node_modules(site: Site) -> Path:
    site.flags["node_modules_dir"] = str(site.sample.root / "none/node_modules")
    return site.sample.root / "none"


def nowhere_for_the_work_dir(site: Site) -> Path:
    site.flags["work_dir"] = str(site.sample.root / "none/work")
    return site.sample.root / "none"


def something_in_the_work_dir(site: Site) -> Path:
    site.sample.work_dir.mkdir()
    (site.sample.work_dir / "thesis.txt").touch()
    return site.sample.work_dir


@pytest.mark.parametrize(
    "breakage",
    [
        no_versions,
        a_file_for_uploads,
        images_not_mounted,
        nowhere_for_node_modules,
        nowhere_for_the_work_dir,
        something_in_the_work_dir,
    ],
)
def test_what_stops_a_deploy_is_what_the_doctor_finds_wrong(site: Site, breakage: Callable[[Site], Path]) -> None:
    path = breakage(site)
    with pytest.raises(PreflightError) as raised:
        site.deploy()
    (problem,) = raised.value.problems
    assert str(path) in problem
    (finding,) = [finding for finding in examine(site.context()) if finding.stops]
    assert (finding.state, finding.sentence()) == ("wrong", problem)
    assert finding.command in problem
    if finding.said.endswith("is not there"):
        assert finding.command.startswith("install -d ")


@as_root
@pytest.mark.root
def test_another_owner_is_wrong_and_stops_no_deploy(site: Site) -> None:
    """Guards the way from deploy.sh, whose directories belonged to whom they belonged."""
    os.chown(site.settings.versions_dir, 0, 0)
    site.deploy()
    (finding,) = [finding for finding in directories.examine(site.settings) if finding.state == "wrong"]
    assert (finding.what, finding.stops) == ("versions_dir", False)


@as_root
@pytest.mark.root
def test_what_nobody_has_to_have_is_a_note(site: Site) -> None:
    settings = dataclasses.replace(
        site.settings, image_dir=site.sample.root / "none", node_modules_dir=site.sample.root / "made-by-the-deploy"
    )
    notes = {finding.what: finding for finding in directories.examine(settings) if finding.state == "note"}
    assert not notes["image_dir"].stops
    assert not notes["node_modules_dir"].stops
    # Once it is there, versions hold a link to it, which a web server without that mount cannot follow.
    assert not notes["image_dir"].safe
    assert not notes["image_dir"].command
    assert notes["node_modules_dir"].safe


@as_root
@pytest.mark.root
def test_files_of_others_in_node_modules_are_told_by_the_doctor_as_a_deploy_treats_them(site: Site) -> None:
    """Guards a look at the directory alone, which says that all is well where npm ran as root once."""
    (site.settings.node_modules_dir / "left-pad").touch()

    def findings() -> list[Finding]:
        return [each for each in examine(site.context()) if "left-pad" in each.said]

    (finding,) = findings()
    assert "holds 'left-pad', which the build's user (uid 1000) does not own" in finding.said
    assert finding.what == "node_modules_dir"
    assert (finding.state, finding.safe, finding.stops) == ("note", False, False)
    site.deploy()
    assert "holds 'left-pad'" in site.log("warning")
    assert findings() == []
