"""What a deploy would do now: deploy, pending, the dialog, doctor and /readyz say the same, whatever the remote did."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from govma_console.tui.plans import plan_deploy
from govma_core.deploy import doctor, source
from govma_core.errors import HeldError, PreflightError, SourceError
from govma_core.fs import jsonfile
from govma_core.versions.holds import HoldStore
from govma_core.versions.manifest import ManifestStore
from tests.deploy.test_source import git
from tests.support.sites import Site, make_site

QUICK = {"install_command": "true", "build_commands": [], "asset_inputs": []}


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """Return a site whose live version, and checkout, have a commit that is called Vazamento."""
    site = make_site(tmp_path / "site")
    site.flags |= QUICK
    site.sample.commit({"data/html/leak.txt": "secret"}, "Vazamento")
    site.deploy()
    return site


@dataclass(frozen=True)
class Said:
    """What one of them says: why it would be refused, what is withdrawn, and the commit otherwise."""

    refusal: str
    warning: str = ""
    commit: str = ""


def said_by_all(site: Site) -> Said:
    """Ask them all, which have to agree; the deploy at last."""
    try:
        changes = plan_deploy(site.settings, None).changes
        refusal = str(changes.error() or "")
        expected = Said(refusal, changes.warning, "" if refusal else changes.target.sha)
    except SourceError as error:
        expected = Said(str(error))
    assert source.refusal(site.settings) == expected.refusal
    findings = [f for f in doctor.examine(site.context()) if f.what in ("remote", "source_dir", "holds")]
    refusals = [f for f in findings if f.state == "wrong" or f.what == "holds"]
    assert "\n".join(f.said for f in refusals) == expected.refusal
    assert "\n".join(f.said for f in findings if f.state == "note" and f not in refusals) == expected.warning
    if expected.refusal:
        checked_out = here(site, "rev-parse", "HEAD")
        is_gone, is_held = "has no branch" in expected.refusal, "are held" in expected.refusal
        with pytest.raises(SourceError if is_gone else HeldError if is_held else PreflightError) as raised:
            site.deploy()
        assert str(raised.value) == expected.refusal
        assert here(site, "rev-parse", "HEAD") == checked_out
    else:
        assert site.deploy().commit == expected.commit
        assert here(site, "rev-parse", "HEAD") == expected.commit
        assert expected.warning in site.log("warning")
    return expected


def develop(site: Site, *arguments: str) -> str:
    return git(site.sample.developer, *arguments)


def here(site: Site, *arguments: str) -> str:
    return git(site.settings.source_dir, *arguments)


def push_back(site: Site) -> str:
    """Take the last commit off the remote's branch; give what it is at then."""
    develop(site, "push", "-qf", "origin", "HEAD~1:refs/heads/main")
    return develop(site, "rev-parse", "HEAD~1")


def push_aside(site: Site) -> str:
    """Put another commit in the place of the last one."""
    develop(site, "reset", "-q", "--hard", "HEAD~1")
    (site.sample.developer / "data/html/fixed.txt").write_text("fixed")
    develop(site, "add", "-A")
    develop(site, "commit", "-qm", "Conserta")
    develop(site, "push", "-qf", "origin", "HEAD:main")
    return develop(site, "rev-parse", "HEAD")


@pytest.mark.parametrize("push", [push_back, push_aside])
def test_what_the_remote_has_taken_back_is_told_and_left_behind(site: Site, push: Callable[[Site], str]) -> None:
    leak = here(site, "rev-parse", "HEAD")
    sha = push(site)
    said = said_by_all(site)
    assert (said.refusal, said.commit) == ("", sha)
    assert f"Withdrawn from origin/main: 1 commit ({leak[:9]} Vazamento)." in said.warning
    assert not (site.current / "html/leak.txt").exists()
    assert here(site, "symbolic-ref", "--short", "HEAD") == "main"
    assert here(site, "status", "--porcelain") == ""
    assert leak in here(site, "log", "-g", "--format=%H", "main")
    assert said_by_all(site) == Said("", "", sha)


def test_what_was_only_fetched_with_a_clone_is_withdrawn_as_well(site: Site, tmp_path: Path) -> None:
    """A clone writes no reflog of the remote's branch: the first fetch does, of where it was before."""
    site.flags["source_dir"] = str(clone(site, tmp_path))
    for path in (site.settings.state_dir / "versions").iterdir():
        path.unlink()
    sha = push_back(site)
    said = said_by_all(site)
    assert (said.commit, "Vazamento" in said.warning) == (sha, True)


def test_what_was_deployed_is_withdrawn_when_nothing_else_knows_it(site: Site) -> None:
    """A branch that is deleted takes its reflog along; the manifest of a version tells that it was there."""
    develop(site, "push", "-q", "origin", "HEAD~1:refs/heads/trunk")
    git(site.sample.remote, "symbolic-ref", "HEAD", "refs/heads/trunk")
    develop(site, "push", "-q", "origin", ":main")
    assert "any more" in said_by_all(site).refusal
    sha = push_back(site)
    assert "Vazamento" in said_by_all(site).warning
    assert here(site, "rev-parse", "HEAD") == sha


@pytest.mark.parametrize("push", [None, push_back, push_aside])
def test_commits_that_only_the_checkout_ever_had_are_refused_by_name(
    site: Site, push: Callable[[Site], str] | None
) -> None:
    here(site, "commit", "-q", "--allow-empty", "-m", "precious")
    if push:
        push(site)
    said = said_by_all(site)
    short = here(site, "rev-parse", "HEAD")[:9]
    assert f"has 1 commit that origin never had: {short} precious. A deploy takes what" in said.refusal
    assert ("Vazamento" in said.warning) == bool(push)
    here(site, "branch", "kept")
    here(site, "reset", "-q", "--keep", "origin/main")
    assert said_by_all(site).refusal == ""


def test_a_branch_that_was_deleted_is_named_as_gone(site: Site) -> None:
    develop(site, "push", "-q", "origin", "HEAD~1:refs/heads/trunk", "HEAD:refs/heads/side")
    git(site.sample.remote, "symbolic-ref", "HEAD", "refs/heads/trunk")
    develop(site, "push", "-q", "origin", ":main")
    expected = (
        "origin has no branch 'main' any more (the setting branch, GOVMA_BRANCH): it was deleted or renamed there. "
        "It has: side, trunk (its default)."
    )
    assert said_by_all(site) == Said(expected)


def test_a_branch_gives_way_to_a_folder_of_that_name_and_back(site: Site) -> None:
    git(site.sample.remote, "symbolic-ref", "HEAD", "refs/heads/other")
    develop(site, "push", "-q", "origin", ":main")
    develop(site, "push", "-q", "origin", "HEAD:refs/heads/main/2026")
    assert said_by_all(site).refusal.endswith("It has: main/2026.")
    site.flags["branch"] = "main/2026"
    sha = site.sample.commit({"data/html/new.txt": "new"}, "Novo", push=False)
    develop(site, "push", "-q", "origin", "HEAD:refs/heads/main/2026")
    assert said_by_all(site) == Said("", "", sha)
    develop(site, "push", "-q", "origin", ":main/2026")
    develop(site, "push", "-q", "origin", "HEAD~1:refs/heads/main")
    assert "no branch 'main/2026'" in said_by_all(site).refusal
    site.flags["branch"] = "main"
    said = said_by_all(site)
    assert (said.refusal, said.commit) == ("", develop(site, "rev-parse", "HEAD~1"))
    assert here(site, "symbolic-ref", "--short", "HEAD") == "main"


def test_a_branch_that_the_checkout_never_had_is_taken_from_the_remote(site: Site) -> None:
    develop(site, "push", "-q", "origin", "HEAD~1:refs/heads/stable")
    site.flags["branch"] = "stable"
    assert said_by_all(site) == Said("", "", develop(site, "rev-parse", "HEAD~1"))
    assert "The checkout was not on stable; it goes there." in site.log("warning")
    assert here(site, "symbolic-ref", "--short", "HEAD") == "stable"


def clone(site: Site, tmp_path: Path, *options: str) -> Path:
    target = tmp_path / "clone"
    git(tmp_path, "clone", "-q", *options, f"file://{site.sample.remote}", str(target))
    return target


@pytest.mark.parametrize("options", [("--depth=1",), ("--single-branch",)])
def test_a_clone_of_less_follows_the_remote_too(site: Site, tmp_path: Path, options: tuple[str, ...]) -> None:
    develop(site, "push", "-q", "origin", "HEAD~2:refs/heads/trunk")
    git(site.sample.remote, "symbolic-ref", "HEAD", "refs/heads/main")
    site.flags["source_dir"] = str(clone(site, tmp_path, *options))
    sha = site.sample.commit({"data/html/new.txt": "new"}, "Novo")
    assert said_by_all(site) == Said("", "", sha)
    assert "Novo" in said_by_all_after(push_aside, site).warning
    git(site.sample.remote, "symbolic-ref", "HEAD", "refs/heads/trunk")
    develop(site, "push", "-q", "origin", ":main")
    assert "origin has no branch 'main' any more" in said_by_all(site).refusal


def said_by_all_after(push: Callable[[Site], str], site: Site) -> Said:
    sha = push(site)
    said = said_by_all(site)
    assert said.commit == sha
    return said


def test_a_worktree_is_a_checkout_like_any_other(site: Site, tmp_path: Path) -> None:
    """Its references are in the directory of another checkout."""
    here(site, "checkout", "-q", "--detach")
    here(site, "worktree", "add", "-q", str(tmp_path / "tree"), "main")
    site.flags["source_dir"] = str(tmp_path / "tree")
    assert "Vazamento" in said_by_all_after(push_back, site).warning
    here(site, "commit", "-q", "--allow-empty", "-m", "precious")
    assert "never had" in said_by_all(site).refusal


def test_a_checkout_at_no_branch_goes_back_when_nothing_is_lost(site: Site) -> None:
    here(site, "checkout", "-q", "--detach")
    sha = push_back(site)
    assert said_by_all(site).commit == sha
    here(site, "checkout", "-q", "--detach")
    here(site, "commit", "-q", "--allow-empty", "-m", "precious")
    head = here(site, "rev-parse", "HEAD")[:9]
    assert said_by_all(site) == Said(
        f"The checkout {site.settings.source_dir} is at {head}, a commit that is on no branch. Keep it with "
        f"`git branch NAME {head}`, then deploy again."
    )
    here(site, "branch", "kept")
    assert said_by_all(site).commit == sha


def test_a_commit_is_deployed_by_its_name_when_the_remote_had_it_and_not_otherwise(site: Site) -> None:
    leak = here(site, "rev-parse", "HEAD")
    push_back(site)
    site.deploy()
    assert site.deploy(ref=leak[:12]).commit == leak
    manifest = ManifestStore(site.settings.state_dir).read(site.current.name)
    assert manifest is not None
    assert manifest.ref == leak[:12]
    here(site, "checkout", "-q", "-b", "mine")
    here(site, "commit", "-q", "--allow-empty", "-m", "precious")
    own = here(site, "rev-parse", "HEAD")
    with pytest.raises(SourceError, match="no commit that was fetched from it"):
        site.deploy(ref=own)


def test_tags_of_the_remote_are_there_for_a_build(site: Site) -> None:
    develop(site, "tag", "-am", "um", "v1")
    develop(site, "push", "-q", "origin", "v1")
    site.deploy()
    assert here(site, "describe") == "v1"
    site.sample.commit({"data/html/new.txt": "new"}, "Novo")
    develop(site, "tag", "-fam", "dois", "v1")
    develop(site, "push", "-qf", "origin", "v1")
    here(site, "tag", "own")
    site.deploy()
    assert here(site, "describe") == "v1"
    assert here(site, "tag").split() == ["own", "v1"]


@pytest.mark.parametrize("flag", ["--assume-unchanged", "--skip-worktree"])
def test_an_edit_that_git_does_not_look_at_is_named_before_it_stops_a_deploy(site: Site, flag: str) -> None:
    path = site.settings.source_dir / "data/html/robots.txt"
    here(site, "update-index", flag, "data/html/robots.txt")
    sha = site.sample.commit({"data/html/new.txt": "new"}, "Novo")
    before = path.read_text()
    path.write_text("hidden")
    assert said_by_all(site) == Said("", "", sha)
    sha = site.sample.commit({"data/html/robots.txt": "Allow: /"}, "Robots")
    assert "in files that a deploy would change: data/html/robots.txt. Let git look" in said_by_all(site).refusal
    assert path.read_text() == "hidden"
    here(site, "update-index", flag.replace("--", "--no-"), "data/html/robots.txt")
    assert "is not clean" in said_by_all(site).refusal
    path.write_text(before)
    assert said_by_all(site) == Said("", "", sha)


def test_an_ignored_file_that_a_deploy_would_overwrite_is_named_before(site: Site) -> None:
    (site.settings.source_dir / ".git/info").mkdir(exist_ok=True)
    (site.settings.source_dir / ".git/info/exclude").write_text("*.local\n")
    path = site.settings.source_dir / "data/html/notes.local"
    path.write_text("mine")
    assert said_by_all(site).refusal == ""
    sha = site.sample.commit({"data/html/notes.local": "theirs"}, "Notas")
    assert said_by_all(site).refusal.endswith("\n  !! data/html/notes.local")
    assert path.read_text() == "mine"
    path.unlink()
    assert said_by_all(site) == Said("", "", sha)


def test_a_tag_in_the_way_of_another_stops_no_deploy(site: Site) -> None:
    here(site, "tag", "v1")
    develop(site, "tag", "v1/1")
    develop(site, "push", "-q", "origin", "v1/1")
    sha = site.sample.commit({"data/html/new.txt": "new"}, "Novo")
    assert site.deploy().commit == sha
    assert "Not all branches and tags could be fetched: git fetch failed" in site.log("warning")


def test_a_lock_that_a_killed_git_left_is_named_before_it_stops_a_deploy(site: Site) -> None:
    lock = site.settings.source_dir / ".git/index.lock"
    sha = site.sample.commit({"data/html/new.txt": "new"}, "Novo")
    lock.touch()
    assert said_by_all(site).refusal.endswith(f"cannot move to {sha[:9]}. Remove it: rm {lock}")
    lock.unlink()
    assert said_by_all(site) == Said("", "", sha)


def test_a_commit_without_the_directories_of_a_site_is_refused(site: Site) -> None:
    here_before = here(site, "rev-parse", "HEAD")
    develop(site, "rm", "-rq", "data/system")
    develop(site, "commit", "-qm", "Sem o sistema")
    develop(site, "push", "-q", "origin", "HEAD:main")
    short = develop(site, "rev-parse", "HEAD")[:9]
    assert said_by_all(site) == Said(
        f"Commit {short} (Sem o sistema) has no data/system, data/system/user: is it the site's repository, and the "
        "right branch?"
    )
    assert here(site, "rev-parse", "HEAD") == here_before


@pytest.mark.parametrize("path", ["data/html/leak.txt", "data/html/folder/new.txt"])
def test_a_move_that_was_killed_stops_no_deploy_and_is_put_right_by_it(site: Site, path: str) -> None:
    before = here(site, "rev-parse", "HEAD")
    sha = site.sample.commit({path: "new"}, "Novo")
    here(site, "fetch", "-q")
    jsonfile.replace(site.settings.state_dir / "checkout-move.json", {"head": before, "target": sha})
    (site.settings.source_dir / path).parent.mkdir(exist_ok=True)
    (site.settings.source_dir / path).write_text("half")
    (site.settings.source_dir / ".git/index.lock").touch()
    assert said_by_all(site) == Said("", "", sha)
    assert here(site, "show", "stash@{0}^3:" + path if "folder" in path else "stash@{0}:" + path) == "half"
    (site.settings.source_dir / "data/html/robots.txt").write_text("mine")
    assert "robots.txt" in said_by_all(site).refusal


def test_deploys_that_are_held_are_refused_by_all(site: Site) -> None:
    holds = HoldStore(site.settings.state_dir)
    assert said_by_all(site).refusal == ""
    holds.hold("eleições", "ana", 1_000_000.0)
    assert ": eleições. `govma-console release` ends" in said_by_all(site).refusal
    (site.settings.state_dir / "holds/all.json").write_text("{")
    assert "the record of the hold is damaged" in said_by_all(site).refusal
    holds.release()
    site.rollback()
    assert "rolled back to" in said_by_all(site).refusal
    develop(site, "commit", "-q", "--allow-empty", "-m", "Conserta")
    develop(site, "push", "-q", "origin", "HEAD:main")
    assert said_by_all(site).refusal == ""


def test_looking_takes_no_lock_of_git(site: Site) -> None:
    """Guards a run that moves the checkout while /readyz looks at it."""
    lock = site.settings.source_dir / ".git/index.lock"
    lock.touch()
    (site.settings.source_dir / "data/html/robots.txt").touch()
    assert source.refusal(site.settings) == ""
    lock.unlink()
    assert subprocess.run(["git", "-C", str(site.settings.source_dir), "diff", "--quiet"], check=False).returncode == 0
