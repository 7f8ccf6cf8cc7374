"""The checkout, with a real remote: clean or not, straight ahead or diverged, elsewhere and back."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from govma_core.deploy import source
from govma_core.deploy.source import Checkout
from govma_core.errors import SourceError
from govma_core.events import Event
from govma_core.reporting import Reporter, silent
from govma_core.settings import load
from tests.support.rights import as_root
from tests.support.sample import SampleSite, create_sample


def git(directory: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=Test", "-c", "user.email=test@example.invalid"]
    process = subprocess.run(["git", *identity, *arguments], cwd=directory, check=True, capture_output=True, text=True)
    return process.stdout.strip()


@pytest.fixture
def sample(tmp_path: Path) -> SampleSite:
    return create_sample(tmp_path / "site")


@pytest.fixture
def events() -> list[Event]:
    return []


@pytest.fixture
def checkout(sample: SampleSite, events: list[Event]) -> Iterator[Checkout]:
    checkout = Checkout(load({}, file=sample.config_file).settings, Reporter(events.append))
    yield checkout
    checkout.close()


def state(directory: Path) -> tuple[str, str, str]:
    return git(directory, "rev-parse", "HEAD"), git(directory, "status", "--porcelain"), git(directory, "stash", "list")


def test_a_new_commit_is_fast_forwarded(sample: SampleSite, checkout: Checkout) -> None:
    sha = sample.commit({"data/html/new.php": "<?php"}, "Adiciona página")
    checkout.require_clean()
    checkout.fetch()
    commit = checkout.fast_forward()
    assert (commit.sha, commit.subject) == (sha, "Adiciona página")
    assert (sample.source_dir / "data/html/new.php").read_text() == "<?php"


@pytest.mark.parametrize("kind", ["changed", "staged", "untracked"])
def test_a_checkout_that_is_not_clean_is_named_and_untouched(sample: SampleSite, checkout: Checkout, kind: str) -> None:
    path = sample.source_dir / ("new file.txt" if kind == "untracked" else "package.json")
    path.write_text("something")
    if kind == "staged":
        git(sample.source_dir, "add", "package.json")
    with pytest.raises(SourceError) as raised:
        checkout.require_clean()
    assert path.name in str(raised.value)
    assert str(sample.source_dir) in str(raised.value)
    assert path.read_text() == "something"


def test_ignored_files_are_no_dirt(sample: SampleSite, checkout: Checkout) -> None:
    (sample.source_dir / "node_modules").mkdir()
    (sample.source_dir / "node_modules/x.js").write_text("x")
    checkout.require_clean()


def test_diverged_branches_change_nothing(sample: SampleSite, checkout: Checkout) -> None:
    git(sample.source_dir, "commit", "--allow-empty", "-m", "local")
    sample.commit({"a.txt": "a"}, "remote")
    before = state(sample.source_dir)
    checkout.fetch()
    with pytest.raises(SourceError, match=r"have diverged. Nothing was changed"):
        checkout.fast_forward()
    assert state(sample.source_dir) == before


def test_local_commits_are_deployed_and_said(sample: SampleSite, checkout: Checkout, events: list[Event]) -> None:
    git(sample.source_dir, "commit", "--allow-empty", "-m", "local")
    checkout.fetch()
    assert checkout.fast_forward().subject == "local"
    assert "1 commit that origin has not" in str(events)
    events.clear()
    # As pending does.
    local = checkout.resolve(None)
    assert f"{local.short} local" in str(events)


def test_a_remote_that_is_gone_is_a_sentence(sample: SampleSite, checkout: Checkout) -> None:
    before = state(sample.source_dir)
    sample.remote.rename(sample.root / "moved.git")
    with pytest.raises(SourceError, match="git fetch failed"):
        checkout.fetch()
    assert state(sample.source_dir) == before


def test_a_branch_that_is_not_on_the_remote_is_a_sentence(sample: SampleSite) -> None:
    settings = load({}, file=sample.config_file, flags={"branch": "nowhere"}).settings
    checkout = Checkout(settings, silent())
    for step in (checkout.fetch, checkout.return_to_branch):
        with pytest.raises(SourceError, match=r"origin has no branch 'nowhere' .* It has: main\."):
            step()
    checkout.close()


def test_a_remote_that_hangs_is_given_up_and_leaves_no_process(sample: SampleSite) -> None:
    pid_file = sample.root / "pid"
    hang = sample.root / "hang"
    hang.write_text(f"#!/bin/sh\nsleep 600 &\necho $! > {pid_file}\nwait\n")
    hang.chmod(0o755)
    git(sample.source_dir, "config", "remote.origin.uploadpack", str(hang))
    settings = load({}, file=sample.config_file, flags={"git_timeout": 1}).settings
    checkout = Checkout(settings, silent())
    began = time.monotonic()
    with pytest.raises(SourceError, match=r"did not end within 1 s \(git_timeout\)"):
        checkout.fetch()
    checkout.close()
    assert time.monotonic() - began < 30
    status = Path(f"/proc/{pid_file.read_text().strip()}/stat")
    deadline = time.monotonic() + 10
    while status.exists() and status.read_text().split()[2] != "Z" and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not status.exists() or status.read_text().split()[2] == "Z"


@pytest.mark.parametrize("kind", ["branch", "tag", "sha"])
def test_another_ref_is_found_and_the_checkout_stays(sample: SampleSite, checkout: Checkout, kind: str) -> None:
    git(sample.developer, "checkout", "-q", "-b", "feature")
    (sample.developer / "data/html/feature.php").write_text("feature")
    git(sample.developer, "add", "-A")
    git(sample.developer, "commit", "-qm", "Feature")
    sha = git(sample.developer, "rev-parse", "HEAD")
    git(sample.developer, "tag", "v1")
    git(sample.developer, "push", "-q", "origin", "feature", "v1")
    before = state(sample.source_dir)
    assert checkout.update({"branch": "feature", "tag": "v1", "sha": sha[:10]}[kind]).sha == sha
    assert state(sample.source_dir) == before


@pytest.mark.parametrize("ref", ["nowhere", "--help", "HEAD~1000", "0" * 40, "-x", "a b"])
def test_a_ref_that_is_none_is_a_sentence(checkout: Checkout, ref: str) -> None:
    with pytest.raises(SourceError, match="is no branch of origin, no tag"):
        checkout.resolve(ref)


def test_a_checkout_left_elsewhere_by_a_killed_run_returns(sample: SampleSite, checkout: Checkout) -> None:
    git(sample.source_dir, "checkout", "-q", "--detach", "HEAD~1")
    checkout.return_to_branch()
    assert git(sample.source_dir, "symbolic-ref", "--short", "HEAD") == "main"


def test_a_detached_commit_on_no_branch_is_not_abandoned(sample: SampleSite, checkout: Checkout) -> None:
    git(sample.source_dir, "checkout", "-q", "--detach")
    git(sample.source_dir, "commit", "--allow-empty", "-qm", "precious")
    before = state(sample.source_dir)
    with pytest.raises(SourceError, match="on no branch"):
        checkout.return_to_branch()
    assert state(sample.source_dir) == before


def test_commits_between_two(sample: SampleSite, checkout: Checkout) -> None:
    old = git(sample.source_dir, "rev-parse", "HEAD")
    first, second = sample.commit({"a": "1"}, "Um"), sample.commit({"a": "2"}, "Dois")
    checkout.fetch()
    commits = checkout.between(old, second)
    assert commits is not None
    assert [commit.sha for commit in commits] == [second, first]
    assert checkout.between(second, old) == []
    assert checkout.between("0" * 40, second) is None


def test_what_is_no_checkout_is_said(tmp_path: Path, sample: SampleSite) -> None:
    plain = tmp_path / "plain"
    plain.mkdir()
    for path, words in ((plain, "not a git checkout"), (tmp_path / "none", "is not there")):
        settings = load({}, file=sample.config_file, flags={"source_dir": str(path)}).settings
        (problem,) = source.preflight(settings, silent())
        assert words in problem
        assert str(path) in problem


@as_root
@pytest.mark.root
def test_a_checkout_of_another_user_is_not_trusted(sample: SampleSite) -> None:
    subprocess.run(["chown", "-R", "1000:1000", str(sample.source_dir)], check=True)
    checkout = Checkout(load({}, file=sample.config_file).settings, silent())
    with pytest.raises(SourceError, match="ownership"):
        checkout.require_clean()
    checkout.close()


def test_what_would_be_deployed_is_the_same_for_pending_and_deploy(sample: SampleSite, checkout: Checkout) -> None:
    checkout.fetch()
    assert checkout.resolve(None) == checkout.fast_forward()
    git(sample.source_dir, "commit", "--allow-empty", "-m", "local")
    assert checkout.resolve(None) == checkout.fast_forward()
    assert checkout.resolve(None).subject == "local"


def test_a_checkout_without_commits_is_a_sentence(sample: SampleSite, checkout: Checkout) -> None:
    git(sample.source_dir, "checkout", "-q", "--orphan", "empty")
    with pytest.raises(SourceError, match="cannot be read"):
        checkout.return_to_branch()


def test_hooks_of_the_checkout_are_not_run(sample: SampleSite, checkout: Checkout) -> None:
    hooks = sample.source_dir / ".git/hooks"
    hooks.mkdir(exist_ok=True)
    for name in ("post-merge", "post-checkout", "reference-transaction"):
        (hooks / name).write_text(f"#!/bin/sh\ntouch {sample.root}/ran\n")
        (hooks / name).chmod(0o755)
    sample.commit({"new": "x"}, "Novo")
    checkout.fetch()
    checkout.fast_forward()
    assert not (sample.root / "ran").exists()


def test_variables_of_a_git_hook_lead_nowhere(sample: SampleSite, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_INDEX_FILE", str(sample.root / "other-index"))
    monkeypatch.setenv("GIT_DIR", str(sample.remote))
    checkout = Checkout(load({}, file=sample.config_file).settings, silent())
    checkout.require_clean()
    checkout.close()


def test_control_sequences_in_a_commit_do_not_get_further(sample: SampleSite, checkout: Checkout) -> None:
    sample.commit({"x": "1"}, "Perigo \x1b[31mvermelho\x1b]0;t\x07")
    checkout.fetch()
    assert checkout.fast_forward().subject == "Perigo vermelho"
