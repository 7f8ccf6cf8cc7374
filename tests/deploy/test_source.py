"""The checkout, with a real remote: clean or not, straight ahead or diverged, elsewhere and back."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from govma_console import formats
from govma_core.deploy import source
from govma_core.deploy.commits import Commit
from govma_core.deploy.source import Checkout
from govma_core.deploy.submodules import resolved
from govma_core.errors import PreflightError, SourceError
from govma_core.events import Event
from govma_core.reporting import Reporter, silent
from govma_core.settings import load
from tests.support.rights import as_root
from tests.support.sample import SampleSite, create_sample
from tests.support.waiting import wait_for


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


def take(checkout: Checkout) -> Commit:
    """Bring the checkout to what the remote has, as a deploy does."""
    checkout.fetch()
    commit = checkout.next_deploy().require()
    checkout.follow(commit)
    return commit


def test_a_new_commit_is_fast_forwarded(sample: SampleSite, checkout: Checkout) -> None:
    sha = sample.commit({"data/html/new.php": "<?php"}, "Adiciona página")
    commit = take(checkout)
    assert (commit.sha, commit.subject) == (sha, "Adiciona página")
    assert (sample.source_dir / "data/html/new.php").read_text() == "<?php"


def test_a_name_with_control_characters_is_named_without_them(sample: SampleSite, checkout: Checkout) -> None:
    Path(os.fsdecode(os.fsencode(sample.source_dir) + b"/a\x1b[31m\xff")).touch()
    assert checkout.changes().encode().endswith("?? a�".encode())


@pytest.mark.parametrize("kind", ["changed", "staged", "untracked"])
def test_a_checkout_that_is_not_clean_is_named_and_untouched(sample: SampleSite, checkout: Checkout, kind: str) -> None:
    path = sample.source_dir / ("new file.txt" if kind == "untracked" else "package.json")
    path.write_text("something")
    if kind == "staged":
        git(sample.source_dir, "add", "package.json")
    sentence = checkout.changes()
    assert path.name in sentence
    assert str(sample.source_dir) in sentence
    assert checkout.next_deploy().refusal == sentence
    assert path.read_text() == "something"


def test_an_ignored_file_is_never_overwritten(sample: SampleSite, checkout: Checkout) -> None:
    (sample.source_dir / ".git/info").mkdir(exist_ok=True)
    (sample.source_dir / ".git/info/exclude").write_text("notes.txt\n")
    (sample.source_dir / "notes.txt").write_text("a person's")
    sample.commit({"notes.txt": "the commit's"}, "Notas")
    for _ in range(2):
        with pytest.raises(PreflightError, match=r"is not clean(?s:.*)!! notes\.txt"):
            take(checkout)
        checkout.recover()
        assert (sample.source_dir / "notes.txt").read_text() == "a person's"
    (sample.source_dir / "notes.txt").rename(sample.root / "notes.txt")
    take(checkout)
    assert (sample.source_dir / "notes.txt").read_text() == "the commit's"


def test_a_recovery_renews_the_index_so_that_git_reads_no_file_again(sample: SampleSite, checkout: Checkout) -> None:
    """What git has to read whole to see that it is unchanged is read once in a deploy, and not by each command."""
    os.utime(sample.source_dir / "README.md", (1, 1))  # Git compares whole seconds.
    assert git(sample.source_dir, "diff-files", "--name-only") == "README.md"
    checkout.recover()
    assert git(sample.source_dir, "diff-files", "--name-only") == ""


def test_ignored_files_are_no_dirt(sample: SampleSite, checkout: Checkout) -> None:
    (sample.source_dir / "node_modules").mkdir()
    (sample.source_dir / "node_modules/x.js").write_text("x")
    assert checkout.changes() == ""


def test_a_remote_that_is_gone_is_a_sentence(sample: SampleSite, checkout: Checkout) -> None:
    before = state(sample.source_dir)
    sample.remote.rename(sample.root / "moved.git")
    with pytest.raises(SourceError, match="git fetch failed"):
        checkout.fetch()
    assert state(sample.source_dir) == before


def test_a_token_in_the_query_of_the_remotes_url_is_not_told(sample: SampleSite, checkout: Checkout) -> None:
    for name in ("private_token", "access_token", "x=1&job-token"):
        url = f"http://127.0.0.1:1/site.git?{name}=s3cr3tt0ken"
        subprocess.run(["git", "-C", str(sample.source_dir), "remote", "set-url", "origin", url], check=True)
        with pytest.raises(SourceError) as caught:
            checkout.fetch()
        assert f"{name}=***" in str(caught.value)
        assert "s3cr3t" not in str(caught.value)


def test_a_branch_that_is_not_on_the_remote_is_a_sentence(sample: SampleSite) -> None:
    settings = load({}, file=sample.config_file, flags={"branch": "nowhere"}).settings
    with closing(Checkout(settings, silent())) as checkout:
        checkout.fetch()
        with pytest.raises(SourceError, match=r"origin has no branch 'nowhere' \(.*It has: main \(its default\)\."):
            checkout.next_deploy()


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
    wait_for(lambda: not status.exists() or status.read_text().split()[2] == "Z", "the end of what hangs")


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
    checkout.fetch()
    assert checkout.next_deploy({"branch": "feature", "tag": "v1", "sha": sha[:10]}[kind]).require().sha == sha
    assert state(sample.source_dir) == before


@pytest.mark.parametrize("ref", ["nowhere", "--help", "HEAD~1000", "0" * 40, "-x", "a b"])
def test_a_ref_that_is_none_is_a_sentence(checkout: Checkout, ref: str) -> None:
    with pytest.raises(SourceError, match="is no branch of origin, no tag"):
        checkout.next_deploy(ref)


def test_a_checkout_left_elsewhere_by_a_killed_run_returns(sample: SampleSite, checkout: Checkout) -> None:
    git(sample.source_dir, "checkout", "-q", "--detach", "HEAD~1")
    take(checkout)
    assert git(sample.source_dir, "symbolic-ref", "--short", "HEAD") == "main"


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
@pytest.mark.parametrize("part", ["", ".git", ".git/worktrees/other"])
def test_a_part_of_another_user_is_named(sample: SampleSite, part: str) -> None:
    """Guards that it is the part which git does not trust, and its owner, that are named."""
    directory = sample.source_dir
    if "worktrees" in part:
        git(directory, "checkout", "-q", "--detach")
        git(directory, "worktree", "add", "-q", str(sample.root / "other"), "main")
        directory = sample.root / "other"
    path = sample.source_dir / part
    subprocess.run(["chown", "1000:1000", str(path)], check=True)
    settings = load({}, file=sample.config_file, flags={"source_dir": str(directory)}).settings
    (problem,) = source.preflight(settings, silent())
    assert problem.startswith(f"{path} belongs to uid 1000,")
    assert problem.endswith(f"chown -R 0:0 {path}")
    assert source.refusal(settings) == problem


def test_a_checkout_without_commits_takes_what_the_remote_has(sample: SampleSite, checkout: Checkout) -> None:
    git(sample.source_dir, "checkout", "-q", "--orphan", "empty")
    assert "is not clean" in checkout.next_deploy().refusal
    git(sample.source_dir, "rm", "-rqf", ".")
    take(checkout)
    assert git(sample.source_dir, "symbolic-ref", "--short", "HEAD") == "main"


def test_hooks_of_the_checkout_are_not_run(sample: SampleSite, checkout: Checkout) -> None:
    hooks = sample.source_dir / ".git/hooks"
    hooks.mkdir(exist_ok=True)
    for name in ("post-merge", "post-checkout", "reference-transaction"):
        (hooks / name).write_text(f"#!/bin/sh\ntouch {sample.root}/ran\n")
        (hooks / name).chmod(0o755)
    sample.commit({"new": "x"}, "Novo")
    take(checkout)
    assert not (sample.root / "ran").exists()


def test_variables_of_a_git_hook_lead_nowhere(sample: SampleSite, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_INDEX_FILE", str(sample.root / "other-index"))
    monkeypatch.setenv("GIT_DIR", str(sample.remote))
    with closing(Checkout(load({}, file=sample.config_file).settings, silent())) as checkout:
        assert checkout.next_deploy().refusal == ""


def test_control_sequences_in_a_commit_do_not_get_further(sample: SampleSite, checkout: Checkout) -> None:
    sample.commit({"x": "1"}, "Perigo \x1b[31mvermelho\x1b]0;t\x07")
    assert take(checkout).subject == "Perigo vermelho"


@pytest.mark.parametrize(
    ("seconds", "shown"), [(10**14, 253_000_000_000.0), (-(10**12), 0.0), (10**40, 253_000_000_000.0)]
)
def test_a_commit_of_any_year_has_a_time(sample: SampleSite, checkout: Checkout, seconds: int, shown: float) -> None:
    tree = git(sample.developer, "rev-parse", "HEAD^{tree}")
    person = f"A <a@b.c> {seconds} +0000"
    parent = git(sample.developer, "rev-parse", "HEAD")
    text = f"tree {tree}\nparent {parent}\nauthor {person}\ncommitter {person}\n\nLonge\n"
    write_commit(sample, text.encode())
    assert (take(checkout).committed, formats.moment(shown)[:1] != "?") == (shown, True)


def test_a_message_in_another_encoding_is_read_as_it_was_written(sample: SampleSite, checkout: Checkout) -> None:
    lines = git(sample.developer, "cat-file", "commit", "HEAD").split("\n\n")[0].split("\n")
    head = git(sample.developer, "rev-parse", "HEAD")
    lines = [line for line in lines if not line.startswith("parent")]
    lines[1:1] = [f"parent {head}"]
    text = "\n".join([*lines, "encoding ISO-8859-1", "", "Correção\n"])
    write_commit(sample, text.encode("latin-1"))
    assert take(checkout).subject == "Correção"


def write_commit(sample: SampleSite, text: bytes) -> None:
    """Write a commit as it is, and push it."""
    command = ["git", "hash-object", "-t", "commit", "-w", "--stdin", "--literally"]
    process = subprocess.run(command, cwd=sample.developer, input=text, capture_output=True, check=True)
    git(sample.developer, "push", "-q", "origin", f"{process.stdout.decode().strip()}:main")


def test_a_repository_of_sha_256_works(sample: SampleSite) -> None:
    """Its commits have names of 64 digits, which GitPython cannot read."""
    remote, clone = sample.root / "new.git", sample.root / "new"
    git(sample.root, "init", "-q", "--bare", "--object-format=sha256", "--initial-branch=main", str(remote))
    git(sample.root, "init", "-q", "--object-format=sha256", "--initial-branch=main", str(clone))
    git(clone, "remote", "add", "origin", str(remote))
    for name in ("html", "system/user"):
        (clone / "data" / name).mkdir(parents=True)
        (clone / "data" / name / "index.php").touch()
    git(clone, "add", "-A")
    git(clone, "commit", "-q", "-m", "Um")
    git(clone, "push", "-q", "origin", "main")
    settings = load({}, file=sample.config_file, flags={"source_dir": str(clone)}).settings
    with closing(Checkout(settings, silent())) as checkout:
        sha = take(checkout).sha
        assert len(sha) == 64
        assert checkout.next_deploy(sha[:50]).require().sha == sha


@pytest.mark.parametrize(
    ("url", "parent", "address"),
    [
        ("https://example.invalid/a.git", "/srv/b.git", "https://example.invalid/a.git"),
        ("../a.git", "https://example.invalid/x/b.git", "https://example.invalid/x/a.git"),
        ("../../a.git", "https://example.invalid/x/b.git/", "https://example.invalid/a.git"),
        ("../a.git", "git@example.invalid:b.git", "git@example.invalid:a.git"),
        ("../a.git", "git@example.invalid:x/b.git", "git@example.invalid:x/a.git"),
        ("./a.git", "/srv/b.git", "/srv/b.git/a.git"),
    ],
)
def test_the_address_of_a_submodule_may_begin_at_its_parents(url: str, parent: str, address: str) -> None:
    assert resolved(url, parent) == address
