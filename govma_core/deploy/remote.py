"""The remote, as the checkout's git knows it: what is fetched from it, and what it never had."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path

from govma_core.deploy.commits import Commit, read_commits
from govma_core.errors import SourceError
from govma_core.git import GitCommands, GitFailedError
from govma_core.reporting import Reporter
from govma_core.settings import Settings
from govma_core.text.language import tr
from govma_core.versions.manifest import ManifestStore

_QUIET = ("--quiet", "--no-recurse-submodules")
_MOST_BRANCHES = 20
_MOST_ENTRIES = 5000
_SHA = re.compile("[0-9a-f]{40}|[0-9a-f]{64}")


class Remote:
    """The remote of the settings; `branch` is the reference for its branch that is deployed."""

    def __init__(self, settings: Settings, reporter: Reporter, git: GitCommands) -> None:
        self._settings = settings
        self._reporter = reporter
        self._git = git
        self.branch = f"refs/remotes/{settings.remote}/{settings.branch}"

    def fetch(self) -> None:
        """Fetch the branches and tags of the remote, and forget those branches that it has no more."""
        remote, branch = self._settings.remote, self._settings.branch
        of_branch = f"+refs/heads/{branch}:{self.branch}"
        try:
            if self._git.run("rev-parse", "--is-shallow-repository").strip() == "true":
                # All branches would bring the history that this clone is without.
                self._reach("remote", "prune", remote)
                self._reach("fetch", *_QUIET, remote, of_branch)
            else:
                # Tags of the checkout's own stay, but `git describe` in a build says what the remote's say.
                of_all = f"+refs/heads/*:refs/remotes/{remote}/*"
                self._reach("fetch", *_QUIET, "--prune", "--tags", "--force", remote, of_all)
        except GitFailedError as error:
            # A tag or another branch in the way of one with its name as a folder is no reason to deploy nothing.
            if self._fetch_alone(of_branch):
                self._reporter.warning("Not all branches and tags could be fetched: {error}", error=error)
        if not self._git.sha(self.branch):
            # So that what says that it is gone can name the one which has taken its place.
            with suppress(GitFailedError):
                self._reach("remote", "set-head", remote, "--auto")

    def _fetch_alone(self, of_branch: str) -> bool:
        """Fetch nothing but the branch; forget it and return False where it is gone.

        SourceError when the remote does not answer.
        """
        remote = self._settings.remote
        try:
            self._reach("fetch", *_QUIET, "--no-tags", remote, of_branch)
        except GitFailedError as error:
            if "couldn't find remote ref" not in str(error):
                raise SourceError(
                    "{error}. The settings name remote {remote!r} and branch {branch!r}: `git remote -v` in "
                    "{source_dir} shows where that is, `git ls-remote {remote}` whether it answers.",
                    error=str(error).rstrip("."),
                    remote=remote,
                    branch=self._settings.branch,
                    source_dir=self._settings.source_dir,
                ) from None
            self._git.run("update-ref", "-d", self.branch)
            return False
        return True

    def _reach(self, *arguments: str) -> None:
        """Run a command that speaks with the remote; a request to cancel ends it."""
        self._git.run(*arguments, waiting=self._reporter.cancellation.interruptible)

    def resolve(self, ref: str | None) -> Commit:
        """Return the commit of the remote's branch, or the one that a branch of it, a tag or a sha names."""
        remote = self._settings.remote
        if ref is None:
            if sha := self._git.sha(self.branch):
                return read_commits(self._git, sha, most=1)[0]
            raise SourceError(self._no_branch())
        for name in (f"refs/remotes/{remote}/{ref}", f"refs/tags/{ref}"):
            if sha := self._git.sha(name):
                return read_commits(self._git, sha, most=1)[0]
        if re.fullmatch(r"[0-9a-fA-F]{4,64}", ref):
            sha = self._git.sha(ref)
            if sha and not self.lacked(sha, "--tags"):
                return read_commits(self._git, sha, most=1)[0]
        raise SourceError(
            "{ref!r} is no branch of {remote}, no tag, and no commit that was fetched from it.",
            ref=ref,
            remote=remote,
        )

    def _no_branch(self) -> str:
        """Say that the remote has no such branch, and which it has."""
        remote, branch = self._settings.remote, self._settings.branch
        prefix = f"refs/remotes/{remote}/"
        default = ""
        with suppress(GitFailedError):
            default = self._git.run("symbolic-ref", "--quiet", f"{prefix}HEAD").strip()
        branches = [
            ref.removeprefix(prefix) + (tr(" (its default)") if ref == default else "")
            for ref in self._git.refs(prefix)
            if ref != f"{prefix}HEAD"
        ]
        there = ", ".join(branches[:_MOST_BRANCHES]) or tr("none that was fetched")
        if self._git.sha(f"refs/heads/{branch}"):
            return tr(
                "{remote} has no branch {branch!r} any more (the setting branch, GOVMA_BRANCH): it was deleted or "
                "renamed there. It has: {there}.",
                remote=remote,
                branch=branch,
                there=there,
            )
        return tr(
            "{remote} has no branch {branch!r} (the setting branch, GOVMA_BRANCH). It has: {there}.",
            remote=remote,
            branch=branch,
            there=there,
        )

    def lacked(self, start: str, *others: str) -> list[Commit]:
        """Return the commits up to `start` that the remote never had, nor one of these other refs, the latest first."""
        former: set[str] = set()
        with suppress(OSError):
            former |= ManifestStore(self._settings.state_dir).commits()
            # Git prints no more than where a reference went to; a first entry tells where it was before as well.
            path = self._git.run("rev-parse", "--git-path", f"logs/{self.branch}").strip()
            lines = Path(self._settings.source_dir, path).read_text("utf-8", "replace").splitlines()
            former |= {sha for line in lines[-_MOST_ENTRIES:] for sha in line.split()[:2]}
        others += tuple(filter(_SHA.fullmatch, former))
        return read_commits(self._git, start, "--not", f"--remotes={self._settings.remote}", *others)
