"""What goes wrong in a deploy: each a sentence, the link untouched, and the next deploy works."""

from __future__ import annotations

import dataclasses
import os
import shutil
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from govma_core.building import step_tree, work_dir
from govma_core.deploy import deploy
from govma_core.errors import BuildError, PreflightError, PublishError, RunCancelled, VendorError
from govma_core.events import Event, LogLine, StageStarted
from govma_core.fs import safefs
from govma_core.reporting import Reporter
from govma_core.versions.store import version_name
from tests.support.command import Command
from tests.support.rights import as_root
from tests.support.sample import LEGACY_VERSION as LEGACY
from tests.support.sites import STAGES, Site


def remove_env(site: Site) -> None:
    site.sample.env_file.unlink()


def env_is_a_directory(site: Site) -> None:
    remove_env(site)
    site.sample.env_file.mkdir()


def remove_tarball(site: Site) -> None:
    site.settings.ee_path.unlink()


def empty_tarball(site: Site) -> None:
    site.settings.themes_path.write_bytes(b"")


def no_upload_dir(site: Site) -> None:
    shutil.rmtree(site.settings.upload_dir)


def no_source(site: Site) -> None:
    shutil.rmtree(site.settings.source_dir)


@pytest.mark.parametrize(
    ("breakage", "words"),
    [
        (remove_env, "env_file"),
        (env_is_a_directory, "env_file"),
        (remove_tarball, "ee_tarball"),
        (empty_tarball, "themes_tarball"),
        (no_upload_dir, "upload_dir"),
        (no_source, "source_dir"),
    ],
)
def test_a_failed_precondition_names_setting_path_and_remedy(
    site: Site, breakage: Callable[[Site], None], words: str
) -> None:
    breakage(site)
    with pytest.raises(PreflightError) as raised:
        site.deploy()
    (problem,) = raised.value.problems
    assert words in problem
    assert str(site.sample.root) in problem
    assert raised.value.exit_code == 3
    assert site.current.name == LEGACY


def test_a_machine_without_git_is_told_so(site: Site, tmp_path: Path) -> None:
    command = Command(site.sample.config_file, site.settings.state_dir)
    for name in ("sh", "env", "ls", "cp", "mkdir", "cat", "touch", "find", "sed", "rm", "sleep"):
        (tmp_path / name).symlink_to(f"/usr/bin/{name}")
    for arguments, code in (("deploy",), 3), (("pending",), 1), (("doctor",), 3):
        result = command.run(*arguments, PATH=str(tmp_path))
        assert result.code == code
        assert "There is no git on this machine. Install it: apt-get install git." in result.out + result.err


def test_all_failed_preconditions_are_said_at_once(site: Site) -> None:
    for breakage in (remove_env, remove_tarball, empty_tarball, no_upload_dir, no_source):
        breakage(site)
    with pytest.raises(PreflightError) as raised:
        site.deploy()
    assert len(raised.value.problems) == 5


def corrupt(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def with_member(name: str, kind: bytes, target: str = "") -> Callable[[Path], None]:
    def make(path: Path) -> None:
        with tarfile.open(path, "w:gz") as tar:
            member = tarfile.TarInfo(name)
            member.type = kind
            member.linkname = target
            tar.addfile(member)

    return make


@pytest.mark.parametrize(
    "damage",
    [
        corrupt,
        with_member("ee/../../../escaped", tarfile.REGTYPE),
        with_member("/tmp/govma-escaped", tarfile.REGTYPE),
        with_member("ee/link", tarfile.SYMTYPE, "/etc"),
        with_member("ee/hard", tarfile.LNKTYPE, "/etc/passwd"),
        with_member("elsewhere/file", tarfile.REGTYPE),
    ],
    ids=["corrupt", "dot-dot", "absolute", "symlink", "hard link", "another top folder"],
)
def test_a_bad_tarball_fails_the_deploy_and_the_next_one_works(site: Site, damage: Callable[[Path], None]) -> None:
    good = site.settings.ee_path.read_bytes()
    damage(site.settings.ee_path)
    with pytest.raises(VendorError, match=site.settings.ee_tarball):
        site.deploy()
    assert site.current.name == LEGACY
    assert not list(site.sample.root.rglob("escaped"))
    assert not Path("/tmp/govma-escaped").exists()
    site.settings.ee_path.write_bytes(good)
    assert site.deploy().version == site.current.name


@pytest.mark.parametrize("step", [0, 1, 2])
def test_a_build_that_fails_names_the_command_and_keeps_the_work_dir(site: Site, step: int) -> None:
    commands = ["true", "true", "true"]
    commands[step] = "echo before; false"
    site.flags |= {"install_command": commands[0], "build_commands": commands[1:]}
    with pytest.raises(BuildError, match="echo before; false"):
        site.deploy()
    assert "before" in site.log("output")
    assert site.current.name == LEGACY
    assert (site.sample.work_dir / "data/html").is_dir()
    site.flags.clear()
    assert site.deploy().version == site.current.name


def test_a_build_that_removes_what_a_version_needs_fails(site: Site) -> None:
    site.flags |= {"install_command": "rm -rf data/system", "build_commands": [], "asset_inputs": []}
    with pytest.raises(BuildError, match="data/system"):
        site.deploy()
    assert site.current.name == LEGACY


@as_root
@pytest.mark.root
@pytest.mark.parametrize("cached", [True, False])
def test_a_file_of_roots_that_the_build_moves_into_the_tree_is_not_published(
    site: Site, tmp_path: Path, cached: bool
) -> None:
    """Who owns a directory can rename out of it what only root can read."""
    folder = tmp_path / "home"
    folder.mkdir()
    secret = folder / "secret"
    secret.write_text("root's")
    secret.chmod(0o600)
    os.chown(folder, site.settings.build_uid, site.settings.build_gid)
    site.flags |= {"install_command": "true", "build_commands": [f"mv {secret} data/html/secret.css"]}
    if not cached:
        site.flags["asset_inputs"] = []
    with pytest.raises(BuildError, match=r"html/secret\.css"):
        site.deploy()
    assert site.current.name == LEGACY
    trees = step_tree.left(site.sample.work_dir)
    (foreign,) = (path for tree in trees if (path := tree / "data/html/secret.css").exists())
    assert (foreign.stat().st_uid, foreign.read_text()) == (0, "root's")
    assert not [
        path for path in site.settings.state_dir.rglob("*") if path.is_file() and b"root's" in path.read_bytes()
    ]
    # The next deploy empties the work dir.
    foreign.rename(secret)
    site.flags.clear()
    assert site.deploy().version == site.current.name


@pytest.mark.parametrize("kind", ["directory", "outside"])
def test_a_pointer_that_somebody_set_stops_the_deploy_before_it_begins(site: Site, tmp_path: Path, kind: str) -> None:
    link = site.settings.versions_dir / "current-version"
    link.unlink()
    link.mkdir() if kind == "directory" else link.symlink_to(tmp_path)
    with pytest.raises(PreflightError, match="current-version"):
        site.deploy()
    link.rmdir() if kind == "directory" else link.unlink()
    assert site.deploy().version == site.current.name


@pytest.mark.parametrize("kind", ["missing", "dangling"])
def test_a_pointer_that_leads_nowhere_is_said_and_mended_by_a_deploy(site: Site, kind: str) -> None:
    link = site.settings.versions_dir / "current-version"
    link.unlink()
    if kind == "dangling":
        link.symlink_to("data-build--gone")
    version = site.deploy().version
    assert "current-version" in site.log("warning")
    assert site.current.name == version


def test_a_version_name_that_is_taken_is_said(site: Site) -> None:
    version = site.deploy().version
    site.clock -= 60
    with pytest.raises((PreflightError, PublishError), match="already something called"):
        site.deploy()
    assert site.current.name == version


@pytest.mark.parametrize("stage", STAGES)
def test_a_cancel_at_any_stage_leaves_everything_as_it_was(site: Site, stage: str) -> None:
    context = site.context()
    reporter = Reporter(lambda event: cancel_at(event), site.cancellation)

    def cancel_at(event: Event) -> None:
        if isinstance(event, StageStarted) and event.stage == stage:
            site.cancellation.request()

    with pytest.raises(RunCancelled):
        deploy.run(dataclasses.replace(context, reporter=reporter))
    assert site.current.name == LEGACY
    assert [name for name in os.listdir(site.sample.root / "build-env") if name.startswith(".")] == []
    assert site.deploy().version == site.current.name


def test_nothing_of_the_build_can_put_control_sequences_into_the_log(site: Site) -> None:
    site.flags |= {
        "install_command": r"printf '\033[2Jcleared\033]0;title\007\r50%%\r100%%\n\377\376bad\n'",
        "build_commands": [],
        "asset_inputs": [],
    }
    site.deploy()
    output = [event.text for event in site.events if isinstance(event, LogLine) and event.level == "output"]
    assert "100%" in output
    assert not any(ord(char) < 32 for line in output for char in line)


@as_root
@pytest.mark.root
def test_a_persons_directory_that_is_named_by_mistake_is_not_touched(site: Site, tmp_path: Path) -> None:
    """Guards what is done to a work dir before all is looked at: processes ended in it, closed, node_modules taken."""
    home = tmp_path / "home"
    (home / "node_modules/mine").mkdir(parents=True)
    (home / "thesis.txt").write_text("years of work")
    os.chown(home, site.settings.build_uid, site.settings.build_gid)
    home.chmod(0o755)
    site.flags["work_dir"] = str(home)
    with subprocess.Popen(
        ["sleep", "600"], cwd=home, user=site.settings.build_uid, group=0, extra_groups=[]
    ) as process:
        try:
            with pytest.raises(PreflightError, match="does not look like a former build"):
                site.deploy()
            assert process.poll() is None
        finally:
            process.kill()
    assert (home.stat().st_uid, home.stat().st_mode & 0o777) == (site.settings.build_uid, 0o755)
    assert (home / "node_modules/mine").is_dir()


def test_a_work_dir_with_something_else_in_it_is_not_emptied(site: Site) -> None:
    site.sample.work_dir.mkdir()
    precious = site.sample.work_dir / "thesis.txt"
    precious.write_text("years of work")
    with pytest.raises(PreflightError, match=r"work_dir .*thesis\.txt"):
        site.deploy()
    assert precious.read_text() == "years of work"


@as_root
@pytest.mark.root
def test_who_stands_in_the_work_dir_does_not_keep_it_from_being_emptied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that a killed run's build left makes a file wherever it can, each time a directory was listed."""
    for path in ("work", "work/data", "work/data/html"):
        (tmp_path / path).mkdir()
        os.chown(tmp_path / path, 1000, 1000)
    (tmp_path / "state").mkdir()
    listed, refused = safefs.entries, []

    def entries(fd: int) -> list[os.DirEntry[str]]:
        names = listed(fd)
        os.seteuid(1000)
        try:
            os.close(os.open("more", os.O_CREAT | os.O_WRONLY, dir_fd=fd))
        except PermissionError:
            refused.append(fd)
        finally:
            os.seteuid(0)
        return names

    monkeypatch.setattr(safefs, "entries", entries)
    with work_dir.emptied(tmp_path / "work", tmp_path / "state"):
        assert os.listdir(tmp_path / "work") == []
    assert len(refused) == 3


def test_a_failed_publish_leaves_no_manifest_and_touches_nobody_elses(site: Site) -> None:
    context = site.context()
    name = version_name(context.local_start)
    manifests = site.settings.state_dir / "versions"

    def take_the_name(event: Event) -> None:
        if isinstance(event, StageStarted) and event.stage == "publish":
            (site.settings.versions_dir / name).mkdir()
            manifests.mkdir(exist_ok=True)
            (manifests / f"{name}.json").write_text("theirs")

    with pytest.raises(PublishError, match="already something called"):
        deploy.run(dataclasses.replace(context, reporter=Reporter(take_the_name)))
    assert (manifests / f"{name}.json").read_text() == "theirs"


def test_an_upload_dir_that_vanishes_fails_the_deploy(site: Site) -> None:
    def remove(event: Event) -> None:
        if isinstance(event, StageStarted) and event.stage == "uploads":
            shutil.rmtree(site.settings.upload_dir)

    with pytest.raises(FileNotFoundError):
        deploy.run(dataclasses.replace(site.context(), reporter=Reporter(remove)))
    assert site.current.name == LEGACY
