"""The clean checkout: whether it is clean, bringing it up to date, and what a deploy would bring."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from typing import IO, TYPE_CHECKING

from govma_core.deploy.checkout_recovery import DEPLOYED, Moves
from govma_core.errors import SourceError
from govma_core.git import GitCommands, GitFailedError, readable
from govma_core.reporting import Reporter
from govma_core.settings import Settings
from govma_core.text.clean import clean_line
from govma_core.text.language import counted, tr

if TYPE_CHECKING:
    import git


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


def told(found: git.Commit) -> Commit:
    """Return what is told of a commit that GitPython found."""
    summary = found.summary
    text = summary.decode("utf-8", "replace") if isinstance(summary, bytes) else summary
    return Commit(found.hexsha, clean_line(text), clean_line(found.author.name or ""), float(found.committed_date))


_SHOWN = 20


def require(git: GitCommands, settings: Settings) -> None:
    """Raise SourceError with the branches of the remote when ours is none of them; nothing when it cannot tell."""
    try:
        found = git.run("ls-remote", "--heads", "--", settings.remote).splitlines()
    except GitFailedError:
        return
    there = sorted(line.partition("\t")[2].removeprefix("refs/heads/") for line in found)
    if there and settings.branch not in there:
        raise SourceError(
            tr(
                "{remote} has no branch {branch!r} (the setting branch, GOVMA_BRANCH). It has: {there}.",
                remote=settings.remote,
                branch=settings.branch,
                there=", ".join(there[:_SHOWN]),
            )
        )


_REQUIRED = ("data", "data/system", "data/system/user", "data/html")


class Checkout:
    """The checkout in source_dir. Nothing in it is ever lost: it moves forward, or to a commit and back."""

    def __init__(self, settings: Settings, reporter: Reporter) -> None:
        self._settings = settings
        self._reporter = reporter
        self._git = GitCommands(settings.source_dir, settings.git_timeout)
        self._repo = self._git.repo
        self._moves = Moves(settings, self._git, reporter)
        self._remote_branch = f"refs/remotes/{settings.remote}/{settings.branch}"

    def close(self) -> None:
        """End the helper processes of GitPython."""
        self._repo.close()

    def bring(self, ref: str | None) -> Commit:
        """Fetch, and give the commit to deploy: the branch's, moved straight ahead, or that of another ref."""
        with self._moves.noted():
            self.return_to_branch()
            self.fetch(everything=ref is not None)
            return self.resolve(ref) if ref is not None else self.fast_forward()

    def put_right(self) -> None:
        """Put right what a power cut left of a move; SourceError where git cannot. Only under the lock."""
        self._moves.finish()

    def require_clean(self) -> None:
        """Raise SourceError with the files in the way: changed, staged, or untracked and not ignored."""
        found = self._git.run("status", "--porcelain=v1", "-z", "--untracked-files=normal").split("\0")
        dirty = [entry for entry in found if len(entry) > 3 and entry[2] == " "]
        if dirty:
            shown = [f"  {entry[:2]} {entry[3:]}" for entry in dirty[:_SHOWN]]
            more = [tr("  … and {count} more", count=len(dirty) - _SHOWN)] if len(dirty) > _SHOWN else []
            raise SourceError(
                tr(
                    "The checkout {source_dir} is not clean. Commit, move or remove what is named here "
                    "(`git status` there says more):\n",
                    source_dir=self._settings.source_dir,
                )
                + "\n".join(shown + more)
            )

    def return_to_branch(self) -> None:
        """Go back to the configured branch, from wherever a killed run (or a person) left the checkout."""
        branch = self._settings.branch
        if not self._git.sha(f"refs/heads/{branch}"):
            require(self._git, self._settings)
            raise SourceError(
                tr(
                    "branch ({branch}) is no branch of the checkout {source_dir}. Set GOVMA_BRANCH, or "
                    "check it out there.",
                    branch=branch,
                    source_dir=self._settings.source_dir,
                )
            )
        with readable(self._settings.source_dir):
            if not self._repo.head.is_detached and self._repo.active_branch.name == branch:
                return
            head = self._repo.head.commit.hexsha
        if not self._git.run("for-each-ref", "--contains", head, "--count=1"):
            raise SourceError(
                tr(
                    "The checkout {source_dir} is at {head}, a commit that is on no branch. Keep it with "
                    "`git branch NAME {head}`, then deploy again.",
                    source_dir=self._settings.source_dir,
                    head=head[:9],
                )
            )
        self._reporter.warning(tr("The checkout was not on {branch}; it goes back there.", branch=branch))
        self._git.run("checkout", "--quiet", branch, "--")

    def fetch(self, *, everything: bool = False) -> None:
        """Fetch the branch, or all branches and tags; the checkout itself is not touched."""
        remote = self._settings.remote
        if everything:
            what = ["--tags", "--force", remote, f"+refs/heads/*:refs/remotes/{remote}/*"]
        else:
            what = ["--no-tags", remote, f"+refs/heads/{self._settings.branch}:{self._remote_branch}"]
        try:
            self._git.run("fetch", "--quiet", *what, waiting=self._reporter.cancellation.interruptible)
        except GitFailedError as error:
            require(self._git, self._settings)
            raise SourceError(
                tr(
                    "{error}. The settings name remote {remote!r} and branch {branch!r}: `git remote -v` in "
                    "{source_dir} shows where that is, `git ls-remote {remote}` whether it answers.",
                    error=str(error).rstrip("."),
                    remote=remote,
                    branch=self._settings.branch,
                    source_dir=self._settings.source_dir,
                )
            ) from None

    def fast_forward(self) -> Commit:
        """Move the branch to where its remote is, if that is straight ahead; SourceError when they diverged."""
        branch, settings = self._settings.branch, self._settings
        ours, theirs, straight = self._compared()
        if ours == theirs:
            return ours
        if straight == theirs:
            self._git.run("merge", "--ff-only", "--quiet", theirs.sha)
        elif straight == ours:
            self._warn_of(ours, theirs)
        else:
            raise SourceError(
                tr(
                    "{branch} in {source_dir} ({short}) and on {remote} ({short2}) have diverged. Nothing "
                    "was changed. If the local commits are not wanted: `git reset --hard "
                    "{remote}/{branch}` there.",
                    branch=branch,
                    source_dir=settings.source_dir,
                    short=ours.short,
                    remote=settings.remote,
                    short2=theirs.short,
                )
            )
        return straight

    def _warn_of(self, ours: Commit, theirs: Commit) -> None:
        """Name the commits that only the checkout has: somebody may have forgotten to push them, or that they exist."""
        ahead = self.between(theirs.sha, ours.sha) or []
        self._reporter.warning(
            tr(
                "The checkout has {commits} that {remote} has not; what a deploy makes live has them too: {named}.",
                commits=counted(len(ahead), "commit", "commits"),
                remote=self._settings.remote,
                named=", ".join(f"{commit.short} {commit.subject}" for commit in ahead[:_SHOWN]),
            )
        )

    def _compared(self) -> tuple[Commit, Commit, Commit | None]:
        """Return our branch, the remote's, and the one of them that holds the other (None: they diverged)."""
        with readable(self._settings.source_dir):
            ours, theirs = (
                self._repo.commit(f"refs/heads/{self._settings.branch}"),
                self._repo.commit(self._remote_branch),
            )
            straight = None
            if self._repo.is_ancestor(ours, theirs):
                straight = told(theirs)
            elif self._repo.is_ancestor(theirs, ours):
                straight = told(ours)
            return told(ours), told(theirs), straight

    def resolve(self, ref: str | None) -> Commit:
        """Return the commit that a branch of the remote, a tag or a sha names; None: what fast_forward() deploys."""
        if ref is None:
            ours, theirs, straight = self._compared()
            if straight == ours != theirs:
                self._warn_of(ours, theirs)
            return straight or theirs
        names = [f"refs/remotes/{self._settings.remote}/{ref}", f"refs/tags/{ref}"]
        if re.fullmatch(r"[0-9a-fA-F]{4,40}", ref):
            names.append(ref)
        for name in names:
            sha = self._git.sha(name)
            if sha:
                return self.commit(sha)
        raise SourceError(
            tr(
                "{ref!r} is no branch of {remote}, no tag, and no commit that was fetched from it.",
                ref=ref,
                remote=self._settings.remote,
            )
        )

    def commit(self, sha: str) -> Commit:
        """Return what is known of a commit of the checkout."""
        with readable(self._settings.source_dir):
            return told(self._repo.commit(sha))

    def between(self, older: str, newer: str, most: int = 500) -> list[Commit] | None:
        """Return the commits in `newer` that are not in `older`, the latest first; None when one is not there."""
        if not self._git.sha(older) or not self._git.sha(newer):
            return None
        with readable(self._settings.source_dir):
            return [told(found) for found in islice(self._repo.iter_commits(f"{older}..{newer}"), most)]

    def is_ancestor(self, older: str, newer: str) -> bool:
        """Tell whether all of `older` is in `newer`; False when one of them is not there."""
        if not self._git.sha(older) or not self._git.sha(newer):
            return False
        return self._git.is_ancestor(older, newer)

    @contextmanager
    def at(self, commit: Commit) -> Iterator[None]:
        """Have the files of a commit in the checkout for the time of the block, then go back to the branch."""
        if commit.sha == self._git.run("rev-parse", "HEAD").strip():
            yield
            return
        with self._moves.noted():
            # A name for it, so that a checkout that a killed run leaves here is never at a commit that is on no branch.
            self._git.run("update-ref", DEPLOYED, commit.sha)
            self._git.run("checkout", "--quiet", "--detach", commit.sha, "--")
            try:
                yield
            finally:
                self._git.run("checkout", "--quiet", self._settings.branch, "--")

    def require_layout(self) -> None:
        """Raise SourceError unless the checkout holds the directories of a site."""
        missing = [name for name in _REQUIRED if not (self._settings.source_dir / name).is_dir()]
        if missing:
            raise SourceError(
                tr(
                    "The checkout {source_dir} has no {missing}: is it the site's repository?",
                    source_dir=self._settings.source_dir,
                    missing=", ".join(missing),
                )
            )

    def inputs(self, globs: Sequence[str]) -> list[str]:
        """Return a text of mode, content hash and path for each file of the checkout that the globs match.

        Tracked files have their hash in git's index (the checkout is clean); ignored ones, which a build could read as
        well, are hashed.
        """
        specs = [f":(top,glob){glob}" for glob in globs]
        tracked = self._git.run("ls-files", "--stage", "-z", "--", *specs)
        ignored = self._git.run("ls-files", "--others", "--ignored", "--exclude-standard", "-z", "--", *specs)
        found = [line for line in tracked.split("\0") if line]
        for path in filter(None, ignored.split("\0")):
            if (self._settings.source_dir / path).is_file():
                found.append(f"{self._git.run('hash-object', '--no-filters', '--', path).strip()} {path}")
        return found

    def archive(self, commit: Commit, folder: str) -> IO[bytes] | None:
        """Return a folder of a commit as an open tar file, with the folder's content at its top; None without one."""
        if not self._git.run("ls-tree", "-d", commit.sha, "--", folder):
            return None
        file = tempfile.TemporaryFile()  # noqa: SIM115 - the caller closes it
        self._git.run_into(file, "archive", "--format=tar", f"{commit.sha}:{folder}")
        file.seek(0)
        return file


def put_right(settings: Settings, reporter: Reporter) -> None:
    """Put the checkout right after a power cut; what is wrong with it otherwise is for `preflight` to say."""
    with suppress(SourceError), closing(Checkout(settings, reporter)) as checkout:
        checkout.put_right()


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
