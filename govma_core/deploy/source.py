"""The clean checkout: whether it is clean, moving it to the commit that is deployed, and what that commit holds."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from govma_core.deploy.checkout_recovery import finish_move, noted_move
from govma_core.deploy.commit_files import CommitFiles
from govma_core.errors import RefusedError, SourceError
from govma_core.git import GitCommands, GitFailedError, readable
from govma_core.reporting import Reporter
from govma_core.settings import Settings
from govma_core.text.clean import clean_line
from govma_core.text.language import counted, tr

if TYPE_CHECKING:
    import git

_MOST_NAMED = 20


@dataclass(frozen=True, slots=True)
class Commit:
    """A commit: full sha, first line of its message, author's name, commit time (epoch seconds)."""

    sha: str
    subject: str
    author: str
    committed: float

    @property
    def short(self) -> str:
        """Return the sha as people write it."""
        return self.sha[:9]

    def require(self, confirmed_sha: str | None) -> None:
        """Raise RefusedError unless it is the commit that the operator confirmed (None: any)."""
        if confirmed_sha is not None and confirmed_sha != self.sha:
            raise RefusedError(
                "{commit_shown} was to be deployed, but {short} ({subject}) has been pushed since. "
                "Look at what is pending, and deploy again.",
                commit_shown=confirmed_sha[:9],
                short=self.short,
                subject=self.subject,
            )

    @classmethod
    def of(cls, commit: git.Commit) -> Commit:
        """Return the commit that GitPython has read, in words that a terminal can show."""
        summary = commit.summary
        text = summary.decode("utf-8", "replace") if isinstance(summary, bytes) else summary
        return cls(commit.hexsha, clean_line(text), clean_line(commit.author.name or ""), float(commit.committed_date))


class Checkout:
    """The checkout in source_dir. Nothing in it is ever lost: it moves forward, or to a commit and back."""

    def __init__(self, settings: Settings, reporter: Reporter) -> None:
        self._settings = settings
        self._reporter = reporter
        self._git = GitCommands(settings.source_dir, settings.git_timeout)
        self._repo = self._git.repo
        self._remote_branch = f"refs/remotes/{settings.remote}/{settings.branch}"

    def close(self) -> None:
        """End the helper processes of GitPython."""
        self._repo.close()

    def recover(self) -> None:
        """Put right what a power cut left of a move; SourceError where git cannot. Only under the lock."""
        finish_move(self._settings, self._git, self._reporter)

    def require_clean(self) -> None:
        """Raise SourceError with the files in the way: changed, staged, or untracked and not ignored."""
        dirty = list(_changes(self._git.entries("status", "--porcelain=v2", "-z", "--untracked-files=normal")))
        if dirty:
            lines = [f"  {entry}" for entry in dirty[:_MOST_NAMED]]
            if len(dirty) > _MOST_NAMED:
                lines.append(tr("  … and {count} more", count=len(dirty) - _MOST_NAMED))
            raise SourceError(
                tr(
                    "The checkout {source_dir} is not clean. Commit, move or remove what is named here "
                    "(`git status` there says more):\n",
                    source_dir=self._settings.source_dir,
                )
                + "\n".join(lines)
            )

    def update(self, ref: str | None) -> Commit:
        """Fetch, and return the commit to deploy: the branch's, moved straight ahead, or that of another ref."""
        with noted_move(self._settings, self._git):
            self.return_to_branch()
            self.fetch(everything=ref is not None)
            return self.resolve(ref) if ref is not None else self.fast_forward()

    def return_to_branch(self) -> None:
        """Go back to the configured branch, from wherever a killed run (or a person) left the checkout."""
        branch = self._settings.branch
        if not self._git.sha(f"refs/heads/{branch}"):
            self._require_remote_branch()
            raise SourceError(
                "branch ({branch}) is no branch of the checkout {source_dir}. Set GOVMA_BRANCH, or check it out there.",
                branch=branch,
                source_dir=self._settings.source_dir,
            )
        with readable(self._settings.source_dir):
            if not self._repo.head.is_detached and self._repo.active_branch.name == branch:
                return
            head = self._repo.head.commit.hexsha
        if not self._git.run("for-each-ref", "--contains", head, "--count=1"):
            raise SourceError(
                "The checkout {source_dir} is at {head}, a commit that is on no branch. Keep it with "
                "`git branch NAME {head}`, then deploy again.",
                source_dir=self._settings.source_dir,
                head=head[:9],
            )
        self._reporter.warning("The checkout was not on {branch}; it goes back there.", branch=branch)
        self._git.run("checkout", "--quiet", branch, "--")

    def fetch(self, *, everything: bool = False) -> None:
        """Fetch the branch, or all branches and tags; the checkout itself is not touched."""
        remote = self._settings.remote
        if everything:
            refs = ["--tags", "--force", remote, f"+refs/heads/*:refs/remotes/{remote}/*"]
        else:
            refs = ["--no-tags", remote, f"+refs/heads/{self._settings.branch}:{self._remote_branch}"]
        try:
            self._git.run("fetch", "--quiet", *refs, waiting=self._reporter.cancellation.interruptible)
        except GitFailedError as error:
            self._require_remote_branch()
            raise SourceError(
                "{error}. The settings name remote {remote!r} and branch {branch!r}: `git remote -v` in "
                "{source_dir} shows where that is, `git ls-remote {remote}` whether it answers.",
                error=str(error).rstrip("."),
                remote=remote,
                branch=self._settings.branch,
                source_dir=self._settings.source_dir,
            ) from None

    def _require_remote_branch(self) -> None:
        """Raise SourceError with the branches of the remote when ours is none of them; nothing when it cannot tell."""
        settings = self._settings
        try:
            lines = self._git.run("ls-remote", "--heads", "--", settings.remote).splitlines()
        except GitFailedError:
            return
        branches = sorted(line.partition("\t")[2].removeprefix("refs/heads/") for line in lines)
        if branches and settings.branch not in branches:
            raise SourceError(
                "{remote} has no branch {branch!r} (the setting branch, GOVMA_BRANCH). It has: {there}.",
                remote=settings.remote,
                branch=settings.branch,
                there=", ".join(branches[:_MOST_NAMED]),
            )

    def fast_forward(self) -> Commit:
        """Move the branch to where its remote is, if that is straight ahead; SourceError when they diverged."""
        branch, settings = self._settings.branch, self._settings
        ours, theirs, newer = self._compare_with_remote()
        if newer is None:
            raise SourceError(
                "{branch} in {source_dir} ({short}) and on {remote} ({short2}) have diverged. Nothing "
                "was changed. If the local commits are not wanted: `git reset --hard "
                "{remote}/{branch}` there.",
                branch=branch,
                source_dir=settings.source_dir,
                short=ours.short,
                remote=settings.remote,
                short2=theirs.short,
            )
        if newer != ours:
            self._git.run("merge", "--ff-only", "--quiet", theirs.sha)
        elif newer != theirs:
            self._warn_of_unpushed(ours, theirs)
        return newer

    def resolve(self, ref: str | None) -> Commit:
        """Return the commit that a branch of the remote, a tag or a sha names; None: what fast_forward() deploys."""
        if ref is None:
            ours, theirs, newer = self._compare_with_remote()
            if newer == ours != theirs:
                self._warn_of_unpushed(ours, theirs)
            return newer or theirs
        names = [f"refs/remotes/{self._settings.remote}/{ref}", f"refs/tags/{ref}"]
        if re.fullmatch(r"[0-9a-fA-F]{4,40}", ref):
            names.append(ref)
        for name in names:
            sha = self._git.sha(name)
            if sha:
                return self.commit(sha)
        raise SourceError(
            "{ref!r} is no branch of {remote}, no tag, and no commit that was fetched from it.",
            ref=ref,
            remote=self._settings.remote,
        )

    def _compare_with_remote(self) -> tuple[Commit, Commit, Commit | None]:
        """Return our branch, the remote's, and the one of them that holds the other (None: they diverged)."""
        with readable(self._settings.source_dir):
            ours = self._repo.commit(f"refs/heads/{self._settings.branch}")
            theirs = self._repo.commit(self._remote_branch)
            newer = None
            if self._repo.is_ancestor(ours, theirs):
                newer = Commit.of(theirs)
            elif self._repo.is_ancestor(theirs, ours):
                newer = Commit.of(ours)
            return Commit.of(ours), Commit.of(theirs), newer

    def _warn_of_unpushed(self, ours: Commit, theirs: Commit) -> None:
        """Name the commits that only the checkout has: it may not be known that they are not pushed."""
        unpushed = self.between(theirs.sha, ours.sha) or []
        self._reporter.warning(
            "The checkout has {commits} that {remote} has not; what a deploy makes live has them too: {named}.",
            commits=counted(len(unpushed), "commit", "commits"),
            remote=self._settings.remote,
            named=", ".join(f"{commit.short} {commit.subject}" for commit in unpushed[:_MOST_NAMED]),
        )

    def commit(self, sha: str) -> Commit:
        """Return a commit of the checkout."""
        with readable(self._settings.source_dir):
            return Commit.of(self._repo.commit(sha))

    def between(self, older: str, newer: str, most: int = 500) -> list[Commit] | None:
        """Return the commits in `newer` that are not in `older`, the latest first; None when one is not there."""
        if not self._git.sha(older) or not self._git.sha(newer):
            return None
        with readable(self._settings.source_dir):
            return [Commit.of(commit) for commit in islice(self._repo.iter_commits(f"{older}..{newer}"), most)]

    def is_ancestor(self, older: str, newer: str) -> bool:
        """Tell whether all of `older` is in `newer`; False when one of them is not there."""
        if not self._git.sha(older) or not self._git.sha(newer):
            return False
        return self._git.is_ancestor(older, newer)

    def lay_out(self, commit: Commit, work_fd: int, owner: tuple[int, int] | None) -> CommitFiles:
        """Fill the emptied work dir with the files of a commit; see CommitFiles."""
        files = CommitFiles(self._settings, self._reporter, self._git, work_fd, owner)
        files.fill(commit.sha)
        return files

    def archive(self, commit: Commit, folder: str) -> io.BytesIO | None:
        """Return a folder of a commit as a tar file, with the folder's content at its top; None without one."""
        if not self._git.run("ls-tree", "-d", commit.sha, "--", folder):
            return None
        return io.BytesIO(self._git.output("archive", "--format=tar", f"{commit.sha}:{folder}"))


def _changes(entries: Iterable[str]) -> Iterator[str]:
    """Yield what differs, as `git status --short` writes it, of the entries of `git status --porcelain=v2 -z`.

    A submodule that is at another commit, and clean, is left out: it is not moved with the checkout.
    """
    remaining = iter(entries)
    for entry in remaining:
        kind, _, rest = entry.partition(" ")
        if kind == "?":
            yield f"?? {rest}"
            continue
        fields = {"1": 8, "2": 9, "u": 10}[kind]
        state, submodule, *_, path = rest.split(" ", fields - 1)
        if kind == "2":
            next(remaining)  # the former name
        if (state, submodule) != (".M", "SC.."):
            yield f"{state.replace('.', ' ')} {path}"


def recover(settings: Settings, reporter: Reporter) -> None:
    """Put the checkout right after a power cut; what is wrong with it otherwise is for `preflight` to say."""
    with suppress(SourceError), closing(Checkout(settings, reporter)) as checkout:
        checkout.recover()


def preflight(settings: Settings, reporter: Reporter) -> list[str]:
    """Return a sentence for what makes source_dir unusable."""
    directory = settings.source_dir
    if not directory.is_dir():
        return [
            tr(
                "source_dir ({directory}) is not there. Clone the site's repository to it, or set GOV_MA_GIT_SRC_DIR.",
                directory=directory,
            )
        ]
    try:
        with closing(Checkout(settings, reporter)) as checkout:
            checkout.require_clean()
    except SourceError as error:
        if "dubious ownership" not in str(error):
            return [str(error)]
        owner = directory.stat().st_uid
        return [
            tr(
                "source_dir ({directory}) belongs to uid {owner}, and git trusts no checkout of "
                "another user than its own (uid {geteuid}). Give it to that user: chown -R "
                "{geteuid}:{getegid} {directory}",
                directory=directory,
                owner=owner,
                geteuid=os.geteuid(),
                getegid=os.getegid(),
            )
        ]
    return []
